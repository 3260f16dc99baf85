"""Recording a pass: which functions made which tensors from the images.

What becomes of the places is worked out afterwards (`triscope.network.positions.following`), so that the pass is hardly
slower, and nothing is worked out inside of the modes that a pass may be run in.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from triscope.network.positions import operations
from triscope.network.positions.noted import Noted, flat


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a function on tensors that depend on the images: in `args` and `kwargs` tensors are `Noted`."""

    func: Any
    name: str
    inputs: tuple[Noted, ...]
    outputs: tuple[Noted | None, ...]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Name:
    """What a tensor is called as a layer."""

    number: int
    layer: str


Record: TypeAlias = list[Call | Name]


class Recorder(TorchFunctionMode):
    """While entered, every function that is called on `images`, or on what was computed from them, is recorded."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self._numbers: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()
        self._numbers[images] = 0
        self._count = 1
        self._lost: set[int] = set()
        self._regions: set[int] = set()
        self.record: Record = []

    def number(self, tensor: Tensor) -> int | None:
        """The number of a tensor; None where it does not depend on the images, as far as is known."""
        return self._numbers.get(tensor)

    def lost(self, number: int | None) -> bool:
        """Whether it is known already that the places of a tensor are not: a function that is not known made it."""
        return number is None or number in self._lost

    def pooled_regions(self, tensor: Tensor) -> None:
        """`tensor` is what was pooled of the regions that a detector proposes."""
        if (number := self.number(tensor)) is not None:
            self._regions.add(number)

    def of_regions(self, number: int | None) -> bool:
        """Whether a tensor was computed from the regions that a detector proposes."""
        return number in self._regions

    def named(self, tensor: Tensor, layer: str) -> None:
        """`tensor` is what `layer` gives: tokens made of its maps have its rows and columns."""
        if (number := self.number(tensor)) is not None:
            self.record.append(Name(number, layer))

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = tuple(
            Noted(number, tuple(value.shape))
            for value in flat((*args, *kwargs.values()))
            if isinstance(value, Tensor) and (number := self._numbers.get(value)) is not None
        )
        if not inputs:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        given = (self._noted(args), {key: self._noted(value) for key, value in kwargs.items()})  # before it may change
        result = func(*args, **kwargs)
        if name in operations.CONSTANT:
            return result
        regions = name in operations.REGIONS or any(one.number in self._regions for one in inputs)
        lost = [one.number in self._lost for one in inputs]
        # What is put together number by number stays where it is for as long as one of the inputs is followed.
        known = name in operations.KNOWN and not (all(lost) if name in operations.POINTWISE else any(lost))
        made = [args[0]] if name == "__setitem__" else flat((result,))  # what is written into
        outputs = tuple(self._made(value, known) for value in made)
        writes = bool(args) and name.endswith("_") and name not in operations.KNOWN
        base = getattr(args[0], "_base", None) if writes else None
        if isinstance(base, Tensor) and base not in self._numbers:  # written into a part of something new
            outputs = (*outputs, self._made(base, known=False))
        if regions:
            self._regions.update(one.number for one in outputs if one is not None and one.number is not None)
        if known and any(outputs):
            self.record.append(Call(func, name, inputs, outputs, *given))
        return result

    def _made(self, value: object, known: bool) -> Noted | None:
        """A tensor that a function gave, under a new number."""
        if not isinstance(value, Tensor):
            return None
        number, self._count = self._count, self._count + 1
        self._numbers[value] = number
        if not known:
            self._lost.add(number)
        return Noted(number, tuple(value.shape))

    def _noted(self, value: Any) -> Any:
        """An argument, with its tensors noted."""
        if type(value) in (tuple, list):
            return type(value)(self._noted(inner) for inner in value)
        if not isinstance(value, Tensor):
            return value
        number = self._numbers.get(value)
        index = value if number is None and not value.is_floating_point() else None
        return Noted(number, tuple(value.shape), index)
