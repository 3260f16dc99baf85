"""The twin: the network that is really asked, so that the user's is never touched.

A twin is the user's module tree copied around the *same* parameters, detached, in eval mode. Nothing is ever registered
on, switched in or written to the user's module; weights trained further in place are seen at once. Buffers are copied
for every question, because a forward pass may write to them (a counter, running statistics). Hooks of the user's that
only watch are left out (see `triscope.network.user_hooks`).
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network import tap
from triscope.network.memory_format import tokens_first
from triscope.network.user_hooks import HOOKS, leave_out_watchers

_HOLDING = (Tensor, dict, list, tuple)  # what may hold tensors


class TwinKeeper:
    """Makes the twin of a module when first asked, and anew when the module's tensors or parts were replaced."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module = unwrap(module)
        self.name = name
        self._lock = threading.RLock()
        self._twin: nn.Module | None = None
        self._seen: tuple[object, ...] = ()  # the module, when the twin was made
        self._buffers: list[tuple[Tensor, Tensor]] = []  # the twin's beside the module's
        self._made: list[tuple[dict[str, object], dict[str, object]]] = []  # attributes now, and as they were made
        self._running = 0
        _refuse_closed(self.module, name)

    def get(self) -> nn.Module:
        """The twin of the module as it is now, to be run: its buffers are copied."""
        with self._lock:
            twin = self.peek()
            for ours, theirs in self._buffers:
                ours.copy_(theirs)
            return twin

    def peek(self) -> nn.Module:
        """The twin of the module as it is now, to be looked at: its buffers may be those of an earlier question."""
        with self._lock:
            if self._twin is None or self._seen != _state(self.module):
                self._twin = self._make()
            return self._twin

    @contextmanager
    def running(self, usual: bool) -> Iterator[None]:
        """A pass over images of the usual size, or of another.

        Modules may write to themselves what holds for one size (Swin of transformers remembers smaller windows). So
        after a pass at another size, or one that failed, their attributes are put back to what they were when the twin
        was made, as soon as no other pass is under way.
        """
        with self._lock:
            self._running += 1
        try:
            yield
        except BaseException:
            usual = False
            raise
        finally:
            with self._lock:
                self._running -= 1
                if not usual and not self._running:
                    self._put_back()

    def _put_back(self) -> None:
        for now, made in self._made:
            for name, value in made.items():
                if now.get(name, value) is not value:
                    now[name] = value

    def _make(self) -> nn.Module:
        twin = make_twin(self.module, self.name)
        tap.install(twin)
        tokens_first(twin)
        # `.data` has a version of its own, so a pass under way in another thread does not see a change.
        ours = [buffer.data for buffer in twin.buffers()]
        self._seen = _state(self.module)  # only now: a part that is copied as itself holds our taps as well
        self._buffers = list(zip(ours, self.module.buffers(), strict=True))
        self._made = [(vars(part), dict(vars(part))) for part in twin.modules()]
        return twin


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
    with torch.inference_mode(mode=False):
        memo: dict[int, object] = {id(tensor): _share(tensor) for tensor in _tensors(module)}
        memo |= {id(buffer): buffer.detach().clone() for buffer in module.buffers()}
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
                f"{name} cannot be copied, and triscope asks only a copy ({reason}). Take what cannot be copied out of "
                "the module, or give it a __deepcopy__."
            ) from error
        leave_out_watchers(module, memo)
        return twin.eval().requires_grad_(False)


def _empty(part: nn.Module) -> Iterator[object]:
    """A dozen dictionaries of each module, for hooks that it has not; to copy them takes longer than all the rest."""
    return (held for held in vars(part).values() if type(held) is OrderedDict and not held)


def _share(tensor: Tensor) -> Tensor:
    detached = tensor.detach()
    if tensor.is_inference():  # no gradient may pass through it, and nobody can train it further
        detached = detached.clone()
    return nn.Parameter(detached, requires_grad=False) if isinstance(tensor, nn.Parameter) else detached


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    for part in module.modules():  # plain attributes, such as the weight that weight_norm computes, and caches
        yield from _held(vars(part))


def _held(value: object) -> Iterator[Tensor]:
    """The tensors in a value, and in the lists, tuples and dicts of it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, _HOLDING):
        for inner in list(value.values() if isinstance(value, dict) else value):
            if isinstance(inner, _HOLDING):
                yield from _held(inner)


def parameters_and_buffers(module: nn.Module) -> Iterator[Tensor]:
    """The module's parameters and buffers, each once."""
    return chain(module.parameters(), module.buffers())


def _state(module: nn.Module) -> tuple[object, ...]:
    """What must stay the same for a twin to stay true: the module's parts, their hooks, and where its tensors lie."""
    parts = tuple(module.modules())  # the modules themselves: held, their identity cannot pass to another
    hooks: list[object] = []
    tensors: list[object] = []
    for part in parts:  # at every question: plain loops, as parts and tensors are hundreds
        held = vars(part)
        for name in HOOKS:
            if table := held.get(name):
                hooks += table.values()
        for name in ("_parameters", "_buffers"):
            for tensor in held.get(name, {}).values():
                if tensor is not None:
                    tensors += (tensor.data_ptr(), tensor.dtype)
    return parts, hooks, tensors


def _refuse_closed(module: nn.Module, name: str) -> None:
    """Raise NetworkError where a part of the module cannot be looked into."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise NetworkError(
                f"{name} holds a scripted or traced module ({path or 'itself'}), which cannot be looked "
                "into; give the original module."
            )
    lazy = (path for path, value in module.named_parameters() if isinstance(value, nn.UninitializedParameter))
    if path := next(lazy, None):
        raise NetworkError(f"{name} has weights without a shape yet ({path}); run it once on a batch of images first.")
