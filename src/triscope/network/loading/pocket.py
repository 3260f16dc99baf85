"""The pocket network: an AlexNet-shaped network small enough to ship with the package.

The convolutional trunk is torchvision's AlexNet (Krizhevsky, 2014, "One weird trick"), and module names agree where
the layers correspond: `features.10` is conv5's convolution, `classifier.5` the last hidden ReLU (4096 units). What
differs is the head: the trunk's output is averaged to 3 x 3 cells instead of 6 x 6, and a layer of 1024 stands before
the one of 4096, so that the file stays small. See docs/pocket.md for how it was trained and what it is bad at.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from triscope.errors import WeightsError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SIZE = 224

_SCALE = ".scale"


class PocketAlexNet(nn.Module):
    """Images (B, 3, H, W), H and W from 64 up, mean and spread removed -> logits (B, 1000)."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 3 * 3, 1024),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(1024, 4096),
            nn.ReLU(),
            nn.Linear(4096, 1000),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1000), before the softmax."""
        pooled: Tensor = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def weights_path() -> Path:
    """Where the bundled weights are."""
    return Path(__file__).parent / "weights" / "pocket.safetensors"


def load_pocket() -> PocketAlexNet:
    """The bundled network, in eval mode, float32, on the CPU. Raises WeightsError if its file is damaged."""
    path = weights_path()
    try:
        state = expand(load_file(path))
        with torch.device("meta"):
            network = PocketAlexNet()
        network.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"The bundled weights, {path.name}, are missing or damaged. Install triscope again."
        ) from error
    return network.eval()


def quantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: int8 with one scale per output row, so that w = int8 * scale.

    The first layer's filters stay fp16, for they are looked at; biases stay float32. The error of a weight is at most
    half a scale, which is 1/254 of the largest weight in its row.
    """
    stored = {}
    for name, value in state.items():
        if value.dim() == 1:
            stored[name] = value.float()
        elif name == "features.0.weight":
            stored[name] = value.half()
        else:
            rows = value.float().flatten(1)
            scale = rows.abs().amax(dim=1).clamp_min(1e-12) / 127
            stored[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
            stored[name + _SCALE] = scale
    return {name: value.contiguous() for name, value in stored.items()}


def expand(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `quantise` stored, as float32 weights."""
    state = {}
    for name, value in stored.items():
        if name.endswith(_SCALE):
            continue
        state[name] = value.float()
        if (scale := stored.get(name + _SCALE)) is not None:
            state[name] *= scale.view(-1, *[1] * (value.dim() - 1))
    return state
