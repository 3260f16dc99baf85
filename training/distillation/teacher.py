"""The teacher, and the sampling weights that its predictions give the photos."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from training.distillation.photos import Photos, boxes, cut
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.loading.pocket import MEAN, STD
from triscope.network.variants.precision import native_bfloat16

SIZE = 160  # SqueezeNet is weak on small images: each crop is upsampled to this
CELLS = 3  # as the student's: positions carry more information than means over the whole image
CLASSES = 1000


class Teacher(nn.Module):
    """SqueezeNet 1.1 (torchvision's), in eval mode, from a safetensors file."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = import_torchvision().models.squeezenet1_1()
        self.network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, 3, H, W), 0 to 255 -> logits (B, 1000), and means of its last maps (B, 4608), float32."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=native_bfloat16(pixels.device)):
            maps = self.network.features(normalise(pixels))
            logits = self.network.classifier(maps).flatten(1)
        return logits.float(), F.adaptive_avg_pool2d(maps.float(), CELLS).flatten(1)


def normalise(pixels: Tensor) -> Tensor:
    """Pixels (B, 3, H, W), 0 to 255 -> float32, normalised with ImageNet's mean and standard deviation."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def surveyed(teacher: nn.Module, photos: Photos, seed: int, device: torch.device, file: Path) -> np.ndarray:
    """The `balance` of the photos (N,), by the teacher's predictions for crop 0 of each; cached in `file`."""
    if not file.exists():
        crops = boxes(photos, 0, seed)
        parts = np.array_split(np.arange(len(photos)), -(-len(photos) // 128))
        logits = torch.cat([teacher(cut(photos, part, crops, SIZE).to(device))[0].cpu() for part in parts])
        part = file.with_suffix(".part.npy")
        np.save(part, balance(logits.double().numpy()))
        part.replace(file)
    weights: np.ndarray = np.load(file)
    return weights


def balance(logits: np.ndarray) -> np.ndarray:
    """Sampling weights of the photos (N,), mean 1, higher for classes that are rare among them.

    A photo's weight is the sum of p(c) / sqrt(mass of c) over classes, with p (N, 1000) by the teacher's logits.
    """
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    weights: np.ndarray = shares @ shares.sum(axis=0) ** -0.5
    return weights / weights.mean()
