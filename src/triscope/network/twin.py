"""The twin: the network that is really asked, so that the user's is never touched.

A twin is the user's module tree copied around the *same* tensor storage, detached, in eval mode. Nothing is ever
registered on, switched in or written to the user's module; weights trained further in place are seen at once.
"""

import copy
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network import tap


class TwinKeeper:
    """Makes the twin of a module when first asked, and anew when the module's tensors or parts were replaced."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module = unwrap(module)
        self.name = name
        self._lock = threading.Lock()
        self._twin: tuple[tuple[object, ...], nn.Module] | None = None
        _refuse_compiled(self.module, name)

    def get(self) -> nn.Module:
        """The twin of the module as it is now."""
        state = _state(self.module)
        with self._lock:
            if self._twin is None or self._twin[0] != state:
                twin = make_twin(self.module, self.name)
                tap.install(twin)
                self._twin = (state, twin)
            return self._twin[1]


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel or torch.compile wrappings."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod  # type: ignore[assignment]  # torch.compile's wrapper; just checked
        else:
            return module


def make_twin(module: nn.Module, name: str) -> nn.Module:
    """A copy of `module` in eval mode around the same storage; every tensor in it is detached from any graph.

    Raises NetworkError where the module cannot be copied.
    """
    memo: dict[int, object] = {id(tensor): _share(tensor) for tensor in _tensors(module)}
    try:
        twin = copy.deepcopy(module, memo)
    # What copying raises is up to whatever the module holds: open files, locks, handles of other libraries.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetworkError(
            f"{name} cannot be copied, and triscope asks only a copy ({reason}). Take what cannot be copied out of the "
            "module, or give it a __deepcopy__."
        ) from error
    return twin.eval().requires_grad_(False)


def _share(tensor: Tensor) -> Tensor:
    detached = tensor.detach()
    return nn.Parameter(detached, requires_grad=False) if isinstance(tensor, nn.Parameter) else detached


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
    for part in module.modules():  # plain attributes, such as the weight that weight_norm computes
        yield from (value for value in vars(part).values() if isinstance(value, Tensor))


def _state(module: nn.Module) -> tuple[object, ...]:
    """What must stay the same for a twin to stay true: the module's parts, and where its tensors lie."""
    parts = tuple(id(part) for part in module.modules())
    tensors = tuple((tensor.data_ptr(), tensor.dtype) for tensor in (*module.parameters(), *module.buffers()))
    return parts, tensors


def _refuse_compiled(module: nn.Module, name: str) -> None:
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule) or hasattr(part, "_orig_mod"):
            raise NetworkError(
                f"{name} holds a scripted, traced or compiled module ({path or 'itself'}), which cannot be looked into; "
                "give the original module."
            )
