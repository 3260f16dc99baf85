"""The hash of a module's weights, which takes longer to compute than a forward pass, and is cached."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from triscope.network.twin import parameters_and_buffers


class Weights:
    """A module's weights and their hash, cached while they are unchanged."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._known: tuple[tuple[tuple[int, int], ...], str] | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the names, shapes, types and values."""
        state = self.versions()
        if self._known is None or self._known[0] != state:
            self._known = (state, _hash(self._module))
        return self._known[1]

    def versions(self) -> tuple[tuple[int, int], ...]:
        """The address and version counter of each tensor, which change if it is replaced or written in place.

        Inference tensors have no version counter.
        """
        return tuple(
            (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)  # noqa: SLF001 - documented under autograd
            for tensor in parameters_and_buffers(self._module)
        )


def quantised_part(module: nn.Module) -> str | None:
    """The path of a layer with quantised weights, which has no gradient; None if there is none."""
    return next((path for path, part in module.named_modules() if _is_quantised(part)), None)


def _is_quantised(part: nn.Module) -> bool:
    kind = type(part).__module__
    return "quantized" in kind and "qat" not in kind


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        _add(digest, name.replace("_orig_mod.", ""), value)  # the prefix that torch.compile adds
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    """Add one entry of a state dict: a tensor, or for quantised layers also lists, types and numbers."""
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
