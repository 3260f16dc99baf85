"""Receptive fields: which part of the image a position of a layer can see.

Along one axis, position i of a layer sees the pixels

    offset + i * stride  ...  offset + i * stride + size - 1

and the three numbers follow from the operations on the way (Araujo, Norris and Sim, "Computing receptive fields of
convolutional neural networks", Distill 2019). They are read off a running pass by a mode over torch's functions, so
functional operations and branches count too. An operation that mixes positions in any other way is taken to see the
whole image.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

Function = Callable[..., Any]


@dataclass(frozen=True)
class Span:
    """What the positions of one axis see, in pixels."""

    size: int = 1
    stride: int = 1
    offset: int = 0

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Span":
        """After a sliding window of this kind."""
        reach = dilation * (kernel - 1)
        return Span(self.size + reach * self.stride, self.stride * stride, self.offset - padding * self.stride)

    def union(self, other: "Span") -> "Span | None":
        """What sees both; None where the strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.offset, other.offset)
        return Span(max(self.offset + self.size, other.offset + other.size) - start, self.stride, start)

    def at(self, position: int, limit: int) -> tuple[int, int]:
        """First pixel seen from `position` and the one after the last, inside an image of `limit` pixels."""
        start = self.offset + position * self.stride
        return max(start, 0), min(start + self.size, limit)


