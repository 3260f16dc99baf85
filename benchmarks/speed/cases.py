"""The cases: the same values by hand, by triscope and by Captum, on torchvision networks with random weights.

By hand means: frozen weights, normalisation, forward, `autograd.grad`, and for an inner unit
only the part of the network that leads to it. For guided backprop it is the plain gradient, which does the same work.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import captum.attr
import torch
from torch import Tensor, nn

import triscope as ts

CLASS = 7
CHANNEL = 3


@dataclass(frozen=True)
class Case:
    """A network, a batch size, and an inner layer with the part of the network that ends in it."""

    network: str
    batch: int
    layer: str
    trunk: Callable[[nn.Module], nn.Module]


def features(layers: int) -> Callable[[nn.Module], nn.Module]:
    """The first `layers` of a network's `features`."""

    def trunk(module: nn.Module) -> nn.Module:
        found = module.get_submodule("features")
        assert isinstance(found, nn.Sequential)
        return found[:layers]

    return trunk


def stages(*names: str) -> Callable[[nn.Module], nn.Module]:
    """The parts of these names, one after another."""
    return lambda module: nn.Sequential(*(module.get_submodule(name) for name in names))


CASES = (
    Case("alexnet", 1, "features.5", features(6)),
    Case("alexnet", 16, "features.5", features(6)),
    Case("resnet50", 1, "layer2", stages("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")),
    Case("vgg16", 1, "features.16", features(17)),
)


class Normalise(nn.Module):
    """Images in [0, 1] -> images as the network was trained on them."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: ts.Network) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Mean and spread removed."""
        return (images - self.mean) / self.std


def comparisons(case: Case) -> Iterator[tuple[str, Mapping[str, Callable[[], Any]]]]:
    """The comparisons of a case: the name of each, and the ways to compute it, by hand first."""
    network = ts.load(case.network, weights="random")
    images = torch.rand(case.batch, 3, 224, 224)
    frozen = nn.Sequential(Normalise(network), network.module).eval().requires_grad_(False)
    trunk = nn.Sequential(frozen[0], case.trunk(network.module))
    attended = images.clone().requires_grad_()  # Captum wants it so, and would say so
    logit, channel = ts.Logit(CLASS), ts.Channel(case.layer, CHANNEL)

    def by_hand() -> Tensor:
        return bare(frozen, images, lambda output: output[:, CLASS])

    yield (
        f"{case.network} x {case.batch}, saliency",
        {
            "by hand": by_hand,
            "triscope": lambda: ts.saliency(network, images, logit),
            "captum": lambda: captum.attr.Saliency(frozen).attribute(attended, target=CLASS),
        },
    )
    yield (
        f"{case.network} x {case.batch}, guided backprop",
        {
            "by hand": by_hand,
            "triscope": lambda: ts.guided_backprop(network, images, logit),
            "captum": lambda: captum.attr.GuidedBackprop(frozen).attribute(attended, target=CLASS),
        },
    )
    yield (
        f"{case.network} x {case.batch}, {case.layer}:{CHANNEL}",
        {
            "by hand": lambda: bare(trunk, images, lambda output: output[:, CHANNEL].mean((1, 2))),
            "triscope": lambda: ts.saliency(network, images, channel),
        },
    )


def bare(module: nn.Module, images: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the score at the images."""
    images = images.detach().requires_grad_()
    return torch.autograd.grad(score(module(images)).sum(), images)[0]
