"""Tensors whose numbers have places in the image in any order: tokens, windows, what was rolled, cut up and put
together.

The place of every number is a code, image * (rows * cols) + row * cols + col, in a tensor that has the dimensions of
the one it describes, with length 1 along those on which the place does not depend (channels). What moves numbers about
(view, permute, roll, cat, ...) is done to the codes as well. What adds up several numbers has the place of the first of
them, as the patches do that Swin merges; where all the places of an image are added up, none is left.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.network.positions.noted import Noted, flat
from triscope.network.positions.raster import Pair, Raster
from triscope.network.receptive_field import WHOLE

#: What can be done to codes as they are, with length 1 along some dimensions.
_LENGTHS_DO_NOT_MATTER = {
    "permute",
    "transpose",
    "swapaxes",
    "movedim",
    "moveaxis",
    "unsqueeze",
    "__get__",
    "t",
    "flip",
}

#: The code of what has no place: class tokens, padding. Larger than any place.
NOWHERE = 2**31 - 1

Function: TypeAlias = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Scattered:
    """The codes of a tensor's numbers, on a grid of `rows` x `cols` places, those of the layer `source`.

    `pairs` says that its numbers belong to two places each, as attention does; the codes are then those of the queries.
    """

    codes: Tensor
    rows: int
    cols: int
    source: str | None = None
    pairs: bool = False

    @property
    def places(self) -> int:
        """How many places there are in an image."""
        return self.rows * self.cols

    def with_codes(self, codes: Tensor, *, pairs: bool | None = None) -> "Scattered":
        """Other codes on the same grid."""
        return Scattered(codes, self.rows, self.cols, self.source, self.pairs if pairs is None else pairs)

    def reduced(self, dim: int | Sequence[int], keepdim: bool) -> "Scattered":
        """What is left of the places where dimensions are added up."""
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if keepdim and all(self.codes.shape[one] == 1 for one in dims):
            return self
        codes = self.codes.amin(dims, keepdim)
        if codes.numel() < self.codes.numel() and self.codes.numel() > 1:
            cells = codes[codes != NOWHERE] % self.places
            if cells.numel() and bool((cells == cells[0]).all()):  # one place where there were many
                codes = torch.full_like(codes, NOWHERE)
        return self.with_codes(codes)


def scattered(raster: Raster, shape: Sequence[int]) -> Scattered:
    """The same places, number by number."""
    pictures, height, width = (shape[dim] for dim in raster.dims)
    (top, bottom), (left, right) = raster.margins
    rows, cols = height - top - bottom, width - left - right
    codes = torch.full((pictures, height, width), NOWHERE, dtype=torch.int32)
    codes[:, top : top + rows, left : left + cols] = torch.arange(pictures * rows * cols).view(pictures, rows, cols)
    order = sorted(range(3), key=lambda which: raster.dims[which])
    lengths = [length if dim in raster.dims else 1 for dim, length in enumerate(shape)]
    return Scattered(codes.permute(order).reshape(lengths), rows, cols, raster.source)


def moved(
    func: Function, args: Sequence[Any], kwargs: Mapping[str, Any], known: Callable[[Noted], Scattered | None]
) -> list[Scattered | None]:
    """What `func`, which only moves numbers about, does to the codes: the states of its results, in order.

    `known` gives the state of a tensor that is followed. Where the inputs are on different grids, or the codes do not
    bear what the numbers bear, no place is known any more.
    """
    tensors = [value for value in flat((*args, *kwargs.values())) if isinstance(value, Noted)]
    states = [state for value in tensors if (state := known(value)) is not None]
    first = states[0]
    if any((state.rows, state.cols, state.pairs) != (first.rows, first.cols, first.pairs) for state in states):
        return []
    name = getattr(func, "__name__", "")
    short = name in _LENGTHS_DO_NOT_MATTER or (name == "roll" and (len(args) > 2 or "dims" in kwargs))
    many = bool(args) and isinstance(args[0], tuple | list)  # put together: what is not followed has no place

    def told(value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(told(inner) for inner in value)
        if not isinstance(value, Noted):
            return value
        state = known(value)
        if state is not None:
            return state.codes if short else state.codes.expand(value.shape)
        nowhere = torch.full((1,) * value.ndim, NOWHERE, dtype=torch.int32)
        return value.values.cpu() if value.values is not None and not many else nowhere.expand(value.shape)

    arguments = {key: told(value) for key, value in kwargs.items()}
    if name == "pad":
        arguments["value"], args = NOWHERE, args[:3]
    try:
        results = func(*[told(value) for value in args], **arguments)
    except (RuntimeError, TypeError, IndexError, ValueError):
        return []
    made = flat((results,))
    return [first.with_codes(compact(one)) if isinstance(one, Tensor) else None for one in made]


def written(
    into: Scattered | None, shape: Sequence[int], where: Any, value: Scattered | None, length: Sequence[int]
) -> Scattered | None:
    """A tensor of this `shape`, of whose numbers those at `where` were replaced; what is not followed has no place."""
    one = value or into
    if one is None or (into and value and (into.rows, into.cols, into.pairs) != (value.rows, value.cols, value.pairs)):
        return None
    nowhere = torch.full((1,), NOWHERE, dtype=torch.int32)
    codes = (into.codes if into else nowhere).expand(shape).clone()
    parts = where if isinstance(where, tuple) else (where,)
    index = tuple(part.values if isinstance(part, Noted) else part for part in parts)
    try:
        codes[index] = (value.codes if value else nowhere).expand(length)
    except (RuntimeError, TypeError, IndexError, ValueError):
        return None
    return one.with_codes(squeezed(codes))


def reshaped(state: Scattered, before: Sequence[int], after: Sequence[int]) -> Scattered | None:
    """What was of one shape, in another; None for numbers seen as others of another length.

    Last dimensions that stay, and have no places, are left aside: that saves a copy of their size.
    """
    if math.prod(before) != math.prod(after):
        return None
    aside = 0
    while (
        aside < min(len(before), len(after)) - 1
        and before[len(before) - 1 - aside] == after[len(after) - 1 - aside]
        and state.codes.shape[len(before) - 1 - aside] == 1
    ):
        aside += 1
    codes = state.codes.view(state.codes.shape[: len(before) - aside]).expand(before[: len(before) - aside])
    codes = compact(codes.reshape(after[: len(after) - aside]))
    return state.with_codes(codes.view(*codes.shape, *(1,) * aside))


def blocks(
    func: Function, state: Scattered, shape: Sequence[int], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Scattered | None:
    """Blocks cut out of maps, or maps put together from blocks, by `unfold` and `fold` of torch.nn.functional.

    Padding has no place. None where blocks that overlap are added up.
    """
    codes = (state.codes.expand(shape).double() + 1).where(state.codes != NOWHERE, 0)  # what is added up is exact
    try:
        made = func(codes, *args[1:], **{name: value for name, value in kwargs.items() if name != "input"})
        count = func(
            torch.ones_like(codes), *args[1:], **{name: value for name, value in kwargs.items() if name != "input"}
        )
    except (RuntimeError, TypeError, ValueError):
        return None
    if bool((count > 1).any()):
        return None
    return state.with_codes(torch.where(made > 0, made - 1, NOWHERE).int())


def compact(codes: Tensor) -> Tensor:
    """With length 1 along the dimensions along which all codes are one number in memory."""
    for dim, (length, stride) in enumerate(zip(codes.shape, codes.stride(), strict=True)):
        if length > 1 and stride == 0:
            codes = codes.narrow(dim, 0, 1)
    return codes


def squeezed(codes: Tensor) -> Tensor:
    """With length 1 along the dimensions along which all codes are equal."""
    for dim, length in enumerate(codes.shape):
        first = codes.narrow(dim, 0, 1)
        if length > 1 and bool((codes == first).all()):
            codes = first
    return codes


def strongest(states: Sequence[tuple[Scattered, tuple[int, ...]]], output: Noted) -> Scattered | None:
    """Of what is put together number by number, the one with the most places: the others are spread over it."""
    state, shape = max(states, key=lambda known: known[0].codes.numel())
    more = output.ndim - len(shape)
    codes = state.codes.view(*(1,) * more, *state.codes.shape) if more > 0 else state.codes
    fits = more >= 0 and all(code in (1, length) for code, length in zip(codes.shape, output.shape, strict=True))
    return state.with_codes(codes, pairs=any(one.pairs for one, _ in states)) if fits else None


def product(
    left: Scattered | None, right: Scattered | None, output: Noted, shapes: Sequence[tuple[int, ...]]
) -> Scattered | None:
    """Of a matrix product: rows have the places of the left one's rows, columns those of the right one's columns.

    Where both have places (queries times keys) the numbers belong to pairs.
    """
    if min(len(shape) for shape in shapes) < 2:
        return None
    rows = left.reduced(-1, True) if left else None
    cols = right.reduced(-2, True) if right else None
    rows = rows if rows and rows.codes.shape[-2] > 1 else None
    cols = cols if cols and cols.codes.shape[-1] > 1 else None
    found = rows or cols
    if found is None:
        return None
    more = output.ndim - found.codes.ndim
    codes = found.codes.view(*(1,) * more, *found.codes.shape) if more >= 0 else found.codes
    return found.with_codes(codes, pairs=bool(rows and cols))


def sampled(state: Scattered, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out: Pair) -> Scattered | None:
    """A window slid over places in any order: each of its positions has the place of the window's middle."""
    codes = state.codes
    if codes.ndim != 4 or 1 in codes.shape[-2:]:
        return None
    codes = codes.amin(1, keepdim=True)
    for axis in (0, 1):
        middle = torch.arange(out[axis]) * stride[axis] - padding[axis] + (kernel[axis] - 1) // 2 * dilation[axis]
        codes = codes.index_select(2 + axis, middle.clamp(0, codes.shape[2 + axis] - 1))
    return state.with_codes(codes)


