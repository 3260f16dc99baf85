"""The teacher, and the bank that keeps what it said.

Labelling a crop costs the teacher as much as the student's step on it, so each answer is kept and used again
(Shen & Xing, 2022, "A Fast Knowledge Distillation Framework for Visual Recognition"): 1000 logits per crop, in fp16.
"""

from pathlib import Path

import numpy as np
import torch
from photos import Photos, cut
from safetensors.torch import load_file
from torch import Tensor, nn

from triscope.network._torchvision import import_torchvision
from triscope.network.pocket import MEAN, STD
from triscope.network.precision import native_bfloat16

SIZE = 160  # SqueezeNet is weak on small pictures: it sees each crop enlarged to this
CLASSES = 1000


class Teacher(nn.Module):
    """SqueezeNet 1.1 (torchvision's), in eval mode, from a safetensors file."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.network = import_torchvision().models.squeezenet1_1()
        self.network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) -> logits (B, 1000)."""
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=native_bfloat16(pixels.device)):
            logits: Tensor = self.network(normalise(pixels))
        return logits.float()


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) -> float32 with ImageNet's mean and spread removed."""
    mean = torch.tensor(MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(STD, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


class Bank:
    """What the teacher said of crop k of photo i, on disk; asked when it has not said it yet."""

    def __init__(self, folder: Path, photos: int, crops: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.logits = _grid(folder / "logits.npy", np.float16, (crops, photos, CLASSES))
        self.known = _grid(folder / "known.npy", np.bool_, (crops, photos))

    def labels(self, teacher: Teacher, photos: Photos, indices: np.ndarray, k: int, crops: np.ndarray) -> None:
        """Make sure that crop `k` of the photos at `indices` is labelled."""
        new = indices[~self.known[k, indices]]
        if len(new) == 0:
            return
        device = next(teacher.parameters()).device
        with torch.inference_mode():
            logits = teacher(cut(photos, new, crops, SIZE).to(device))
        self.logits[k, new] = logits.half().cpu().numpy()
        self.known[k, new] = True  # last, so that a kill leaves nothing half-said

    def balance(self) -> np.ndarray:
        """How often to show each photo (N,), so that classes rare among the photos count for more.

        A photo's weight is the sum of p(c) / sqrt(mass of c) over classes, by what the teacher said of crop 0; all are
        1 until it has spoken of every photo.
        """
        if not self.known[0].all():
            return np.ones(self.known.shape[1])
        logits = self.logits[0].astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        weights: np.ndarray = shares @ shares.sum(axis=0) ** -0.5
        return weights / weights.mean()

    def read(self, indices: np.ndarray, k: int) -> Tensor:
        """What it said of them: logits (B, 1000), float32."""
        return torch.from_numpy(self.logits[k, indices]).float()


def _grid(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """An array on disk; made of zeros (sparse, free until written) when it is not there."""
    if path.exists():
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
