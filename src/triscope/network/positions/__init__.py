"""Positions: where in the image the numbers of a running pass belong, read off the operations that made them.

A tensor that depends on the image is followed in one of three ways:

    Raster      its rows and columns are the image's, in order, along two of its dimensions (maps)
    Scattered   every number has a place, in any order and along any dimensions (tokens, windows, units of a mask)
    None        nothing is known of its places

A mode over torch's functions records the pass, so functional operations, branches and shared modules count as modules
do; the places are followed through the record afterwards. A function that is not known is taken to lose the places: a
layer is then told by its shape, and has to prove it.
"""

from triscope.network.positions.following import State, follow
from triscope.network.positions.reading import Reader
from triscope.network.positions.recording import Recorder

__all__ = ["follow", "Reader", "Recorder", "State"]
