"""The training photos, decoded once into memory, and their crops.

A photo folder holds tar files of images and an `index.csv` with the columns `shard, member, imagenet_class_index`
(empty where the class is not known). A crop is identified by its photo and a number k: one pair is always one box.
"""

import csv
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

AREA = (0.3, 1.0)
RATIO = (3 / 4, 4 / 3)
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Photos:
    """Photos in memory as RGB Pillow images, and their ImageNet classes (-1 where not known)."""

    images: list[Image.Image]
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: np.ndarray) -> "Photos":
        """The photos at `indices`, without copying the images."""
        return Photos([self.images[i] for i in indices], self.classes[indices])


def read_photos(folder: Path) -> Photos:
    """Every photo that `index.csv` lists, in its order."""
    rows = _index(folder)
    return _decoded(folder, rows, np.arange(len(rows)))


def read_held_out(folder: Path, count: int) -> Photos:
    """The photos that `split` keeps out of training, without decoding the others."""
    rows = _index(folder)
    return _decoded(folder, rows, _watched(_classes(rows), count))


def split(photos: Photos, held_out: int) -> tuple[Photos, Photos]:
    """(training photos, held-out photos): `held_out` of the photos whose class is known are held out.

    The choice does not depend on the seed, so that all stages of a training hold out the same photos.
    """
    watched = _watched(photos.classes, held_out)
    return photos.subset(np.setdiff1d(np.arange(len(photos)), watched)), photos.subset(watched)


def _index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _classes(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([int(row["imagenet_class_index"] or -1) for row in rows])


def _watched(classes: np.ndarray, count: int) -> np.ndarray:
    known = np.flatnonzero(classes >= 0)
    return np.sort(np.random.default_rng(0).choice(known, size=min(count, len(known) // 2), replace=False))


def _decoded(folder: Path, rows: list[dict[str, str]], indices: np.ndarray) -> Photos:
    chosen = [rows[i] for i in indices]
    wanted = {(row["shard"], row["member"]) for row in chosen}
    decoded: dict[tuple[str, str], Image.Image] = {}
    for shard in sorted({shard for shard, _ in wanted}):
        with tarfile.open(folder / shard) as tar:
            for member in tar:
                if (shard, member.name) in wanted and (content := tar.extractfile(member)) is not None:
                    decoded[shard, member.name] = Image.open(io.BytesIO(content.read())).convert("RGB")
    return Photos([decoded[row["shard"], row["member"]] for row in chosen], _classes(rows)[indices])


def boxes(photos: Photos, k: int, seed: int) -> np.ndarray:
    """Crop number `k` of every photo: (N, 4) of left, top, right, bottom in pixels, 30-100 % of the area."""
    draw = np.random.default_rng((seed, k))
    sizes = np.array([image.size for image in photos.images], dtype=np.float64)
    area = draw.uniform(*AREA, len(photos)) * sizes.prod(axis=1)
    ratio = np.exp(draw.uniform(*np.log(RATIO), len(photos)))
    sides = np.minimum(np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1), sizes)
    corners = draw.uniform(size=(len(photos), 2)) * (sizes - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def cut(photos: Photos, indices: np.ndarray, crops: np.ndarray, size: int, seed: int | None = None) -> Tensor:
    """The crops of the photos at `indices`, resized with antialiasing: uint8 (B, 3, size, size), channels last.

    With a `seed`, each with a random filter from soft to sharp: upsampled small photos are softer than images in use.
    """
    pixels = np.empty((len(indices), size, size, 3), dtype=np.uint8)
    drawn = (
        np.zeros(len(indices), int)
        if seed is None
        else np.random.default_rng(seed).integers(len(FILTERS), size=len(indices))
    )
    for row, i in enumerate(indices):
        pixels[row] = np.asarray(photos.images[i].resize((size, size), FILTERS[drawn[row]], box=tuple(crops[i])))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def centre(image: Image.Image, size: int) -> Tensor:
    """The centre crop of an image: uint8 (3, size, size). The short side is resized to `size`."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def order(weights: np.ndarray, epoch: int, seed: int) -> np.ndarray:
    """The photos of `epoch`, in order: as many as there are weights, sampled in proportion to them.

    With a mean weight of 1, a photo of weight w occurs w times, rounded up or down (systematic sampling).
    """
    draw = np.random.default_rng((seed, 1_000_000 + epoch))
    count = len(weights)
    shuffled = draw.permutation(count)
    reached = np.cumsum(weights[shuffled]) * (count / weights.sum())
    return draw.permutation(shuffled[np.searchsorted(reached, np.arange(count) + draw.uniform())])