def resampled(state: Scattered, shape: Sequence[int], output: Sequence[int]) -> Scattered | None:
    """Maps (B, C, h, w) given new rows and columns: those are the places, where they were an image's, or images', in
    order; else each number has the place of the one that was nearest.
    """
    if len(shape) != 4 or len(output) != 4:
        return None
    first = state.codes.flatten()[0] // state.places
    straight = raster(state.with_codes(state.codes - first * state.places), shape)  # one of several images
    if straight is not None and straight.dims == (0, 2, 3):
        found = scattered(Raster(WHOLE), output)
        return found.with_codes(found.codes + first * found.places)
    codes = state.codes.expand(-1, -1, *shape[2:]).double()
    return state.with_codes(squeezed(F.interpolate(codes, tuple(output[2:]), mode="nearest").int()))


def raster(state: Scattered, shape: Sequence[int]) -> Raster | None:
    """The same as rows and columns along two dimensions, where they are that."""
    codes = squeezed(state.codes)
    along = [dim for dim, length in enumerate(codes.shape) if length > 1]
    if len(along) == 2 and shape[0] == 1:
        along = [0, *along]  # a single image
    if len(along) != 3 or along[0] != 0 or state.pairs:
        return None
    cells = codes.permute(*along, *(dim for dim in range(codes.ndim) if dim not in along)).flatten(2)
    picture, cell = cells // state.places, cells % state.places
    row, col = cell // state.cols, cell % state.cols
    in_order = (
        bool((cells != NOWHERE).all())
        and bool((picture == torch.arange(len(cells))[:, None, None]).all())
        and _steps(row[:, :, 0]) and bool((row == row[:, :, :1]).all())
        and _steps(col[:, 0]) and bool((col == col[:, :1]).all())
    )  # fmt: skip
    source = state.source if cells[0].numel() == state.places else None
    return Raster(WHOLE, along[0], along[1], along[2], source) if in_order else None


def _steps(places: Tensor) -> bool:
    """Whether places (B, n) go up by one and the same step, in every image."""
    steps = places.diff(dim=1)
    return bool((places == places[:1]).all()) and (
        steps.numel() == 0 or bool((steps == steps[0, 0]).all() and steps[0, 0] > 0)
    )
