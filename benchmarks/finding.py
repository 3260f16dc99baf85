"""What it costs to find a network's layers, and to count rows: `python -m benchmarks.finding [NETWORK ...]`.

Processor time on one thread, as multiples of a bare pass over one picture; medians over interleaved rounds.

    two         a bare pass over two pictures
    find        finding the layers: the pass over two pictures, and all that is read off it
    look        a later pass over one picture, by `Network.look`
    unchecked   the same with the counting of rows taken out

NETWORK is a name of `triscope.load`, at random weights: by default a few of torchvision's and timm's.
"""

import sys
from collections.abc import Callable, Mapping
from unittest.mock import patch

import torch

import triscope as ts
from benchmarks.speed.measure import compare
from triscope.network import network as asked

_ROUNDS = 9
_NETWORKS = ("resnet18", "resnet50", "vit_b_16", "timm:vit_small_patch16_224", "timm:swin_tiny_patch4_window7_224")
_SHOWN = ("two", "find", "look", "unchecked")


def ways(name: str) -> Mapping[str, Callable[[], object]]:
    """The things to be timed of one network."""
    known = ts.load(name, weights="random")
    module, (rows, cols) = known.module.eval(), known.size
    one, two = torch.rand(1, 3, rows, cols), torch.rand(2, 3, rows, cols)
    last = [layer.name for layer in known.layers.values() if layer.layout.kind != "other"][-2]

    def unchecked() -> object:
        with patch.object(asked, "require_rows", lambda *_: None):
            return known.look(one, [last])

    return {
        "one": lambda: module(one),
        "two": lambda: module(two),
        "find": lambda: ts.Network(module, size=(rows, cols)).layers,
        "look": lambda: known.look(one, [last]),
        "unchecked": unchecked,
    }


def main(names: list[str]) -> None:
    """Measure, and print."""
    torch.set_num_threads(1)
    print(f"{'network':36}{'one':>11}" + "".join(f"{way:>11}" for way in _SHOWN))
    for name in names or _NETWORKS:
        with torch.no_grad():
            found = compare(name, ways(name), _ROUNDS)
        ratios = "".join(f"{found.ratio(way, 'one'):11.2f}" for way in _SHOWN)
        print(f"{name:36}{1e3 * found.median('one'):8.1f} ms{ratios}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
