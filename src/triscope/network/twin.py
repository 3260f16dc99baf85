"""The twin: the network that is really asked, so that the user's is never touched.

A twin is the user's module tree copied around the *same* parameters, detached, in eval mode. Nothing is ever registered
on, switched in or written to the user's module; weights trained further in place are seen at once. Buffers and whatever
else it holds are copied, and put back before every pass, because a pass may write to them: a counter, running
statistics, a memory (see `triscope.network.held`). Hooks of the user's that only watch are left out (see
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
from triscope.network.held import Held, write
from triscope.network.memory_format import tokens_first
from triscope.network.user_hooks import leave_out_watchers


class TwinKeeper:
    """Makes the twin of a module when first asked, and anew when something that the module holds was replaced."""

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
        """A pass, before which the twin holds what the module does.

        Modules may write to what they hold: counters, memories, what is right for one size of image. So that is put
        back before each pass but those in other threads while one is under way.
        """
        with self._lock:
            if not self._running and self._twin:
                self._twin.put_back()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1


class _Twin:
    """The twin of a module as it was when this was made."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, copies = _copied(module, name)
        tap.install(self.module)
        tokens_first(self.module)
        # Looked at only now: a part that is copied as itself holds our taps as well.
        self.theirs, self._ours = Held(module), Held(self.module)
        self.tensors = list(parameters_and_buffers(module))
        self.memory = _memory(self.tensors)
        weights = {id(weight) for weight in module.parameters()}
        self._written = [
            # `.data` has a version of its own, so a pass under way in another thread does not see a change.
            (ours.data if isinstance(ours, Tensor) else ours, theirs)
            for theirs in self.theirs.written
            if id(theirs) not in weights and (ours := copies.get(id(theirs), theirs)) is not theirs
        ]

    def put_back(self) -> None:
        """It holds what the module holds, and what that has written since."""
        self._ours.put_back()
        for ours, theirs in self._written:
            write(ours, theirs)


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel or torch.compile wrappings."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def make_twin(module: nn.Module, name: str) -> nn.Module:
    """A copy of `module` in eval mode around the same parameters; every tensor in it is detached from any graph.

    Raises NetworkError where the module cannot be copied.
    """
    return _copied(module, name)[0]


def _copied(module: nn.Module, name: str) -> tuple[nn.Module, Mapping[int, Any]]:
    """The copy, and the copies of what the module holds, by identity."""
    with torch.inference_mode(mode=False):
        tensors = [tensor for tensor in Held(module).written if isinstance(tensor, Tensor)]
        memo: dict[int, Any] = {id(tensor): _share(tensor) for tensor in tensors}
        memo |= {id(empty): OrderedDict() for part in module.modules() for empty in _empty(part)}
        try:
            for part in list(module.modules()):  # a compiled part is copied as what it wraps
                if isinstance(inner := vars(part).get("_modules", {}).get("_orig_mod"), nn.Module):
                    memo[id(part)] = copy.deepcopy(unwrap(inner), memo)
            twin = copy.deepcopy(module, memo)
        # What copying raises is up to whatever the module holds: open files, locks, handles of other libraries.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NetworkError(
                f"{name} cannot be copied, and triscope runs only a copy ({reason}). Take what cannot be copied out of "
                "the module, or give it a __deepcopy__."
            ) from error
        leave_out_watchers(module, memo)
        return twin.eval().requires_grad_(False), memo


def _empty(part: nn.Module) -> Iterator[object]:
    """A dozen dictionaries of each module, for hooks that it has not; to copy them takes longer than all the rest."""
    return (held for held in vars(part).values() if type(held) is OrderedDict and not held)


def _share(tensor: Tensor) -> Tensor:
    """A parameter around the same numbers; of other tensors, which a pass may write to, a copy."""
    detached = tensor.detach()
    if not isinstance(tensor, nn.Parameter):
        return detached.clone()
    if tensor.is_inference():  # no gradient may pass through it, and nobody can train it further
        detached = detached.clone()
    return nn.Parameter(detached, requires_grad=False)


def parameters_and_buffers(module: nn.Module) -> Iterator[Tensor]:
    """The module's parameters and buffers, each once."""
    return chain(module.parameters(), module.buffers())


def _memory(tensors: Iterable[Tensor]) -> list[object]:
    """Where the numbers of tensors lie, and in what format: `module.half()` and `.to(device)` move them."""
    return [(tensor.data_ptr(), tensor.dtype) for tensor in tensors]


def _refuse_closed(module: nn.Module, name: str) -> None:
    """Raise NetworkError where a part of the module cannot be looked into."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise NetworkError(
                f"{name} holds a scripted or traced module ({path or 'itself'}), which cannot be inspected; give the "
                "original module."
            )
    lazy = (path for path, value in module.named_parameters() if isinstance(value, nn.UninitializedParameter))
    if path := next(lazy, None):
        raise NetworkError(f"{name} has weights without a shape yet ({path}); run it once on a batch of images first.")
