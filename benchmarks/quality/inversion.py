"""Quality of feature inversion: `python -m benchmarks.quality.inversion NETWORK WEIGHTS LAYER,LAYER PHOTO...`.

For each layer, over the photos: the mean correlation of pixels with the photo, the mean relative error of the
features, and how many images keep the photo's class. `inversion.png` shows the photos, and a row for each layer.
"""

import sys

import torch
from torch import Tensor

import triscope as ts
from triscope import render


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's, over all pixels and colours of each image: (B,)."""
    one, other = (part.flatten(1) - part.flatten(1).mean(1, keepdim=True) for part in (one, other))
    return torch.cosine_similarity(one, other, dim=1)


def main(words: list[str]) -> None:
    """Invert, compare, print."""
    torch.set_num_threads(1)
    name, weights, layers, *photos = words
    network = ts.load(name, weights=weights)
    seen = network.prepare(photos)
    shown = [*seen.images]
    print(f"{'layer':16} {'correlation':>11} {'error':>7} {'class kept':>10}")
    with torch.no_grad():
        before = network.look(seen.images, ["output"])["output"].argmax(1)
    for layer in layers.split(","):
        found = ts.invert(network, seen, layer)
        with torch.no_grad():
            after = network.look(found.values, ["output"])["output"].argmax(1)
        close = correlation(found.values, seen.images)
        kept = f"{int((after == before).sum())} of {len(before)}"
        print(f"{layer:16} {close.mean():11.3f} {found.errors.mean():7.3f} {kept:>10}", flush=True)
        print("   ", *(f"{one:.2f}" for one in close.tolist()), flush=True)
        shown += [*found.values]
        ts.Picture(render.grid(shown, len(seen))[None]).save("inversion.png")


if __name__ == "__main__":
    main(sys.argv[1:])
