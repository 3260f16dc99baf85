"""Numbers to images: plain functions from tensors to tensors, without files, fonts or windows."""

from triscope.render.channels import usual_channels, visible
from triscope.render.color import scale_of, signed, unsigned
from triscope.render.layout import Montage, Tile, enlarge, grid, montage, overlay, resize, side_by_side, square

__all__ = [
    "enlarge",
    "grid",
    "Montage",
    "montage",
    "overlay",
    "resize",
    "scale_of",
    "side_by_side",
    "signed",
    "square",
    "Tile",
    "unsigned",
    "usual_channels",
    "visible",
]
