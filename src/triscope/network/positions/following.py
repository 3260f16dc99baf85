"""Following places through a recorded pass, function by function."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch

from triscope.network.positions import operations
from triscope.network.positions import raster as rasters
from triscope.network.positions import scattered as places
from triscope.network.positions.einsum import contracted
from triscope.network.positions.noted import Noted
from triscope.network.positions.raster import Raster
from triscope.network.positions.recording import Call, Name, Record
from triscope.network.positions.scattered import Scattered
from triscope.network.receptive_field import WHOLE, ReceptiveField, Span

#: What is known of a tensor that depends on the image; None where it is only known that it does.
State: TypeAlias = Raster | Scattered | None


def follow(record: Record) -> Mapping[int, State]:
    """What is known of the places of each tensor of a recorded pass, by its number; of those that are known."""
    states: dict[int, State] = {0: Raster(ReceptiveField(Span(), Span()))}
    for entry in record:
        if isinstance(entry, Name):
            state = states.get(entry.number)
            if isinstance(state, Raster) and state.source is None:
                states[entry.number] = replace(state, source=entry.layer)
            continue
        for output, state in zip(entry.outputs, _made(_Step(entry, states)), strict=False):
            if output is not None and output.number is not None:
                states[output.number] = state
    return states


@dataclass(frozen=True, eq=False)
class _Step:
    """One call of the record, with what is known of its inputs."""

    call: Call
    states: Mapping[int, State]

    @property
    def before(self) -> list[tuple[State, tuple[int, ...]]]:
        """The state and shape of every input that is followed."""
        return [(self.state(one), one.shape) for one in self.call.inputs]

    @property
    def output(self) -> Noted:
        """The first output."""
        found = self.call.outputs[0]
        assert found is not None  # of the functions that ask for it
        return found

    def state(self, value: Noted) -> State:
        """What is known of a tensor."""
        return None if value.number is None else self.states.get(value.number)

    def numbers(self, value: Noted) -> Scattered | None:
        """The places of a tensor, number by number."""
        state = self.state(value)
        return places.scattered(state, value.shape) if isinstance(state, Raster) else state


def _made(step: _Step) -> list[State]:
    """The states of the outputs of a call; of fewer where the others are not known."""
    name = step.call.name
    if name in operations.POINTWISE or name in operations.SPREADING:
        return [_merged(step, output) if output else None for output in step.call.outputs]
    if step.call.outputs[0] is None:
        return []
    if name in operations.MOVES:
        return _moved(step)
    for names, rule in _RULES:
        if name in names:
            return [rule(step)]
    return []


def _merged(step: _Step, output: Noted) -> State:
    """Put together number by number: the places are those of the input that has the most."""
    straight = [(state, shape) for state, shape in step.before if isinstance(state, Raster)]
    scattered = [(state, shape) for state, shape in step.before if isinstance(state, Scattered)]
    most = max((state.codes.numel() for state, _ in scattered), default=0)
    as_it_is = any(shape == output.shape for _, shape in straight)  # other places then differ from channel to channel
    if straight and (as_it_is or most <= max(_places(state, shape) for state, shape in straight)):
        found = rasters.pointwise(straight, output, step.call.args, step.call.kwargs)
        spread = step.call.name in operations.SPREADING or len(straight) < len(step.before)
        return replace(found, field=WHOLE) if found and spread else found
    return places.strongest(scattered, output) if scattered else None


def _places(raster: Raster, shape: tuple[int, ...]) -> int:
    return shape[raster.batch_dim] * shape[raster.row_dim] * shape[raster.col_dim]


def _moved(step: _Step) -> list[State]:
    """Of a function that moves numbers about: rows and columns where they stay that, else number by number."""
    call, before = step.call, step.before
    rule = operations.RASTER_MOVES.get(call.name)
    straight = [(state, shape) for state, shape in before if isinstance(state, Raster)]
    if rule is not None and len(straight) == len(before):
        outputs = [output for output in call.outputs if output is not None]
        followed = [rule(straight, output, call.args, call.kwargs) for output in outputs]
        if None not in followed:
            both = zip(followed, outputs, strict=True)
            return [_sourced(one, output, *straight[0]) if one else None for one, output in both]
    if any(state is None for state, _ in before):
        return []
    if operations.is_blocks(call.func):
        numbers = step.numbers(call.inputs[0])
        return [numbers and places.blocks(call.func, numbers, before[0][1], call.args, call.kwargs)]
    if call.name in operations.VIEWS and len(before) == 1:
        numbers = step.numbers(call.inputs[0])
        return [numbers and places.reshaped(numbers, before[0][1], step.output.shape)]
    return list(places.moved(call.func, call.args, call.kwargs, step.numbers))


def _sourced(raster: Raster, output: Noted, old: Raster, shape: tuple[int, ...]) -> Raster:
    """Another number of rows or columns is not that of the source any more."""
    same = [output.shape[dim] for dim in raster.dims] == [shape[dim] for dim in old.dims]
    return raster if same else replace(raster, source=None)


def _slid(step: _Step) -> State:
    """A window slid along the last two dimensions."""
    (state, shape), call = step.before[0], step.call
    if isinstance(state, Scattered) and call.name in operations.RESAMPLING:
        return places.resampled(state, shape, step.output.shape)
    if isinstance(state, Scattered):
        state = places.raster(state, shape) or state
    if isinstance(state, Raster):
        return operations.WINDOWS[call.name]([(state, shape)], step.output, call.args, call.kwargs)
    if state is None or call.name not in operations.KERNELS:
        return None
    rows, cols = step.output.shape[-2:]
    return places.sampled(
        state, *rasters.geometry(*operations.KERNELS[call.name], call.args, call.kwargs), (rows, cols)
    )


def _last(step: _Step) -> State:
    """What mixes the last dimension."""
    state, shape = step.before[0]
    if isinstance(state, Raster):
        found = rasters.last([(state, shape)], step.output, step.call.args, step.call.kwargs)
        if found:
            return found
        state = places.scattered(state, shape)
    return state and state.reduced(-1, keepdim=True)


def _summed(step: _Step) -> State:
    """Added up along dimensions."""
    (state, shape), args = step.before[0], step.call.args
    dim = step.call.kwargs.get("dim", args[1] if len(args) > 1 else None)
    if dim is None or isinstance(dim, Noted) or state is None:
        return None
    dims = [one % len(shape) for one in (dim if isinstance(dim, tuple | list) else (dim,))]
    keepdim = step.output.ndim == len(shape)
    if isinstance(state, Raster) and not set(dims) & set(state.dims):
        return state if keepdim else state.moved([one for one in range(len(shape)) if one not in dims])
    if isinstance(state, Raster) and keepdim and state.batch_dim not in dims:
        return replace(state, field=WHOLE, source=None)  # one row, or column, where there were several
    state = places.scattered(state, shape) if isinstance(state, Raster) else state
    return state.reduced(dims, keepdim)


def _written(step: _Step) -> State:
    """Written into a tensor, of which the rest stays as it was."""
    into, where, value = step.call.args
    if any(step.state(one) is None for one in step.call.inputs) or not isinstance(value, Noted):
        return None
    return places.written(step.numbers(into), into.shape, where, step.numbers(value), value.shape)


def _copied(step: _Step) -> State:
    """Copied into a part of a tensor, of which the rest stays as it was."""
    into, (shape, stride, offset), value = step.call.args
    if any(step.state(one) is None for one in step.call.inputs):
        return None
    part = torch.arange(math.prod(into.shape)).as_strided(shape, stride, offset)
    where = torch.unravel_index(part, into.shape)
    return places.written(step.numbers(into), into.shape, where, step.numbers(value), value.shape)


def _multiplied(step: _Step) -> State:
    """A matrix product."""
    left, right = step.call.args[:2]
    return places.product(step.numbers(left), step.numbers(right), step.output, [left.shape, right.shape])


def _einsum(step: _Step) -> State:
    """Sums of products along named dimensions."""
    equation, *operands = step.call.args
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    if not isinstance(equation, str) or not all(isinstance(one, Noted) for one in operands):
        return None
    if any(one.number is not None and step.state(one) is None for one in operands):
        return None
    return contracted(
        equation, [step.numbers(one) for one in operands], [one.shape for one in operands], step.output.shape
    )


def _attended(step: _Step) -> State:
    """Attention: the answer to each query has its place."""
    query = step.numbers(step.call.args[0] if step.call.args else step.call.kwargs["query"])
    return query and query.reduced(-1, keepdim=True)


_RULES: tuple[tuple[frozenset[str], Callable[[_Step], State]], ...] = (
    (frozenset(operations.WINDOWS), _slid),
    (operations.LAST, _last),
    (operations.SUMS, _summed),
    (operations.WRITING, _written),
    (operations.COPYING, _copied),
    (operations.PRODUCTS, _multiplied),
    (operations.EINSUM, _einsum),
    (operations.ATTENTION, _attended),
)
