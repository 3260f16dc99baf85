"""Accuracy of bfloat16: `python -m benchmarks.quality.precision NETWORK WEIGHTS SIZE SEEDS EXAMPLE [CONTENT]`.

The texture of EXAMPLE for SEEDS seeds or, with CONTENT, that image in the style of EXAMPLE, once, initialised with the
content. Each is computed in bfloat16, in float32, and in float32 with the first layer's weights a millionth larger,
which shows how far rounding alone separates two runs. The final loss is computed as in `benchmarks.speed.style`: in
float32, on the clamped image.
"""

import sys
from statistics import mean, stdev
from typing import Any

import torch

import triscope as ts
from benchmarks.speed.style import Bare, picture

_SHAKEN = 1 + 1e-6


def main(words: list[str]) -> None:
    """Make, judge, print the losses over those of float32."""
    torch.set_num_threads(1)
    name, weights, side, seeds, *paths = words
    size = int(side)
    example, *content = [picture(path, size) for path in paths]
    network, shaken = (ts.load(name, weights=weights) for _ in range(2))
    with torch.no_grad():
        next(shaken.module.parameters()).mul_(_SHAKEN)
    bare = Bare(network, example, content[0] if content else None)
    ways: dict[str, tuple[ts.Network, str]] = {
        "float32": (network, "float32"),
        "float32, shaken": (shaken, "float32"),
        "bfloat16": (network, "bfloat16"),
    }
    ratios: dict[str, list[float]] = {way: [] for way in ways}
    for seed in range(1 if content else int(seeds)):
        losses = {}
        for way, (asked, precision) in ways.items():
            options: dict[str, Any] = {"size": size, "precision": precision}
            if content:
                made = ts.stylize(asked, content[0], example, tv=0.0, **options)
            else:
                made = ts.texture(asked, example, seed=seed, **options)
            losses[way] = bare.judge(made.values)
        for way, loss in losses.items():
            ratios[way].append(loss / losses["float32"] - 1)
        print(f"seed {seed}", *(f"{way} {loss:.3e} ({ratios[way][-1]:+.1%})" for way, loss in losses.items()), sep="  ")
    for way, found in list(ratios.items())[1:]:
        spread = f", spread {stdev(found):.1%}" if len(found) > 1 else ""
        print(f"{way}: {mean(found):+.1%} against float32{spread}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
