"""A tiny network with random weights, and folders of images made of noise."""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from triscope.network import Network

pytest.importorskip("lance", reason="needs pylance: pip install 'triscope[collections]'")


def tiny_network(seed: int = 0) -> Network:
    """Three layers of maps, then 300 numbers, then five classes; looks at 32 x 32 pixels."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 300), nn.ReLU(), nn.Linear(300, 5),
    )  # fmt: skip
    return Network(module, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3), size=32, resize=36, name="tiny")


def paint(path: Path, seed: int, size: tuple[int, int] = (40, 56)) -> Path:
    """An image of coarse noise, so that a JPEG keeps it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_painted(seed, size, path.suffix))
    return path


@cache
def _painted(seed: int, size: tuple[int, int], suffix: str) -> bytes:
    """The file, made once: the tests of stores paint the same few hundred images thousands of times."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    file = io.BytesIO()
    picture = PIL.Image.fromarray(coarse).resize(size[::-1], PIL.Image.Resampling.BICUBIC)
    picture.save(file, PIL.Image.registered_extensions()[suffix.lower()])
    return file.getvalue()


@pytest.fixture
def network() -> Network:
    return tiny_network()


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], Path]:
    """A folder of so many images: some upright, some wide, JPEG and PNG, in two folders."""

    def make(count: int) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            kind = "cats" if number % 3 else "dogs"
            paint(
                folder / kind / f"{number:03}.{'jpg' if number % 2 else 'png'}",
                number,
                [(40, 56), (72, 48)][number % 2],
            )
        return folder

    return make
