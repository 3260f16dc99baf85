"""Saliency during training, without changing the network.
=======================================================

python examples/training_watch.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 2)
)
network = ts.Network(model, size=24, classes=["plain", "marked"])
question = ts.Logit("marked") - ts.Logit("plain")
optimiser = torch.optim.AdamW(model.parameters(), lr=0.03, weight_decay=1)
labels = torch.arange(64) % 2
red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)

for step in range(61):
    noise = torch.rand(64, 3, 24, 24)
    noise[1::2, :, 15:19, 4:8] = red  # every second image has a red mark
    loss = F.cross_entropy(model(noise), labels)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 20 == 0:
        heat = ts.saliency(network, noise[1::2], question)
        near = heat.values[..., 13:21, 2:10].sum() / heat.values.sum()
        path = heat[0].side_by_side().save(folder / f"training-{step:02}.png")
        print(f"step {step:2}: loss {loss.item():.2f}, {near.item():.0%} of the saliency on or beside the mark: {path}")

assert model.training  # triscope ran its own copy in eval mode; the module was not switched