@dataclass(frozen=True)
class ReceptiveField:
    """What the positions of a layer see; None where an axis sees the whole image."""

    rows: Span | None
    cols: Span | None

    def box(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of what position (row, col) sees of an image of height x width pixels."""
        top, bottom = self.rows.at(row, height) if self.rows else (0, height)
        left, right = self.cols.at(col, width) if self.cols else (0, width)
        return top, left, bottom - top, right - left

    def __str__(self) -> str:
        sizes = [str(span.size) if span else "all" for span in (self.rows, self.cols)]
        return sizes[0] if sizes[0] == sizes[1] else "x".join(sizes)


WHOLE = ReceptiveField(None, None)


@dataclass(frozen=True)
class _Axes:
    """A tensor's field, and which of its dimensions are rows and columns."""

    field: ReceptiveField
    row_dim: int = 2
    col_dim: int = 3

    def moved(self, order: Sequence[int]) -> "_Axes":
        return _Axes(self.field, order.index(self.row_dim), order.index(self.col_dim))


class Fields(TorchFunctionMode):
    """While entered, the receptive field of every tensor computed from `image` is known to `of`."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self._known: MutableMapping[Tensor, _Axes] = WeakTensorKeyDictionary()
        self._known[image] = _Axes(ReceptiveField(Span(), Span()))

    def of(self, tensor: Tensor) -> ReceptiveField:
        """The field of `tensor`'s positions; the whole image where nothing better is known."""
        return self._known[tensor].field if tensor in self._known else WHOLE

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = [
            value for value in _flat((*args, *kwargs.values())) if isinstance(value, Tensor) and value in self._known
        ]
        before = [(self._known[value], value.shape) for value in inputs]
        result = func(*args, **kwargs)
        if before:
            tracked = all(axes.field != WHOLE for axes, _ in before)
            follow = _RULES.get(getattr(func, "__name__", ""), _whole) if tracked else _whole
            # What is written into a tensor is not followed: from then on it sees the whole image.
            for output in _flat((args[0] if func is Tensor.__setitem__ else result,)):
                if isinstance(output, Tensor):
                    self._known[output] = follow(before, output, args, kwargs)
        return result


Before = Sequence[tuple[_Axes, tuple[int, ...]]]


def _whole(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    return _Axes(WHOLE)


def _pointwise(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    """The union of the inputs, position by position."""
    first, shape = max(before, key=lambda known: len(known[1]))
    if output.ndim != len(shape):
        return _Axes(WHOLE)
    rows, cols = first.field.rows, first.field.cols
    for axes, _ in before:
        rows = rows and axes.field.rows and rows.union(axes.field.rows)
        cols = cols and axes.field.cols and cols.union(axes.field.cols)
    kept = all(output.shape[dim] == shape[dim] for dim in (first.row_dim, first.col_dim))
    return _Axes(ReceptiveField(rows, cols), first.row_dim, first.col_dim) if kept else _Axes(WHOLE)


def _linear(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    axes = before[0][0]
    mixes = max(axes.row_dim, axes.col_dim) >= output.ndim - 1
    return (_whole if mixes else _pointwise)(before, output, args, kwargs)


def _view(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    """Regrouping channels keeps the last two dimensions; anything else loses track."""
    axes, shape = before[0]
    maps = axes.row_dim == len(shape) - 2 and axes.col_dim == len(shape) - 1
    if maps and output.ndim >= 3 and tuple(output.shape[-2:]) == tuple(shape[-2:]):
        return _Axes(axes.field, output.ndim - 2, output.ndim - 1)
    return _Axes(WHOLE)


def _permute(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    order = kwargs.get("dims") or (args[1] if isinstance(args[1], tuple | list) else args[1:])
    axes, shape = before[0]
    return axes.moved([dim % len(shape) for dim in order])


def _transpose(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    axes, shape = before[0]
    order = list(range(len(shape)))
    given = dict(zip(("dim0", "dim1"), args[1:], strict=False)) | dict(kwargs)
    one, two = given["dim0"] % len(shape), given["dim1"] % len(shape)
    order[one], order[two] = order[two], order[one]
    return axes.moved(order)


def _window(names: Sequence[str], first: int) -> Function:
    """The rule of a window with kernel, stride, padding, dilation; `names` from positional argument `first` on."""

    def follow(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
        given = dict(zip(names, args[first:], strict=False)) | dict(kwargs)
        axes, shape = before[0]
        if (axes.row_dim, axes.col_dim) != (len(shape) - 2, len(shape) - 1):
            return _Axes(WHOLE)
        kernel = _pair(given["kernel_size"] if "kernel_size" in names else given["weight"].shape[-2:])
        stride = _pair(given.get("stride") or (kernel if "kernel_size" in names else 1))
        dilation = _pair(given.get("dilation", 1))
        padding = _padding(given.get("padding", 0), kernel, dilation)
        spans = [
            span and span.window(kernel[axis], stride[axis], padding[axis], dilation[axis])
            for axis, span in enumerate((axes.field.rows, axes.field.cols))
        ]
        return _Axes(ReceptiveField(*spans))

    return follow


def _adaptive(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    """Even bins are windows; one bin, or uneven ones, see the whole axis."""
    axes, shape = before[0]
    spans = []
    for span, size, bins in zip((axes.field.rows, axes.field.cols), shape[-2:], output.shape[-2:], strict=True):
        even = span is not None and bins > 1 and size % bins == 0
        spans.append(span.window(size // bins, size // bins) if span is not None and even else None)
    return _Axes(ReceptiveField(*spans))


def _pad(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    """Zeros, and the edge repeated, move the positions; what is wrapped around sees the other side."""
    axes, shape = before[0]
    given = dict(zip(("pad", "mode"), args[1:], strict=False)) | dict(kwargs)
    if given.get("mode", "constant") not in ("constant", "replicate"):
        return _Axes(WHOLE)
    return _moved(axes, {len(shape) - 1 - axis: -start for axis, start in enumerate(given["pad"][::2])}, {})


def _index(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    """Slices move the positions and thin them out; other indices are followed where they keep all positions."""
    axes, shape = before[0]
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    if index and index[0] is Ellipsis:
        index = (slice(None),) * (len(shape) - len(index) + 1) + index[1:]
    if not all(isinstance(part, slice | int) for part in index):
        return _pointwise(before, output, args, kwargs)
    cuts = {dim: part.indices(shape[dim]) for dim, part in enumerate(index) if isinstance(part, slice)}
    left = [dim for dim in range(len(shape)) if dim >= len(index) or dim in cuts]  # a number takes its dimension away
    if not {axes.row_dim, axes.col_dim} <= set(left):
        return _Axes(WHOLE)
    cut = _moved(
        axes, {dim: start for dim, (start, _, _) in cuts.items()}, {dim: step for dim, (_, _, step) in cuts.items()}
    )
    return cut.moved(left)


def _unsqueeze(before: Before, output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Axes:
    axes, shape = before[0]
    new = (kwargs["dim"] if "dim" in kwargs else args[1]) % (len(shape) + 1)
    order = list(range(len(shape)))
    return axes.moved([*order[:new], -1, *order[new:]])


def _moved(axes: _Axes, starts: Mapping[int, int], steps: Mapping[int, int]) -> _Axes:
    """Along each dimension, positions counted from `starts` in `steps`."""
    rows, cols = (
        span and span.window(1, steps.get(dim, 1), -starts.get(dim, 0))
        for span, dim in ((axes.field.rows, axes.row_dim), (axes.field.cols, axes.col_dim))
    )
    return _Axes(ReceptiveField(rows, cols), axes.row_dim, axes.col_dim)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return int(values[0]), int(values[-1])


def _padding(value: Any, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    if value == "same":
        return (kernel[0] - 1) * dilation[0] // 2, (kernel[1] - 1) * dilation[1] // 2
    return (0, 0) if value == "valid" else _pair(value)


def _flat(values: Sequence[Any]) -> list[Any]:
    """The values, with tuples and lists of them opened once (cat takes a list, chunk returns a tuple)."""
    return [inner for value in values for inner in (value if isinstance(value, tuple | list) else (value,))]


_POOL = ("kernel_size", "stride", "padding")
_POINTWISE = """
relu relu_ relu6 leaky_relu elu selu celu gelu silu mish hardswish hardsigmoid hardtanh sigmoid tanh softplus prelu
clamp clamp_ clamp_min clamp_min_ threshold abs square sqrt rsqrt pow exp log neg
add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __rsub__ rsub mul mul_ __mul__ __imul__ __rmul__
div div_ __truediv__ true_divide maximum minimum where
batch_norm local_response_norm dropout dropout_ dropout2d feature_dropout alpha_dropout stochastic_depth
cat concat concatenate chunk split unbind channel_shuffle
clone contiguous detach to float double half type_as requires_grad_
"""
_RULES: dict[str, Function] = {
    "conv2d": _window(("weight", "bias", "stride", "padding", "dilation"), 1),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "max_pool2d_with_indices"), _window((*_POOL, "dilation"), 1)),
    "avg_pool2d": _window(_POOL, 1),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_max_pool2d"), _adaptive),
    "pad": _pad,
    "__getitem__": _index,
    "unsqueeze": _unsqueeze,
    "linear": _linear,
    "layer_norm": _linear,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten"), _view),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes"), _transpose),
    **dict.fromkeys(_POINTWISE.split(), _pointwise),
}
