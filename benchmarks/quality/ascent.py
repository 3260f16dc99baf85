"""Whether ascended classes are recognised: `python -m benchmarks.quality.ascent NETWORK [WEIGHTS] [JUDGE [WEIGHTS]]`.

Forty classes of animals, objects and scenes are ascended with the defaults. The images are classified by the network
itself, as they are and changed in ways that the optimisation did not use (shifted, resized, mirrored, cropped, blurred,
shrunk to 96 pixels and back), with 15 % noise on its weights, and by another network if one is given.
"""

import copy
import sys
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

import triscope as ts
from triscope.network import Network

ANIMALS = (1, 2, 8, 22, 35, 71, 90, 99, 107, 130, 145, 207, 259, 281, 291, 301, 323, 340, 355, 386)
THINGS = (404, 417, 430, 508, 555, 620, 701, 779, 817, 859, 920, 934, 954, 967)
SCENES = (483, 497, 970, 975, 979, 980)
CLASSES = (*ANIMALS, *THINGS, *SCENES)
_TOGETHER = 8


def views(pictures: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Changes of the image that the optimisation did not use."""
    size = list(pictures.shape[-2:])
    yield "as it is", pictures
    yield "shifted by 17", pictures.roll((17, -17), (2, 3))
    yield "mirrored", pictures.flip(3)
    yield "at 0.75", F.interpolate(pictures, scale_factor=0.75, mode="bilinear", antialias=True)
    yield "at 1.3", F.interpolate(pictures, scale_factor=1.3, mode="bilinear")
    yield "the middle 80 %", F.interpolate(pictures[..., 22:-22, 22:-22], size, mode="bilinear")
    yield "blurred", F.avg_pool2d(F.pad(pictures, (1,) * 4, mode="reflect"), 3, 1)
    yield "shrunk to 96", F.interpolate(F.interpolate(pictures, (96, 96), mode="bilinear", antialias=True), size)


def shaken(network: Network, seed: int, strength: float = 0.15) -> Network:
    """The network with noise on its weights: a stand-in for another training of it."""
    module = copy.deepcopy(network.module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=strength * float(weight.std()))
    return Network(module, mean=network.mean, std=network.std, size=network.size, name=f"{network.name} shaken {seed}")


def ranks(network: Network, pictures: Tensor) -> Tensor:
    """How many classes have a higher score than the intended one: (N,)."""
    with torch.no_grad():
        scores = network.look(pictures, ["output"])["output"]
    return (scores > scores.gather(1, torch.tensor(CLASSES)[:, None])).sum(1)


def line(name: str, found: Tensor) -> str:
    """A row of the table."""
    return f"{name:28} {int((found == 0).sum()):5} {int((found < 5).sum()):5}"


def main(words: list[str]) -> None:
    """Ascend, judge, print."""
    torch.set_num_threads(1)
    network = ts.load(words[0], weights=words[1] if len(words) > 1 else None)
    parts: list[Tensor] = []
    found: list[float] = []
    for first in range(0, len(CLASSES), _TOGETHER):
        classes = CLASSES[first : first + _TOGETHER]
        parts.append(ts.ascend(network, ts.Logit(classes)).values)
        with torch.no_grad():
            shares = network.look(parts[-1], ["output"])["output"].softmax(1)
        found += shares[range(len(classes)), list(classes)].tolist()
        certain = sum(share >= 0.99 for share in found)
        print(f"{len(found)} of {len(CLASSES)} ascended, {certain} at p >= 0.99", file=sys.stderr)
    pictures, sure = torch.cat(parts), torch.tensor(found)
    ts.Picture(pictures).save("ascent.png")
    print(f"{int((sure >= 0.99).sum())} of {len(CLASSES)} classes at p >= 0.99\n")
    print(f"{'judged':28} {'top 1':>5} {'top 5':>5}")
    for name, view in views(pictures):
        print(line(name, ranks(network, view)))
    for seed in range(3):
        judge = shaken(network, seed)
        print(line(judge.name, ranks(judge, pictures)))
    if len(words) > 2:
        judge = ts.load(words[2], weights=words[3] if len(words) > 3 else None)
        print(line(judge.name, ranks(judge, F.interpolate(pictures, list(judge.size), mode="bilinear"))))


if __name__ == "__main__":
    main(sys.argv[1:])
