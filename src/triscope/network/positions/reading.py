"""From places to a layout: how the numbers of a layer are to be put in rows and columns."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from triscope.network.layout import Layout, Order
from triscope.network.positions.raster import Raster
from triscope.network.positions.scattered import NOWHERE, Scattered, raster, scattered, squeezed

_PAIRS = "relates pairs of positions"
_NO_PLACES = "has no positions"
_NO_GRID = "has positions that make no rows and columns"


class Reader:
    """Reads layouts, each arrangement once: most layers of a network share a few."""

    def __init__(self, pictures: int) -> None:
        self._pictures = pictures
        self._known: dict[tuple[object, ...], Layout] = {}
        self._codes: dict[int, tuple[Tensor, Tensor]] = {}  # by identity, beside what they come to

    def read(self, state: Raster | Scattered, shape: Sequence[int]) -> Layout:
        """The layout of a tensor of this shape with these places.

        `other` where its places cannot be put in rows and columns: they were added up, or are pairs, or some are there
        twice.
        """
        if isinstance(state, Raster):
            return _straight(state, shape, self._pictures) or _ordered(scattered(state, shape), shape, self._pictures)
        if id(state.codes) not in self._codes:
            self._codes[id(state.codes)] = (state.codes, squeezed(state.codes))
        _, codes = self._codes[id(state.codes)]
        key = (codes.numpy().tobytes(), *codes.shape, *shape, state.rows, state.cols, state.source, state.pairs)
        if key not in self._known:
            state = state.with_codes(codes)
            found = raster(state, shape)
            straight = _straight(found, shape, self._pictures) if found else None
            self._known[key] = straight or _ordered(state, shape, self._pictures)
        return self._known[key]


def _straight(state: Raster, shape: Sequence[int], pictures: int) -> Layout | None:
    """Maps, with channels first or last."""
    kind = {(0, 2, 3): "maps", (0, 1, 2): "maps-last"}.get(state.dims)
    if kind is None or len(shape) != 4 or shape[0] != pictures:
        return None
    return Layout(kind, grid=(shape[state.row_dim], shape[state.col_dim]))


def _ordered(state: Scattered, shape: Sequence[int], pictures: int) -> Layout:
    codes = state.codes
    along = [dim for dim, length in enumerate(codes.shape) if length > 1 or dim == 0]
    cells = codes.permute(*along, *(dim for dim in range(codes.ndim) if dim not in along)).flatten()
    run = _run(cells, state.places, pictures)
    if state.pairs:
        return Layout("other", why=_PAIRS)
    if run is None:
        return Layout("other", why=_NO_GRID if bool((cells != NOWHERE).any()) else _NO_PLACES)
    each = _of_each(cells, run, pictures)
    each = torch.where(each == NOWHERE, each, each % state.places).long()
    place = each[0]
    there = (place != NOWHERE).nonzero().flatten()
    rows, cols = _different(place[there] // state.cols), _different(place[there] % state.cols)
    full = len(rows) * len(cols) == len(there) == len(_different(place[there]))
    if not full or bool((each != place).any()):
        return Layout("other", why=_NO_GRID)
    order = there[place[there].argsort()]
    grid, count = (len(rows), len(cols)), len(place)
    step = (_step(rows, state.rows), _step(cols, state.cols))
    first = int(order[0])
    if along == [0, 1] and len(shape) == 3 and shape[0] == pictures and bool((order.diff() == 1).all()):
        known = state.source if None not in step else None
        return Layout(
            "tokens", grid=grid, prefix=first, suffix=count - first - len(order), source=known, step=_pair(step)
        )
    channels = math.prod(length for dim, length in enumerate(shape) if dim not in along)
    return Layout("windows", grid=grid, order=Order(tuple(along), run, count, channels, order))


def _run(cells: Tensor, places: int, pictures: int) -> int | None:
    """How many numbers in a row are of one image before the next one's follow; None where there is no such number."""
    count = len(cells)
    there = cells != NOWHERE
    picture = cells // places
    if count % pictures or not bool(there.any()):
        return None
    for run in _divisors(count // pictures):
        wanted = torch.arange(count) // run % pictures
        if bool((picture[there] == wanted[there]).all()):
            return run
    return None


def _divisors(count: int) -> Iterator[int]:
    """From the largest to the smallest."""
    return (count // part for part in range(1, count + 1) if count % part == 0)


def _of_each(cells: Tensor, run: int, pictures: int) -> Tensor:
    return cells.view(-1, pictures, run).transpose(0, 1).reshape(pictures, -1)


def _different(places: Tensor) -> Tensor:
    """The places that there are, each once, in order."""
    made: Tensor = torch.unique(places)
    return made


def _step(places: Tensor, length: int) -> int | None:
    """Every how manieth of `length` places there is; None where they are not that."""
    step = int(places[1] - places[0]) if len(places) > 1 else length
    return step if torch.equal(places, torch.arange(0, length, step)) else None


def _pair(step: tuple[int | None, int | None]) -> tuple[int, int]:
    return step[0] or 1, step[1] or 1
