"""Several photos at once, each with a question of its own.
========================================================

python examples/batch.py [FOLDER]
"""

import sys
from pathlib import Path

import torch

import triscope as ts
from triscope.images.samples import SAMPLES

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
photos = [f"sample:{name}" for name in SAMPLES]
network = ts.load("pocket")
seen = network.prepare(photos)  # read once, asked often

second = ts.Logit(ts.predict(network, seen, k=2).indices[:, 1].tolist())  # each photo's second guess
heat = ts.saliency(network, seen, second)
for index, name in enumerate(SAMPLES):
    print(f"{name}, asked about {heat.asked[index]!r}: {heat[index].overlay().save(folder / f'batch-{name}.png')}")

# Objectives add up: what speaks for the first guess, against the second.
first = ts.Logit(ts.predict(network, seen, k=1).indices[:, 0].tolist())
print(ts.input_x_gradient(network, seen, first - second).save(folder / "batch-difference.png"))

# One pass, any number of layers, stopped after the deepest.
needs = [ts.Need("features.2"), ts.Need("features.7", "mean")]
with torch.no_grad():
    look = network.look(seen.images, needs)
print({need.layer: tuple(look[need].shape) for need in needs})
