"""The state of modules other than weights: attributes, lists, caches, counters, configurations, generators.

A module may write to it during a pass, and its owner may change it between passes. So the state of a twin is restored
before each pass, and a module whose state has changed gets a new twin. Objects are compared by identity, not by value.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from triscope.network.user_hooks import HOOKS

_ATOMS = (bool, int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device, torch.Size)
_SEQUENCES = (list, set, deque, tuple, frozenset)
_CLOSED = (FunctionType, BuiltinFunctionType, MethodType, ModuleType)
#: The attributes of every module. Of these, only the tables of parts and of hooks are part of the state.
_STANDARD = frozenset(vars(nn.Module()))
_PARTS = ("_parameters", "_buffers", "_modules")
_TRAINING = "training"  # the flag, which is False in a twin whatever it is in the module

Container: TypeAlias = dict[Any, Any] | list[Any] | set[Any] | deque[Any]
#: Objects whose contents may be written in place: tensors, arrays, random generators.
Written: TypeAlias = Tensor | torch.Generator | np.ndarray[Any, Any] | np.random.Generator | random.Random
_WRITTEN = (Tensor, torch.Generator, np.ndarray, np.random.Generator, random.Random)


class ModuleState:
    """The state of a module and its parts at the moment of construction, to detect changes and to restore it."""

    def __init__(self, module: nn.Module) -> None:
        self.written: list[Written] = []
        self._dicts: list[tuple[dict[Any, Any], list[Any], list[Any]]] = []  # with their keys and values
        self._empty: list[dict[str, Any]] = []  # tables of parts and hooks that were empty
        self._others: list[tuple[list[Any] | set[Any] | deque[Any], list[Any]]] = []
        self._seen: dict[int, object] = {}  # keeps the objects alive, so that an id stays that of one object
        waiting: list[object] = [module]
        while waiting:
            waiting += self._note(waiting.pop())

    def restore(self) -> None:
        """Restore what was replaced or removed, and remove what was added. In-place changes of `written` remain."""
        for container, kept in list(self.changes()):
            if isinstance(container, dict):
                for name in [name for name in container if name not in kept and name != _TRAINING]:
                    del container[name]
                container.update(kept)
            elif isinstance(container, list):
                container[:] = kept
            else:
                container.clear()
                container.update(kept) if isinstance(container, set) else container.extend(kept)

    def changes(self) -> Iterator[tuple[Container, Any]]:
        """The containers in which something was replaced, added or removed, with their original contents."""
        for held, names, values in self._dicts:
            more = len(names) + (_TRAINING in held)
            if len(held) != more or not all(map(is_, map(held.get, names), values)):
                yield held, dict(zip(names, values, strict=True))
        if any(self._empty):
            yield from ((table, {}) for table in self._empty if table)
        for container, kept in self._others:
            if len(container) != len(kept) or not all(map(is_, container, kept)):
                yield container, kept

    def _note(self, value: object) -> Sequence[object]:
        """Record one object; returns the objects that it contains."""
        if isinstance(value, _ATOMS + _CLOSED) or id(value) in self._seen:
            return ()
        self._seen[id(value)] = value
        if isinstance(value, _WRITTEN):
            self.written.append(value)
            return ()
        if isinstance(value, nn.Module):
            return self._note_module(vars(value))
        if isinstance(value, dict):
            self._note_dict(value)
            return list(value.values())
        if isinstance(value, list | set | deque):
            self._others.append((value, list(value)))
        return list(value) if isinstance(value, _SEQUENCES) else [getattr(value, "__dict__", None)]

    def _note_module(self, held: dict[str, Any]) -> Sequence[object]:
        parts, hooks = ([held[name] for name in names if name in held] for names in (_PARTS, HOOKS))
        self._note_dict(held)
        for table in (*parts, *hooks):
            if table:
                self._note_dict(table)
            else:
                self._empty.append(table)
        own = [inner for name, inner in held.items() if name not in _STANDARD]
        return [*own, *(inner for table in parts for inner in table.values())]

    def _note_dict(self, held: dict[Any, Any]) -> None:
        names = [name for name in held if name != _TRAINING]
        self._dicts.append((held, names, [held[name] for name in names]))


def write(ours: Written, theirs: Written) -> None:
    """Copy the values or the state of `theirs` into its copy `ours`."""
    match ours, theirs:
        case Tensor(), Tensor():
            ours.copy_(theirs)
        case torch.Generator(), torch.Generator():
            ours.set_state(theirs.get_state())
        case random.Random(), random.Random():
            ours.setstate(theirs.getstate())
        case np.random.Generator(), np.random.Generator():
            ours.bit_generator.state = theirs.bit_generator.state
        case np.ndarray(), np.ndarray():
            np.copyto(ours, theirs)
