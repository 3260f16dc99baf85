"""Several photos in one batch, each with its own objective.
=========================================================

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
seen = network.prepare(photos)  # read and preprocessed once

second = ts.Logit(ts.predict(network, seen, k=2).indices[:, 1].tolist())  # each photo's second class
heat = ts.saliency(network, seen, second)
for index, name in enumerate(SAMPLES):
    print(f"{name}, {heat.asked[index]!r}: {heat[index].overlay().save(folder / f'batch-{name}.png')}")

# Objectives can be subtracted: what speaks for the top class and against the second.
first = ts.Logit(ts.predict(network, seen, k=1).indices[:, 0].tolist())
print(ts.input_x_gradient(network, seen, first - second).save(folder / "batch-difference.png"))

# Activations of several layers in one forward pass, which stops after the deepest.
needs = [ts.Need("features.2"), ts.Need("features.7", "mean")]
with torch.no_grad():
    look = network.look(seen.images, needs)
print({need.layer: tuple(look[need].shape) for need in needs})
