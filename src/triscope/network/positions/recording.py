"""Recording a pass: which functions made which tensors from the images.

What becomes of the places is worked out afterwards (`triscope.network.positions.following`), so that the pass is hardly
slower, and nothing is worked out inside of the modes that a pass may be run in.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from weakref import ref

from torch import Tensor
from torch.overrides import TorchFunctionMode

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

#: What most arguments are that are no tensors: to ask for their type is quicker than `isinstance`.
_PLAIN = frozenset({int, float, bool, str, slice, type(None)})


class Recorder(TorchFunctionMode):
    """While entered, every function that is called on `images`, or on what was computed from them, is recorded."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self._known: dict[int, tuple[ref[Tensor], Noted]] = {}  # by identity, which another may have afterwards
        self._count = 0
        self._lost: set[int] = set()
        self._regions: set[int] = set()
        self.record: Record = []
        self._made(images, known=True)

    def number(self, tensor: Tensor) -> int | None:
        """The number of a tensor; None where it does not depend on the images, as far as is known."""
        known = self._met(tensor)
        return None if known is None else known.number

    def _met(self, value: object) -> Noted | None:
        """A tensor that depends on the images, as it was noted when it was made."""
        known = self._known.get(id(value))
        return known[1] if known is not None and known[0]() is value else None

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
        name = getattr(func, "__name__", "")
        given = flat(args[:1] if name in operations.LIKE else (*args, *kwargs.values()))
        met = [noted for value in given if (noted := self._met(value)) is not None]
        if not met:
            return func(*args, **kwargs)
        # What is put together number by number stays where it is for as long as one of the inputs is followed.
        some = any if name in operations.POINTWISE else all
        known = name in operations.KNOWN and some(one.number not in self._lost for one in met)
        if name in operations.COPYING and isinstance(whole := getattr(args[0], "_base", None), Tensor):
            return self._copied(func, args, kwargs, whole, known)
        call = self._call(func, name, tuple(met), args, kwargs) if known else None  # may change it
        result = func(*args, **kwargs)
        if name in operations.CONSTANT:
            return result
        made = [args[0]] if name == "__setitem__" else flat((result,))  # what is written into
        outputs = tuple(self._made(value, known) for value in made)
        writes = bool(args) and name.endswith("_") and name not in operations.KNOWN
        base = getattr(args[0], "_base", None) if writes else None
        if isinstance(base, Tensor) and self.number(base) is None:  # written into a part of something new
            outputs = (*outputs, self._made(base, known=False))
        if name in operations.REGIONS or (self._regions and any(one.number in self._regions for one in met)):
            self._regions.update(one.number for one in outputs if one is not None and one.number is not None)
        if call and any(outputs):
            self.record.append(call(outputs))
        return result

    def _call(
        self, func: Any, name: str, inputs: tuple[Noted, ...], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Callable[[tuple[Noted | None, ...]], Call]:
        """The entry of a call, but for its outputs: written down before what it is given may change."""
        given = (self._noted(tuple(args)), {key: self._noted(value) for key, value in kwargs.items()})
        return lambda outputs: Call(func, name, inputs, outputs, *given)

    def _copied(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], whole: Tensor, known: bool) -> Any:
        """A tensor copied into a part of another: `args` of the entry are the whole, where the part is, what is copied.

        In a whole that is not contiguous the part's place is not known.
        """
        part, value = args[:2]
        known = known and isinstance(value, Tensor) and whole.is_contiguous() and self.number(whole) not in self._lost
        where = (tuple(part.shape), part.stride(), part.storage_offset() - whole.storage_offset())
        into, given = self._noted(whole), self._noted(value)
        inputs = tuple(one for one in (into, given) if isinstance(one, Noted) and one.number is not None)
        result = func(*args, **kwargs)
        made = self._made(whole, known)
        if known:
            self.record.append(Call(func, "copy_", inputs, (made,), (into, where, given), {}))
        return result

    def _made(self, value: object, known: bool) -> Noted | None:
        """A tensor that a function gave, under a new number; nested ones have no shape to be noted."""
        if not isinstance(value, Tensor) or value.is_nested:
            return None
        number, self._count = self._count, self._count + 1
        noted = Noted(number, tuple(value.shape))
        self._known[id(value)] = ref(value), noted
        if not known:
            self._lost.add(number)
        return noted

    def _noted(self, value: Any) -> Any:
        """An argument, with its tensors noted."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple or kind is list:
            return kind([self._noted(inner) for inner in value])
        if not isinstance(value, Tensor):
            return value
        if value.is_nested:
            return None
        index = None if value.is_floating_point() else value
        return self._met(value) or Noted(None, tuple(value.shape), index)
