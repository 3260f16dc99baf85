"""The pocket network: a small variant of AlexNet that is bundled with the package.

The convolutional trunk is that of torchvision's AlexNet (Krizhevsky, 2014, "One weird trick"), with the same module
names: `features.10` is the convolution of conv5, `classifier.5` the last hidden ReLU (4096 units). The head differs:
the trunk's output is pooled to 3 x 3 positions instead of 6 x 6, and a layer of 1024 units precedes that of 4096, so
that the file is small. See docs/pocket.md for its training and its limits.
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
    """Normalised images (B, 3, H, W), H and W at least 64 -> logits (B, 1000)."""

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
        """(B, 3, H, W) -> logits (B, 1000)."""
        pooled: Tensor = self.avgpool(self.features(images))
        logits: Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits


def weights_path() -> Path:
    """The file with the bundled weights."""
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
    """Weights in the stored form: int8 with one scale per output channel, so that w = int8 * scale.

    The filters of the first layer are stored as float16, since they are displayed; biases as float32. The error of a
    weight is at most half a scale, which is 1/254 of the largest weight of its output channel.
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
    """The float32 weights for those that `quantise` has returned."""
    state = {}
    for name, value in stored.items():
        if name.endswith(_SCALE):
            continue
        state[name] = value.float()
        if (scale := stored.get(name + _SCALE)) is not None:
            state[name] *= scale.view(-1, *[1] * (value.dim() - 1))
    return state
