"""Positions: where in the picture the numbers of a running pass belong, read off the operations that made them.

A tensor that depends on the picture is followed in one of three ways:

    Raster      its rows and columns are the picture's, in order, along two of its dimensions (maps)
    Scattered   every number has a place, in any order and along any dimensions (tokens, windows, units of a mask)
    None        nothing is known of its places

A mode over torch's functions follows them, so functional operations, branches and shared modules count as modules do.
What it does not know it takes to lose the places: a layer is then told by its shape, and has to prove it.
"""

from triscope.network.positions.reading import Reader
from triscope.network.positions.tracker import State, Tracker

__all__ = ["Reader", "State", "Tracker"]
