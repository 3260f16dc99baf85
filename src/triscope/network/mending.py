"""A gradient of PyTorch's that is wrong, put right.

Its batch normalisation sends back a wrong gradient (off by more than its size; seen in 2.13, on processors) for a
single image where what comes back has its channels last, as from tokens (LeViT, TinyViT). It is right where that is
put in order before. Modules have a hook for it. Normalisations that a forward calls as functions are seen by a mode
over torch's functions; since that slows a pass down, it is entered until a pass went to its end, and from then on only
where there were some.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from triscope.autograd import on_gradient

_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
_FUNCTIONS = frozenset(("batch_norm", "instance_norm", "native_batch_norm"))

#: Whether a twin was seen to call normalisations as functions.
_calls_functions: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_watching: ContextVar["_Watching | None"] = ContextVar("watching", default=None)


def install(twin: nn.Module) -> None:
    """Mend the normalisations that are modules."""
    for module in twin.modules():
        if isinstance(module, _NORMS):
            module.register_forward_hook(_after_module)


@contextmanager
def mended(twin: nn.Module) -> Iterator[None]:
    """A pass of `twin`, with the normalisations mended that are functions."""
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
    _calls_functions[twin] = watching.functions > 0  # only here: a pass that was stopped has not seen all


class _Watching(TorchFunctionMode):
    """Mends what normalising functions give; `functions` counts those that were not called by modules."""

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
        watching.functions -= 1  # mended already


def _mend(output: object) -> None:
    if isinstance(output, Tensor) and output.requires_grad and len(output) == 1:
        on_gradient(output, Tensor.contiguous)
