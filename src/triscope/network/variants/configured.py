"""Variants of a network with the same weights: other pooling, borders or precision.

    pooling     every max pooling replaced by average pooling (Gatys et al., 2015)
    borders     circular (torus) or mirrored padding in every convolution and pooling, instead of zeros
    precision   weights and activations in another dtype; images keep theirs
    normalised  images are passed in normalised, by callers that prepare thousands of them

A variant is a network around a copy of the module tree; the user's module is not changed, and weights are shared unless
they are cast. Only modules are changed (`nn.Conv2d`, `nn.MaxPool2d`, `nn.AvgPool2d`), not calls of functions.
"""

from functools import partial
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triscope.network.network import Network
from triscope.network.twin import make_twin

Pooling: TypeAlias = Literal["max", "average"]
Borders: TypeAlias = Literal["own", "torus", "mirror"]


class Configured(Network):
    """A variant of a network.

    asked_in    the dtype of images. Default: that of the network
    normalised  images are passed in normalised, not in [0, 1]
    same_layers the layers are those of the network, and need not be found again
    """

    def __init__(
        self,
        module: nn.Module,
        network: Network,
        *,
        asked_in: torch.dtype | None = None,
        normalised: bool = False,
        same_layers: bool = False,
    ) -> None:
        super().__init__(module, **network.settings)
        self._asked_in = asked_in or network.dtype
        self._normalised = normalised
        if same_layers:
            self._has_layers_of(network)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of images, which may differ from that of the weights."""
        return self._asked_in

    def normalise(self, images: Tensor) -> Tensor:
        """As `Network.normalise`; the identity if images are passed in normalised."""
        return images if self._normalised else super().normalise(images)


def configured(
    network: Network,
    *,
    pooling: Pooling = "max",
    borders: Borders = "own",
    precision: torch.dtype | None = None,
    normalised: bool = False,
) -> Network:
    """The variant of a network with these changes; the network itself if there are none."""
    if pooling == "max" and borders == "own" and precision in (None, network.dtype) and not normalised:
        return network
    module = make_twin(network.module, network.name)
    if pooling == "average":
        _average(module)
    if borders != "own":
        for part in module.modules():
            _border(part, borders)
    if normalised or precision not in (None, network.dtype):
        module = module.to(precision or network.dtype)
        for weight in module.parameters():
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    if not normalised and precision not in (None, network.dtype):
        module.register_forward_pre_hook(partial(_cast, precision))
    return Configured(
        module, network, asked_in=precision if normalised else network.dtype, normalised=normalised,
        same_layers=pooling == "max" and borders == "own",
    )  # fmt: skip


def _cast(precision: torch.dtype, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A pre-hook that casts the normalised image to the precision of the weights."""
    return (given[0].to(precision, memory_format=torch.channels_last), *given[1:])


def _average(module: nn.Module) -> None:
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.MaxPool2d) and path:
            parent, _, name = path.rpartition(".")
            pool = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode, count_include_pad=False)
            setattr(module.get_submodule(parent), name, pool)


def _border(part: nn.Module, borders: Borders) -> None:
    """Pad the input of a convolution or pooling so that its output has one position per stride."""
    if not isinstance(part, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return
    kernel, stride = _pair(part.kernel_size), _pair(part.stride)
    dilation = _pair(getattr(part, "dilation", 1))
    spans = [max(0, d * (k - 1) + 1 - s) for k, s, d in zip(kernel, stride, dilation, strict=True)]
    part.padding = (0, 0) if isinstance(part, nn.Conv2d) else 0
    if isinstance(part, nn.Conv2d):
        part.padding_mode = "zeros"
    else:
        part.ceil_mode = False
    (top, bottom), (left, right) = ((span // 2, span - span // 2) for span in spans)
    if any(spans):
        beyond = _circular if borders == "torus" else _mirrored
        part.register_forward_pre_hook(partial(beyond, (left, right, top, bottom)))


_Reach: TypeAlias = tuple[int, int, int, int]


def _circular(reach: _Reach, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.pad(given[0], reach, mode="circular"), *given[1:])


def _mirrored(reach: _Reach, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    mode = "reflect" if max(reach) < min(given[0].shape[-2:]) else "replicate"
    return (F.pad(given[0], reach, mode=mode), *given[1:])


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
