"""A workaround for a wrong gradient of batch normalisation in PyTorch.

On CPUs (seen in 2.13), the gradient of batch normalisation is wrong for a single image if the incoming gradient has
channels last, as from tokens (LeViT, TinyViT): the error is larger than the gradient. It is right if the incoming
gradient is made contiguous. Modules get a hook for this. Normalisations called as functions are handled by a mode over
torch's functions. Since a mode slows a pass down, it is used until one pass has run to its end, and then only if such
calls were found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_FUNCTIONS = frozenset(("batch_norm", "instance_norm", "native_batch_norm"))

#: Whether a twin was found to call normalisations as functions.
_calls_functions: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_watching: ContextVar["_Watching | None"] = ContextVar("watching", default=None)


def install(twin: nn.Module) -> None:
    """Register the workaround on the normalisation modules."""
    for module in twin.modules():
        if isinstance(module, _NORMS):
            module.register_forward_hook(_after_module)


@contextmanager
def mended(twin: nn.Module) -> Iterator[None]:
    """Context of a pass of `twin`, with the workaround for normalisations that are called as functions."""
    known = _calls_functions.get(twin)
    if known is False or (known and not torch.is_grad_enabled()):
        yield
        return
    watching = _Watching()
    token = _watching.set(watching)
    try:
        with watching:
            yield
    finally:
        _watching.reset(token)
    _calls_functions[twin] = watching.functions > 0  # only after a complete pass


class _Watching(TorchFunctionMode):
    """Applies the workaround to the results of functions; `functions` counts those not called by modules."""

    def __init__(self) -> None:
        super().__init__()
        self.functions = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") in _FUNCTIONS:
            self.functions += 1
            _mend(result[0] if isinstance(result, tuple) else result)
        return result


def _after_module(module: nn.Module, _: object, output: object) -> None:
    watching = _watching.get()
    if watching is None:
        _mend(output)
    else:
        watching.functions -= 1  # the mode has already handled it, and counted it as a function


def _mend(output: object) -> None:
    """Make the gradient that arrives at the output of a normalisation contiguous."""
    if isinstance(output, Tensor) and output.requires_grad and len(output) == 1:
        output.register_hook(Tensor.contiguous)
