"""The weights of a module as one hash, which takes longer to compute than to ask a network."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from triscope.network.twin import parameters_and_buffers


class Weights:
    """A module's weights, and their hash, remembered while they stay the same."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._known: tuple[tuple[tuple[int, int], ...], str] | None = None

    @property
    def sha256(self) -> str:
        """A hash of names, shapes, types and every number."""
        state = self.versions()
        if self._known is None or self._known[0] != state:
            self._known = (state, _hash(self._module))
        return self._known[1]

    def versions(self) -> tuple[tuple[int, int], ...]:
        """What changes when a weight is replaced, or written to in place; inference tensors do not count writes."""
        return tuple(
            (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)  # noqa: SLF001 - documented under autograd
            for tensor in parameters_and_buffers(self._module)
        )


def quantised_part(module: nn.Module) -> str | None:
    """The path of a layer whose weights are quantised, which has no gradient; None where there is none."""
    return next((path for path, part in module.named_modules() if _is_quantised(part)), None)


def _is_quantised(part: nn.Module) -> bool:
    kind = type(part).__module__
    return "quantized" in kind and "qat" not in kind


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        _add(digest, name.replace("_orig_mod.", ""), value)  # as torch.compile calls what it wraps
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    """One entry of a state: a tensor; or what quantised layers keep, several of them, types and numbers."""
    if isinstance(value, list | tuple):
        for place, part in enumerate(value):
            _add(digest, f"{name}.{place}", part)
    elif not isinstance(value, Tensor):
        digest.update(f"{name} {value!r}\n".encode())
    elif value.is_quantized:
        _add(digest, f"{name} {value.qscheme()}", value.int_repr())
        _add(digest, f"{name} scale", value.dequantize())
    else:
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
