"""Tensors whose rows and columns are the image's: what happens to them, and what their positions see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from triscope.network.positions.noted import Noted
from triscope.network.receptive_field import WHOLE, ReceptiveField, Span


@dataclass(frozen=True)
class Raster:
    """Which dimensions are images, rows and columns, and what the positions see.

    `source` is the layer whose rows and columns these are. `margins` are how many of the rows and columns at the edges,
    (before, after) each, were filled up and are no places of the image.
    """

    field: ReceptiveField
    batch_dim: int = 0
    row_dim: int = 2
    col_dim: int = 3
    source: str | None = None
    margins: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    @property
    def dims(self) -> tuple[int, int, int]:
        """Pictures, rows, columns."""
        return self.batch_dim, self.row_dim, self.col_dim

    def moved(self, order: Sequence[int]) -> "Raster | None":
        """With dimension `order[i]` become dimension i; None where one that matters is gone."""
        if not set(self.dims) <= set(order):
            return None
        batch, row, col = (order.index(dim) for dim in self.dims)
        return Raster(self.field, batch, row, col, self.source, self.margins)


_NONE = ((0, 0), (0, 0))
#: The inputs that are followed, each with its shape.
Before: TypeAlias = Sequence[tuple[Raster, tuple[int, ...]]]
Arguments: TypeAlias = Sequence[Any]
Named: TypeAlias = Mapping[str, Any]


def pointwise(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """The union of what the inputs see, position by position."""
    first, shape = max(before, key=lambda known: (len(known[1]), _count(*known)))
    if output.ndim != len(shape) or any(output.shape[dim] != shape[dim] for dim in first.dims):
        return None
    if len(before) == 1:
        return first
    rows, cols = first.field.rows, first.field.cols
    for raster, _ in before:
        rows = rows and raster.field.rows and rows.union(raster.field.rows)
        cols = cols and raster.field.cols and cols.union(raster.field.cols)
    return replace(first, field=ReceptiveField(rows, cols))


def _count(raster: Raster, shape: tuple[int, ...]) -> int:
    return shape[raster.row_dim] * shape[raster.col_dim]


def joined(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Joined along channels; joined along rows or columns, positions of two images would lie side by side."""
    dims = {(raster.dims, tuple(shape[dim] for dim in raster.dims)) for raster, shape in before}
    return pointwise(before, output, args, kwargs) if len(dims) == 1 else None


