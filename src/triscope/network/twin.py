"""The twin: the copy of a module that is run, so that the user's module is never changed.

A twin is the user's module tree copied around the *same* parameters, detached, in eval mode. Nothing is registered on,
switched in or written to the user's module; weights that are trained further in place are seen at once. Buffers and all
other state are copied, and restored before every pass, because a pass may write to them: counters, running statistics,
memories (see `triscope.network.module_state`). Hooks of the user's that only observe are left out (see
`triscope.network.user_hooks`).
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network import tap
from triscope.network.memory_format import tokens_first
from triscope.network.module_state import ModuleState, write
from triscope.network.user_hooks import leave_out_observers


class TwinKeeper:
    """Makes the twin of a module on first use, and again whenever the module's state has changed."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module = unwrap(module)
        self.name = name
        self._lock = threading.RLock()
        self._twin: _Twin | None = None
        self._running = 0
        _refuse_closed(self.module, name)

    def get(self) -> nn.Module:
        """The twin of the module as it is now."""
        with self._lock:
            twin = self._twin
            if twin is None or _memory(twin.tensors) != twin.memory or any(twin.theirs.changes()):
                twin = self._twin = _Twin(self.module, self.name)
            return twin.module

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context of a pass, before which the twin gets the module's state.

        It is not restored while a pass is running in another thread.
        """
        with self._lock:
            if not self._running and self._twin:
                self._twin.restore()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1


class _Twin:
    """The twin of a module with its state at the moment of construction."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, copies = _copied(module, name)
        tap.install(self.module)
        tokens_first(self.module)
        # Only after the taps: a part that is not copied but shared has them, too.
        self.theirs, self._ours = ModuleState(module), ModuleState(self.module)
        self.tensors = list(parameters_and_buffers(module))
        self.memory = _memory(self.tensors)
        weights = {id(weight) for weight in module.parameters()}
        self._written = [
            # `.data` has its own version counter, so a pass that is running in another thread does not fail.
            (ours.data if isinstance(ours, Tensor) else ours, theirs)
            for theirs in self.theirs.written
            if id(theirs) not in weights and (ours := copies.get(id(theirs), theirs)) is not theirs
        ]

    def restore(self) -> None:
        """Give the twin the state of the module, with what was written to that in place."""
        self._ours.restore()
        for ours, theirs in self._written:
            write(ours, theirs)


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def make_twin(module: nn.Module, name: str) -> nn.Module:
    """A copy of `module` in eval mode around the same parameters; every tensor in it is detached from any graph.

    Raises NetworkError if the module cannot be copied.
    """
    return _copied(module, name)[0]


def _copied(module: nn.Module, name: str) -> tuple[nn.Module, Mapping[int, Any]]:
    """The copy, and the copies of all objects in the module by the ids of the originals."""
    with torch.inference_mode(mode=False):
        tensors = [tensor for tensor in ModuleState(module).written if isinstance(tensor, Tensor)]
        memo: dict[int, Any] = {id(tensor): _share(tensor) for tensor in tensors}
        memo |= {id(empty): OrderedDict() for part in module.modules() for empty in _empty(part)}
        try:
            for part in list(module.modules()):  # a compiled part is copied as what it wraps
                if isinstance(inner := vars(part).get("_modules", {}).get("_orig_mod"), nn.Module):
                    memo[id(part)] = copy.deepcopy(unwrap(inner), memo)
            twin = copy.deepcopy(module, memo)
        # Copying may raise anything, depending on what the module holds: open files, locks, handles of libraries.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NetworkError(
                f"{name} cannot be copied, and triscope runs only a copy ({reason}). Take what cannot be copied out of "
                "the module, or give it a __deepcopy__."
            ) from error
        leave_out_observers(module, memo)
        return twin.eval().requires_grad_(False), memo


def _empty(part: nn.Module) -> Iterator[object]:
    """The empty tables of hooks of a module, about a dozen; copying them would take longer than all the rest."""
    return (held for held in vars(part).values() if type(held) is OrderedDict and not held)


def _share(tensor: Tensor) -> Tensor:
    """A parameter that shares its memory; a copy of any other tensor, since a pass may write to it."""
    detached = tensor.detach()
    if not isinstance(tensor, nn.Parameter):
        return detached.clone()
    if tensor.is_inference():  # it cannot be used with autograd, nor be trained further
        detached = detached.clone()
    return nn.Parameter(detached, requires_grad=False)


def parameters_and_buffers(module: nn.Module) -> Iterator[Tensor]:
    """The module's parameters and buffers, each once."""
    return chain(module.parameters(), module.buffers())


def _memory(tensors: Iterable[Tensor]) -> list[object]:
    """The addresses and dtypes of tensors, which `module.half()` and `.to(device)` change."""
    return [(tensor.data_ptr(), tensor.dtype) for tensor in tensors]


def _refuse_closed(module: nn.Module, name: str) -> None:
    """Raise NetworkError if a part of the module is scripted or traced, or has weights without a shape."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise NetworkError(
                f"{name} holds a scripted or traced module ({path or 'itself'}), which cannot be inspected; give the "
                "original module."
            )
    lazy = (path for path, value in module.named_parameters() if isinstance(value, nn.UninitializedParameter))
    if path := next(lazy, None):
        raise NetworkError(f"{name} has weights without a shape yet ({path}); run it once on a batch of images first.")
