"""A network of your own.
======================

python examples/own_network.py [FOLDER]
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import triscope as ts


class Shapes(nn.Module):
    """Grey images of 32 x 32 -> three classes. Its ReLUs are functions, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(1, 8, 5, padding=2)
        self.parts = nn.Conv2d(8, 16, 3, padding=1)
        self.classify = nn.Linear(16, 3)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, 32, 32) -> (B, 3)."""
        parts = self.parts(F.max_pool2d(self.edges(images).relu_(), 2))
        return self.classify(F.relu(parts).mean((2, 3)))


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
torch.manual_seed(0)
network = ts.Network(Shapes(), mean=[0.5], std=[0.25], size=32, classes=["ring", "cross", "bar"])
print(network.layers)

cross = torch.zeros(1, 1, 32, 32)
cross[..., 14:18, 4:28] = cross[..., 4:28, 14:18] = 1
print(ts.guided_backprop(network, cross, "cross").save(folder / "own-class.png"))
print(ts.guided_backprop(network, cross, ts.Neuron("parts", 3, row=8, col=8)).save(folder / "own-neuron.png"))
