"""The mode that follows places through a running pass."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from triscope.network.positions import operations
from triscope.network.positions import raster as rasters
from triscope.network.positions import scattered as places
from triscope.network.positions.raster import Raster
from triscope.network.positions.scattered import Scattered, flat
from triscope.network.receptive_field import WHOLE, ReceptiveField, Span

#: What is known of a tensor that depends on the picture; None where it is only known that it does.
State: TypeAlias = Raster | Scattered | None
_Inputs: TypeAlias = list[tuple[State, tuple[int, ...]]]


class Tracker(TorchFunctionMode):
    """While entered, the places of every tensor computed from `images` (B, C, H, W) are known to `of`."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self._known: MutableMapping[Tensor, State] = WeakTensorKeyDictionary()
        self._known[images] = Raster(ReceptiveField(Span(), Span()))
        self._paused = False

    def of(self, tensor: Tensor) -> State:
        """What is known of the places of `tensor`'s numbers."""
        return self._known.get(tensor)

    def named(self, tensor: Tensor, layer: str) -> None:
        """`tensor` is what `layer` gives: tokens made of its maps have its rows and columns."""
        state = self._known.get(tensor)
        if isinstance(state, Raster) and state.source is None:
            self._known[tensor] = replace(state, source=layer)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is followed for a while."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        inputs = [
            value for value in flat((*args, *kwargs.values())) if isinstance(value, Tensor) and value in self._known
        ]
        if not inputs:
            return func(*args, **kwargs)
        before: _Inputs = [(self._known[value], tuple(value.shape)) for value in inputs]
        states = {id(value): state for value, (state, _) in zip(inputs, before, strict=True)}
        result = func(*args, **kwargs)
        if func is Tensor.__setitem__:  # what is written into a tensor is not followed
            self._known[args[0]] = None
            return result
        outputs = flat((result,))
        if any(isinstance(output, Tensor) for output in outputs):
            for output, state in zip(outputs, self._follow(func, before, states, outputs, args, kwargs), strict=False):
                if isinstance(output, Tensor):
                    self._known[output] = state
        return result

    def _follow(
        self,
        func: Any,
        before: _Inputs,
        states: dict[int, State],
        outputs: list[Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> list[State]:
        """The states of the outputs of a function."""
        name = getattr(func, "__name__", "")
        first: State = None  # of the first output; what else comes out of such a function is not followed
        if name in operations.POINTWISE or name in operations.SPREADING:
            return [_merged(before, output, name, args, kwargs) for output in outputs]
        if name in operations.MOVES:
            return self._move(func, name, before, states, outputs, args, kwargs)
        if name in operations.WINDOWS:
            first = _slid(before[0], outputs[0], name, args, kwargs)
        elif name in operations.LAST:
            first = _last(before[0], outputs[0], args, kwargs)
        elif name in operations.SUMS:
            first = _summed(before[0], outputs[0], args, kwargs)
        elif name in operations.PRODUCTS:
            left, right = (_number(states.get(id(value)), value) for value in args[:2])
            first = places.product(left, right, outputs[0], [tuple(value.shape) for value in args[:2]])
        elif name in operations.ATTENTION:
            query = args[0] if args else kwargs["query"]
            state = _number(states.get(id(query)), query)
            first = state and state.reduced(-1, keepdim=True)
        return [first, *[None] * (len(outputs) - 1)]

    def _move(
        self,
        func: Any,
        name: str,
        before: _Inputs,
        states: dict[int, State],
        outputs: list[Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> list[State]:
        """Of a function that moves numbers about: rows and columns where they stay that, else number by number."""
        rule = operations.RASTER_MOVES.get(name)
        straight = [(state, shape) for state, shape in before if isinstance(state, Raster)]
        if rule is not None and len(straight) == len(before):
            followed = [rule(straight, output, args, kwargs) for output in outputs]
            if None not in followed:
                old, shape = straight[0]
                return [
                    one and _sourced(one, output, old, shape) for one, output in zip(followed, outputs, strict=True)
                ]
        if any(state is None for state, _ in before):
            return [None] * len(outputs)
        if name in operations.VIEWS and len(before) == 1:
            value = next(one for one in flat((*args, *kwargs.values())) if id(one) in states)
            number = _number(states[id(value)], value)
            return [places.reshaped(number, value.shape, outputs[0].shape)] if number else [None]
        made = places.moved(func, args, kwargs, lambda value: _number(states.get(id(value)), value))
        return made or [None] * len(outputs)


def _sourced(raster: Raster, output: Tensor, old: Raster, shape: tuple[int, ...]) -> Raster:
    """Another number of rows or columns is not that of the source any more."""
    same = [output.shape[dim] for dim in raster.dims] == [shape[dim] for dim in old.dims]
    return raster if same else replace(raster, source=None)


def _number(state: State, value: Tensor) -> Scattered | None:
    """The places number by number."""
    return places.scattered(state, value.shape) if isinstance(state, Raster) else state


def _merged(before: _Inputs, output: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> State:
    """Put together number by number: the places are those of the input that has the most."""
    if not isinstance(output, Tensor):
        return None
    straight = [(state, shape) for state, shape in before if isinstance(state, Raster)]
    scattered = [(state, shape) for state, shape in before if isinstance(state, Scattered)]
    most = max((state.codes.numel() for state, _ in scattered), default=0)
    if straight and most <= max(_places(state, shape) for state, shape in straight):
        found = rasters.pointwise(straight, output, args, kwargs)
        spread = name in operations.SPREADING or len(straight) < len(before)
        return replace(found, field=WHOLE) if found and spread else found
    return places.strongest(scattered, output) if scattered else None


def _places(raster: Raster, shape: tuple[int, ...]) -> int:
    return shape[raster.batch_dim] * shape[raster.row_dim] * shape[raster.col_dim]


def _slid(
    known: tuple[State, tuple[int, ...]], output: Tensor, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> State:
    """A window slid along the last two dimensions."""
    state, shape = known
    if isinstance(state, Scattered):
        state = places.raster(state, shape) or state
    if isinstance(state, Raster):
        return operations.WINDOWS[name]([(state, shape)], output, args, kwargs)
    if state is None or name not in operations.KERNELS:
        return None
    rows, cols = output.shape[-2:]
    return places.sampled(state, *rasters.geometry(*operations.KERNELS[name], args, kwargs), (rows, cols))


def _last(
    known: tuple[State, tuple[int, ...]], output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> State:
    """What mixes the last dimension."""
    state, shape = known
    if isinstance(state, Raster):
        found = rasters.last([(state, shape)], output, args, kwargs)
        if found:
            return found
        state = places.scattered(state, shape)
    if state is None:
        return None
    return state.reduced(-1, keepdim=True)


def _summed(
    known: tuple[State, tuple[int, ...]], output: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> State:
    """Added up along dimensions."""
    state, shape = known
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if dim is None or isinstance(dim, Tensor) or state is None:
        return None
    dims = [one % len(shape) for one in (dim if isinstance(dim, tuple | list) else (dim,))]
    keepdim = output.ndim == len(shape)
    if isinstance(state, Raster) and not set(dims) & set(state.dims):
        return state if keepdim else state.moved([one for one in range(len(shape)) if one not in dims])
    state = places.scattered(state, shape) if isinstance(state, Raster) else state
    return state.reduced(dims, keepdim)
