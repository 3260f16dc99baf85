"""Cost of finding a network's layers, and of the checks: `python -m benchmarks.finding [NETWORK ...]`.

CPU time on one thread, relative to a bare forward pass of one image; medians over interleaved rounds of the ratios
within a round.

    two         a bare pass of two images
    plain       layers without checks: the twin is made, and one image passed through it
    find        layers with checks: two images, positions tracked, and outputs compared
    checks      cost of the checks: find minus plain
    first       total overhead: find minus 1
    look        a later pass of one image, by `Network.look`
    unchecked   the same without counting rows

NETWORK is a name for `triscope.load`, with random weights; the default is a few of torchvision's and timm's.
"""

import sys
from collections.abc import Callable, Mapping
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor

import triscope as ts
from benchmarks.speed.measure import Comparison, compare
from triscope.network import network as asked
from triscope.network import tap
from triscope.network.twin import TwinKeeper

_ROUNDS = 9
_NETWORKS = ("alexnet", "resnet50", "vit_b_16", "timm:swin_tiny_patch4_window7_224", "timm:convnext_tiny")
_SHOWN = ("two", "plain", "find", "checks", "first", "look", "unchecked")


def ways(name: str) -> Mapping[str, Callable[[], object]]:
    """The things to be timed of one network."""
    known = ts.load(name, weights="random")
    module, (rows, cols) = known.module.eval(), known.size
    one, two = torch.rand(1, 3, rows, cols), torch.rand(2, 3, rows, cols)
    last = [layer.name for layer in known.layers.values() if layer.layout.kind != "other"][-2]

    def plain() -> object:
        shapes: dict[str, object] = {}

        def note(layer: str, _: object, output: object) -> None:
            shapes[layer] = tuple(output.shape) if isinstance(output, Tensor) else None

        tap.run(TwinKeeper(module, name).get(), one, note, lambda twin, images: twin(images))
        return shapes

    def unchecked() -> object:
        with patch.object(asked, "require_rows", lambda *_: None):
            return known.look(one, [last])

    return {
        "one": lambda: module(one),
        "two": lambda: module(two),
        "plain": plain,
        "find": lambda: ts.Network(module, size=(rows, cols)).layers,
        "look": lambda: known.look(one, [last]),
        "unchecked": unchecked,
    }


def ratios(found: Comparison) -> Mapping[str, float]:
    """What is shown of a network."""
    times = {label: found.seconds[label] for label in found.seconds}
    rounds = list(zip(times["one"], times["plain"], times["find"], strict=True))
    return {label: found.ratio(label, "one") for label in times} | {
        "checks": median((find - plain) / one for one, plain, find in rounds),
        "first": median((find - one) / one for one, _, find in rounds),
    }


def main(names: list[str]) -> None:
    """Measure, and print."""
    torch.set_num_threads(1)
    print(f"{'network':36}{'one':>11}" + "".join(f"{way:>11}" for way in _SHOWN))
    for name in names or _NETWORKS:
        with torch.no_grad():
            found = compare(name, ways(name), _ROUNDS)
        shown = ratios(found)
        print(
            f"{name:36}{1e3 * found.median('one'):8.1f} ms" + "".join(f"{shown[way]:11.2f}" for way in _SHOWN),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
