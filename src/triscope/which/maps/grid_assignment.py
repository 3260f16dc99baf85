"""From a map to a mosaic: every image gets a cell of a grid, near where it stands on the map.

Up to 3,000 images by linear assignment, which makes the sum of squared ways as small as it can be; above that by
halving images and grid alike, along the longer side, again and again, which is quick and keeps neighbourhoods nearly as
well.
"""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

EXACT = 3000


def cells(places: NDArray[np.float32]) -> tuple[NDArray[np.int32], tuple[int, int]]:
    """The cell (row, col) of each of the places (N, 2) of (x, y) in [0, 1], y down; and the grid's rows and columns."""
    count = len(places)
    cols = max(1, ceil(sqrt(count)))
    rows = max(1, ceil(count / cols))
    if count <= EXACT:
        return _assigned(places, rows, cols), (rows, cols)
    found = np.empty((count, 2), np.int32)
    _halve(places, np.arange(count), (0, 0), (rows, cols), found)
    return found, (rows, cols)


def _assigned(places: NDArray[np.float32], rows: int, cols: int) -> NDArray[np.int32]:
    from scipy.optimize import linear_sum_assignment

    grid = np.stack(np.divmod(np.arange(rows * cols), cols), axis=1)
    centres = (grid[:, ::-1] + 0.5) / (cols, rows)
    ways = np.square(places[:, None, :] - centres[None]).sum(2)
    _, chosen = linear_sum_assignment(ways)
    assigned: NDArray[np.int32] = grid[chosen].astype(np.int32)
    return assigned


def _halve(
    places: NDArray[np.float32],
    some: NDArray[np.int64],
    corner: tuple[int, int],
    size: tuple[int, int],
    found: NDArray[np.int32],
) -> None:
    """Give the images `some` the cells of a block of the grid, which has room for them."""
    (top, left), (rows, cols) = corner, size
    if len(some) == 0:
        return
    if rows == cols == 1:
        found[some[0]] = corner
        return
    across = cols >= rows
    first = (cols if across else rows) // 2
    whole = cols if across else rows
    room, rest = first * (rows if across else cols), (whole - first) * (rows if across else cols)
    count = min(room, max(len(some) - rest, round(len(some) * first / whole)))
    ordered = some[np.argsort(places[some, 0 if across else 1], kind="stable")]
    if across:
        _halve(places, ordered[:count], corner, (rows, first), found)
        _halve(places, ordered[count:], (top, left + first), (rows, cols - first), found)
    else:
        _halve(places, ordered[:count], corner, (first, cols), found)
        _halve(places, ordered[count:], (top + first, left), (rows - first, cols), found)
