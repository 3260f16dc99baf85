"""Relevance propagation compared with a forward and backward pass, and with zennit.

    python -m benchmarks.speed.relevance [NETWORK ...]

CPU time on one thread; ratios to a forward and backward pass are medians over rounds in which the contenders take
turns. Random weights, 224 pixels. `plus-flat` is the default composite; `z:` is zennit.
"""

import copy
import sys
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import triscope as ts
from benchmarks.speed.measure import compare, rows
from triscope.network.loading._torchvision import import_torchvision

CLASS = 7
NETWORKS = {"vgg11_bn": 2, "resnet18": 4, "resnet50": 2, "squeezenet1_1": 4, "vit_b_32": 2}  # and images a batch


def contenders(name: str, batch: int) -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    torch.manual_seed(0)
    module = import_torchvision().models.get_model(name, weights=None).eval().requires_grad_(False)
    network, images = ts.Network(module, size=224), torch.rand(batch, 3, 224, 224)

    def by_hand() -> torch.Tensor:
        pixels = images.clone().requires_grad_()
        return torch.autograd.grad(module(pixels)[:, CLASS].sum(), pixels)[0]

    found: dict[str, Callable[[], object]] = {
        "gradient": by_hand,
        "epsilon": lambda: ts.relevance(network, images, CLASS, composite="epsilon"),
        "plus-flat": lambda: ts.relevance(network, images, CLASS),
    }
    return found if name.startswith("vit") else found | zennits(name, module, images)


def zennits(name: str, module: nn.Module, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The same by zennit's composites, for convolutional networks; empty if zennit is not installed."""
    try:
        from zennit import composites, rules, torchvision, types
        from zennit.attribution import Gradient
    except ImportError:
        return {}
    theirs = copy.deepcopy(module)
    for part in theirs.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # its hooks cannot stand in-place operations
    canonizers = [torchvision.ResNetCanonizer() if name.startswith("resnet") else torchvision.VGGCanonizer()]
    asked = F.one_hot(torch.full((len(images),), CLASS), 1000)
    layers = [*composites.layer_map_base(), (types.Linear, rules.Epsilon(1e-6))]

    def asking(composite: composites.Composite) -> Callable[[], object]:
        def ask() -> object:
            with Gradient(model=theirs, composite=composite) as attributor:
                return attributor(images.clone().requires_grad_(), lambda output: output * asked)

        return ask

    return {
        "z:epsilon": asking(composites.LayerMapComposite(layers, canonizers=canonizers)),
        "z:plusflat": asking(composites.EpsilonPlusFlat(canonizers=canonizers)),
    }


def main() -> None:
    """Measure the networks that are named, or all."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or NETWORKS:
        batch = NETWORKS[name]
        print("\n".join(rows(compare(f"{name}, {batch} images", contenders(name, batch), rounds=7))))


if __name__ == "__main__":
    main()
