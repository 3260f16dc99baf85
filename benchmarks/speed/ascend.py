"""Time of a step of gradient ascent: `python -m benchmarks.speed.ascend [NETWORK [WEIGHTS]]`.

It is compared with loops written by hand. All optimise the same pixels with Adam, on one thread, one step per round, in
turn. The bare loop has frozen weights; the plain one, as people write it, runs the whole network and computes gradients
for its weights as well. The lean one is the bare loop with channels-last pixels, as in triscope.
"""

import copy
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import triscope as ts
from benchmarks.speed.measure import compare, rows
from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.what.optimisation.ascent import optimise
from triscope.what.optimisation.optimisers import Adam
from triscope.what.optimisation.parametrisation import Fourier, Pixels
from triscope.what.optimisation.spec import AscentSpec
from triscope.what.optimisation.transforms import Jitter, Scale, Transform


def by_hand(
    network: Network, score: Callable[[nn.Module, Tensor], Tensor], *, frozen: bool, lean: bool = False
) -> Callable[[], None]:
    """A step of a loop without triscope."""
    module = copy.deepcopy(network.module).eval().requires_grad_(not frozen)
    order = torch.channels_last if lean else torch.contiguous_format
    pixels = torch.full((1, 3, *network.size), 0.5).contiguous(memory_format=order).requires_grad_()
    optimiser = torch.optim.Adam([pixels], lr=0.01)

    def step() -> None:
        optimiser.zero_grad()
        (-score(module, network.normalise(pixels))).backward()
        optimiser.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)

    return step


def ours(
    network: Network, asked: Objective, canvas: Pixels | Fourier, views: tuple[Transform, ...]
) -> Callable[[], None]:
    """A step of ours."""
    plan = AscentSpec(network, asked, canvas, transforms=views, optimiser=lambda: Adam(0.01), steps=1_000_000)
    steps = optimise(plan, torch.full((1, 3, *network.size), 0.5))
    return lambda: _next(steps)


def _next(steps: Iterator[object]) -> None:
    next(steps)


def inner(layer: str, channel: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """A channel's mean, by a hook while the whole network runs."""

    def score(module: nn.Module, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = module.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
        module(images)
        handle.remove()
        return seen[0][:, channel].mean()

    return score


def main(words: list[str]) -> None:
    """Compare, and print."""
    torch.set_num_threads(1)
    network = ts.load(words[0] if words else "squeezenet1_1", weights=words[1] if len(words) > 1 else "random")
    pixels, spectrum = Pixels(*network.size), Fourier(*network.size)
    views = (Jitter(12), Scale(0.9, 1.1))
    unit, early = ts.Channel("features.4", 7), ts.Channel("features.3", 7)
    asked = ts.Logit(1)
    tables = {
        "channel of features.4": {
            "plain": by_hand(network, inner("features.4", 7), frozen=False),
            "triscope": ours(network, unit, pixels, ()),
        },
        "channel of features.3": {
            "plain": by_hand(network, inner("features.3", 7), frozen=False),
            "triscope": ours(network, early, pixels, ()),
        },
        "class": {
            "bare": by_hand(network, lambda module, images: module(images)[:, 1].sum(), frozen=True),
            "lean": by_hand(network, lambda module, images: module(images)[:, 1].sum(), frozen=True, lean=True),
            "triscope": ours(network, asked, pixels, ()),
            "fourier": ours(network, asked, spectrum, ()),
        },
        "class, with views": {
            "none": ours(network, asked, spectrum, ()),
            "jitter": ours(network, asked, spectrum, (Jitter(12),)),
            "scale to 1": ours(network, asked, spectrum, (Jitter(12), Scale(1.0, 1.0))),
            "0.9 to 1.1": ours(network, asked, spectrum, views),
        },
    }
    for name, ways in tables.items():
        print(*rows(compare(name, ways)), sep="\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
