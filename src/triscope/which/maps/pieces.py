"""The pieces of a map for a page that is served, in the order in which they are needed.

Each piece is JSON and the bytes of its parts: numbers as float32 and int32, little-endian.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from triscope.errors import OptionError
from triscope.images import printable
from triscope.which.maps.grid_assignment import cells
from triscope.which.maps.map import Map, unit
from triscope.which.maps.page import field_of
from triscope.which.maps.page.sprites import Sheet, layout_of

Piece: TypeAlias = tuple[dict[str, Any], dict[str, bytes]]

_NEAR = 8


def places(made: Map) -> Piece:
    """Where the images are on the map (N, 2) and the points (M, 2), the images' rows (N,), how thumbnails are laid
    out.
    """
    at, layout = unit(made.values), layout_of(len(made.shown))
    told = {
        "notes": list(made.notes),
        "tile": layout.tile,
        "columns": layout.columns,
        "rows": layout.rows,
        "sheets": layout.sheets(len(made.shown)),
    }
    rest = np.delete(at, made.shown, 0)
    rows = _bytes(made.rows[made.shown], "<i4")
    return told, {"places": _bytes(at[made.shown], "<f4"), "rest": _bytes(rest, "<f4"), "rows": rows}


def names(made: Map) -> Piece:
    """What the images are called, and what is known of them."""
    fields = {name: [made.known[name][place] for place in made.shown] for name in made.fields}
    told = {
        "names": [printable(name) for name in made.store.names(made.rows[made.shown])],
        "fields": [field_of(name, values) for name, values in fields.items()],
        "color": -1 if made.color_by is None else [*fields].index(made.color_by),
    }
    return told, {}


def grid_cells(made: Map) -> Piece:
    """Each image's cell (N, 2), row and column, of the mosaic's grid."""
    found, grid = cells(unit(made.values)[made.shown])
    return {"grid": list(grid)}, {"cells": _bytes(found, "<i4")}


def near(made: Map, place: int) -> Piece:
    """The images nearest to one of those that are shown: [place, distance], nearest first. Raises OptionError where
    there is no such image.
    """
    if not 0 <= place < len(made.shown):
        raise OptionError("The map has no such image.")
    values = made.found.values[made.shown]
    far = (values - values[place]).square().sum(1)
    far[place] = np.inf
    best, where = far.topk(min(_NEAR, len(far) - 1), largest=False)
    return {"place": place, "found": list(zip(where.tolist(), best.sqrt().tolist(), strict=True))}, {}


def thumbnails(sheet: Sheet, number: int) -> Piece:
    """A sheet of thumbnails, and each one's size and mean colour."""
    told = {"number": number, "sizes": sheet.sizes.ravel().tolist(), "tones": sheet.hexes()}
    return told, {"jpeg": sheet.jpeg}


def _bytes(values: NDArray[Any], kind: str) -> bytes:
    return np.ascontiguousarray(values, dtype=kind).tobytes()
