"""Ascended units compared with photos: `python -m benchmarks.quality.units NETWORK WEIGHTS LAYER FOLDER [STEPS]`.

Twenty evenly spaced channels of the layer are ascended, and their scores compared with the highest of any photo of the
folder.
"""

import sys
from pathlib import Path

import torch

import triscope as ts
from triscope.objectives.base import Need

_CHANNELS = 20
_TOGETHER = 16


def main(words: list[str]) -> None:
    """Look at the photos, ascend, print."""
    torch.set_num_threads(1)
    name, weights, layer, folder, *steps = words
    network = ts.load(name, weights=weights)
    photos = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    need = Need(layer, "mean")
    seen = []
    for first in range(0, len(photos), _TOGETHER):
        batch = network.prepare([str(path) for path in photos[first : first + _TOGETHER]]).images
        with torch.no_grad():
            seen.append(network.look(batch.contiguous(memory_format=torch.channels_last), [need])[need])
    best = torch.cat(seen).amax(0)
    channels = [round(place * (len(best) - 1) / (_CHANNELS - 1)) for place in range(_CHANNELS)]
    beaten = 0
    print(f"{len(photos)} photos\n{'unit':16} {'best photo':>10} {'ascended':>9}")
    for channel in channels:
        score = float(ts.ascend(network, ts.Channel(layer, channel), steps=int(steps[0]) if steps else 256).scores[0])
        beaten += score > float(best[channel])
        print(f"{layer}:{channel:<5} {best[channel]:10.3f} {score:9.3f}", flush=True)
    print(f"{beaten} of {_CHANNELS} beat every photo")


if __name__ == "__main__":
    main(sys.argv[1:])
