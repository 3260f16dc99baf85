"""The identity of an ascent: everything that determines its image, as text and a few numbers.

A value is described by its type and its parts, so that whatever is added to an ascent later is part of its identity
too. Tensors - a target, a direction, the first image - are too large for text, and their last bits depend on the number
of threads. They are compared by their norm and three projections, which agree up to a ten-thousandth of the norm.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, singledispatch
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor

from triscope.network import Network

_PROJECTIONS = 3
_ALIKE = 1e-4  # of a tensor's length


@dataclass(frozen=True)
class Part:
    """One thing that two ascents must agree in: its description, the numbers of its tensors, and words for a reader."""

    text: str
    numbers: tuple[float, ...]
    shown: str

    def agrees(self, other: "Part") -> bool:
        """Whether both describe the same."""
        if self.text != other.text or len(self.numbers) != len(other.numbers):
            return False
        each = 1 + _PROJECTIONS
        lengths = [self.numbers[place - place % each] for place in range(len(self.numbers))]
        return all(
            abs(one - two) <= _ALIKE * length
            for one, two, length in zip(self.numbers, other.numbers, lengths, strict=True)
        )


def part(value: Any, shown: str | None = None) -> Part:
    """The identity of a value."""
    numbers: list[float] = []
    text = _described(value, numbers)
    return Part(text, tuple(numbers), shown or (repr(value) if value is not None else "left out"))


@singledispatch
def _described(value: Any, numbers: list[float]) -> str:
    """The type of a value and its parts; the numbers of its tensors are added to `numbers`."""
    kind = type(value)
    if "__dataclass_fields__" in vars(kind):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return _called(kind) + _all(fields, numbers)
    return _called(kind) + _all(vars(value), numbers) if hasattr(value, "__dict__") else repr(value)


@_described.register
def _(value: Tensor, numbers: list[float]) -> str:
    numbers += _sketch(value)
    return f"tensor {tuple(value.shape)}"


@_described.register
def _(value: Network, numbers: list[float]) -> str:
    return f"network {value.sha256} {_structure(value)}"


@_described.register(list)
@_described.register(tuple)
def _(value: list[Any] | tuple[Any, ...], numbers: list[float]) -> str:
    return _all({str(place): each for place, each in enumerate(value)}, numbers)


@_described.register
def _(value: Mapping, numbers: list[float]) -> str:  # type: ignore[type-arg] # what is registered is a class
    return _all({str(key): each for key, each in value.items()}, numbers)


@_described.register
def _(value: partial, numbers: list[float]) -> str:  # type: ignore[type-arg]
    return _called(value.func) + _all({"args": value.args, **value.keywords}, numbers)


@_described.register
def _(value: MethodType, numbers: list[float]) -> str:
    return _called(value.__func__) + _described(value.__self__, numbers)


@_described.register(FunctionType)
@_described.register(type)
def _(value: Any, numbers: list[float]) -> str:
    return _called(value)


def _all(parts: Mapping[str, Any], numbers: list[float]) -> str:
    return "(" + ", ".join(f"{name}={_described(value, numbers)}" for name, value in parts.items()) + ")"


def _called(value: Any) -> str:
    return f"{value.__module__.rpartition('.')[2]}.{value.__qualname__}"


def _structure(network: Network) -> str:
    """A hash of what is computed with the weights: modules with their settings, normalisation, number format."""
    settings = (repr(network.module), network.mean, network.std, str(network.dtype))
    return hashlib.sha256(repr(settings).encode()).hexdigest()


def _sketch(values: Tensor) -> list[float]:
    """The norm of a tensor, and its projections on directions of random signs."""
    flat = values.detach().double().flatten().cpu()
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (_PROJECTIONS, flat.numel()), generator=generator, dtype=torch.int8)
    return [float(flat.norm()), *(float((flat * (2 * row - 1)).sum()) / max(1, flat.numel()) ** 0.5 for row in signs)]
