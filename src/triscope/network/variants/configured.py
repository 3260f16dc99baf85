"""The same weights asked in another way, for methods that care about borders, pooling and speed.

    pooling     every max pooling replaced by average pooling (Gatys et al., 2015)
    borders     every convolution and pooling on a torus (what leaves on the right comes in on the left), or with
                mirrored borders, instead of the zeros that they pad with
    precision   weights and activations in another number format; the image stays in its own
    normalised  images are given as the module expects them, where whoever asks prepares them by the thousand

A configured network is one of its own around a copy of the module tree; the user's module is not touched, and weights
are shared where they are not cast. Only modules are changed (`nn.Conv2d`, `nn.MaxPool2d`, `nn.AvgPool2d`): a network
that pools by function keeps its pooling and its borders.
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
    """A network whose module was changed for how it is asked; `asked_in` is the precision of the images it is given.

    With `normalised`, images are given as the module expects them, not in [0, 1]. With `same_layers`, the module's
    parts are those of the network, in whatever number format, and its layers are not looked for again.
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
        """The precision of the images it is asked about, whatever its weights are in."""
        return self._asked_in

    def normalise(self, images: Tensor) -> Tensor:
        """As `Network.normalise`; images that are normalised already stay as they are."""
        return images if self._normalised else super().normalise(images)


def configured(
    network: Network,
    *,
    pooling: Pooling = "max",
    borders: Borders = "own",
    precision: torch.dtype | None = None,
    normalised: bool = False,
) -> Network:
    """`network`, asked in another way; itself where nothing is changed."""
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
    """The image, already normalised, as the weights want it."""
    return (given[0].to(precision, memory_format=torch.channels_last), *given[1:])


def _average(module: nn.Module) -> None:
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.MaxPool2d) and path:
            parent, _, name = path.rpartition(".")
            pool = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode, count_include_pad=False)
            setattr(module.get_submodule(parent), name, pool)


def _border(part: nn.Module, borders: Borders) -> None:
    """Give a sliding window the rows and columns beyond the border that it needs to answer once per stride."""
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
        beyond = _from_the_other_side if borders == "torus" else _mirrored
        part.register_forward_pre_hook(partial(beyond, (left, right, top, bottom)))


_Reach: TypeAlias = tuple[int, int, int, int]


def _from_the_other_side(reach: _Reach, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.pad(given[0], reach, mode="circular"), *given[1:])


def _mirrored(reach: _Reach, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    mode = "reflect" if max(reach) < min(given[0].shape[-2:]) else "replicate"
    return (F.pad(given[0], reach, mode=mode), *given[1:])


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)
