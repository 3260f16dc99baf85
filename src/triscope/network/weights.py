"""The weights of a module as one hash, which takes longer to compute than to ask a network."""

import hashlib

import torch
from torch import nn

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


def _hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