def last(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """What mixes the last dimension, and nothing else."""
    return pointwise(before, output, args, kwargs) if max(before[0][0].dims) < output.ndim - 1 else None


def view(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Regrouping channels keeps the first dimension and the last two; anything else is followed number by number."""
    raster, shape = before[0]
    maps = raster.dims == (0, len(shape) - 2, len(shape) - 1)
    same = output.ndim >= 3 and output.shape[0] == shape[0] and tuple(output.shape[-2:]) == tuple(shape[-2:])
    return replace(raster, row_dim=output.ndim - 2, col_dim=output.ndim - 1) if maps and same else None


def permute(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Dimensions in another order."""
    order = kwargs.get("dims") or (args[1] if isinstance(args[1], tuple | list) else args[1:])
    raster, shape = before[0]
    return raster.moved([dim % len(shape) for dim in order])


def transpose(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Two dimensions swapped."""
    raster, shape = before[0]
    order = list(range(len(shape)))
    names = ("dim0", "dim1") if "dim0" in kwargs or "dim1" in kwargs else ("axis0", "axis1")
    given = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
    one, two = (given[name] % len(shape) for name in names)
    order[one], order[two] = order[two], order[one]
    return raster.moved(order)


def window(names: Sequence[str], first: int) -> Any:
    """The rule of a window with kernel, stride, padding, dilation; `names` from positional argument `first` on."""

    def follow(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
        raster, shape = before[0]
        if not _maps(raster, shape):
            return None
        kernel, stride, padding, dilation = geometry(names, first, args, kwargs)
        return _along(
            raster,
            output.ndim - len(shape),
            lambda span, axis: span.window(kernel[axis], stride[axis], padding[axis], dilation[axis]),
        )

    return follow


def _maps(raster: Raster, shape: Sequence[int]) -> bool:
    """Whether images come first and rows and columns last, in either order."""
    return (raster.batch_dim, {raster.row_dim, raster.col_dim}) == (0, {len(shape) - 2, len(shape) - 1})


def _along(raster: Raster, more: int, follow: Callable[[Span, int], Span | None]) -> Raster:
    """What was done along the last two dimensions, done to what is seen along them; `more` dimensions stand before."""
    last = max(raster.row_dim, raster.col_dim)
    rows, cols = (
        span and follow(span, 1 - (last - dim))
        for span, dim in ((raster.field.rows, raster.row_dim), (raster.field.cols, raster.col_dim))
    )
    return Raster(ReceptiveField(rows, cols), 0, raster.row_dim + more, raster.col_dim + more)


Pair: TypeAlias = tuple[int, int]


def geometry(names: Sequence[str], first: int, args: Arguments, kwargs: Named) -> tuple[Pair, Pair, Pair, Pair]:
    """A window's kernel, stride, padding and dilation along rows and columns."""
    given = dict(zip(names, args[first:], strict=False)) | dict(kwargs)
    kernel = _pair(given["kernel_size"] if "kernel_size" in names else given["weight"].shape[-2:])
    stride = _pair(given.get("stride") or (kernel if "kernel_size" in names else 1))
    dilation = _pair(given.get("dilation", 1))
    return kernel, stride, _padding(given.get("padding", 0), kernel, dilation), dilation


def adaptive(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Even bins are windows; one bin, or uneven ones, see the whole axis."""
    raster, shape = before[0]
    if not _maps(raster, shape):
        return None
    sizes, bins = shape[-2:], output.shape[-2:]

    def follow(span: Span, axis: int) -> Span | None:
        even = bins[axis] > 1 and sizes[axis] % bins[axis] == 0
        return span.window(sizes[axis] // bins[axis], sizes[axis] // bins[axis]) if even else None

    return _along(raster, output.ndim - len(shape), follow)


def resampled(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Another grid of the same image; what its positions see is not worked out."""
    raster, shape = before[0]
    return Raster(WHOLE, *raster.dims) if _maps(raster, shape) and output.ndim == len(shape) else None


def pad(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Zeros, and the edge repeated, move the positions; what is wrapped around sees the other side."""
    raster, shape = before[0]
    given = dict(zip(("pad", "mode"), args[1:], strict=False)) | dict(kwargs)
    starts = {len(shape) - 1 - axis: -start for axis, start in enumerate(given["pad"][::2])}
    ends = {len(shape) - 1 - axis: -end for axis, end in enumerate(given["pad"][1::2])}
    if raster.batch_dim in starts:
        return None
    if given.get("mode", "constant") not in ("constant", "replicate"):
        return Raster(WHOLE, *raster.dims)
    return _trimmed(_shifted(raster, starts, {}), starts, ends)


def index(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """Slices move the positions and thin them out; other indices are followed number by number."""
    raster, shape = before[0]
    parts = args[1] if isinstance(args[1], tuple) else (args[1],)
    if parts and parts[0] is Ellipsis:
        parts = (slice(None),) * (len(shape) - len(parts) + 1) + parts[1:]
    if not all(isinstance(part, slice | int) for part in parts):
        return None
    cuts = {dim: part.indices(shape[dim]) for dim, part in enumerate(parts) if isinstance(part, slice)}
    left = [dim for dim in range(len(shape)) if dim >= len(parts) or dim in cuts]  # a number takes its dimension away
    if cuts.get(raster.batch_dim, (0, shape[raster.batch_dim], 1)) != (0, shape[raster.batch_dim], 1):
        return None
    starts, steps = ({dim: cut[place] for dim, cut in cuts.items()} for place in (0, 2))
    ends = {dim: shape[dim] - cut[1] for dim, cut in cuts.items()}
    thinned = any(steps.get(dim, 1) != 1 for dim in (raster.row_dim, raster.col_dim))
    cut = replace(raster, margins=_NONE) if thinned else _trimmed(raster, starts, ends)
    return _shifted(cut, starts, steps).moved(left)


def unsqueeze(before: Before, output: Noted, args: Arguments, kwargs: Named) -> Raster | None:
    """A new dimension of length 1."""
    raster, shape = before[0]
    new = (kwargs["dim"] if "dim" in kwargs else args[1]) % (len(shape) + 1)
    order = list(range(len(shape)))
    return raster.moved([*order[:new], -1, *order[new:]])


def _trimmed(raster: Raster, starts: Mapping[int, int], ends: Mapping[int, int]) -> Raster:
    """With so many rows and columns less at the start and the end of each dimension; more, where negative."""
    rows, cols = (
        (max(0, before - starts.get(dim, 0)), max(0, after - ends.get(dim, 0)))
        for dim, (before, after) in zip((raster.row_dim, raster.col_dim), raster.margins, strict=True)
    )
    return replace(raster, margins=(rows, cols))


def _shifted(raster: Raster, starts: Mapping[int, int], steps: Mapping[int, int]) -> Raster:
    """Along each dimension, positions counted from `starts` in `steps`."""
    rows, cols = (
        span and span.window(1, steps.get(dim, 1), -starts.get(dim, 0))
        for span, dim in ((raster.field.rows, raster.row_dim), (raster.field.cols, raster.col_dim))
    )
    return replace(raster, field=ReceptiveField(rows, cols))


def _pair(value: int | Sequence[int]) -> Pair:
    values = (value,) if isinstance(value, int) else tuple(value)
    return int(values[0]), int(values[-1])


def _padding(value: Any, kernel: Pair, dilation: Pair) -> Pair:
    if value == "same":
        return (kernel[0] - 1) * dilation[0] // 2, (kernel[1] - 1) * dilation[1] // 2
    return (0, 0) if value == "valid" else _pair(value)
