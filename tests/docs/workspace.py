"""The folder that the pages' code is run in: photos where they say `photos/`, a network where they say `net.py`.

What the code says is left as it is. The environment keeps it quick: photos are small, the bundled network reads 128
pixels, published weights are random, and no optimiser takes more than a few steps.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import triscope as ts
from tests.fewer import fewer
from triscope.images.samples import sample_photo

SAMPLES = ("cat", "coffee", "rocket", "astronaut")
NAMED = {
    "cat.jpg": "cat", "dog.jpg": "rocket", "car.jpg": "coffee", "tree.jpg": "grass", "other.jpg": "coffee",
    "new.jpg": "astronaut", "street.jpg": "motorcycle", "empty-room.jpg": "brick", "wave.jpg": "tissue",
    "night.jpg": "galaxies", "pebbles.jpg": "gravel", "photo.jpg": "rocket", "my.jpg": "coffee",
}  # fmt: skip
OWN = """\
import torch
from torch import nn

import triscope as ts


def make():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def net():
    return ts.Network(make(), size=64, classes=["cat", "dog", "fox"])
"""
TOKENS = '''\
import torch
from torch import nn

import triscope as ts


class Tokens(nn.Module):
    """A class token and 4 x 4 patches."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 48, 16, stride=16)
        self.token = nn.Parameter(torch.randn(1, 1, 48))
        self.block = nn.TransformerEncoderLayer(48, 4, 64, batch_first=True)
        self.layernorm = nn.LayerNorm(48)

    def forward(self, images):
        patches = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        return self.layernorm(self.block(tokens))[:, 0]


def make():
    torch.manual_seed(0)
    return ts.Network(Tokens(), size=64, task="embedding")
'''


def _photo(name: str, path: Path, flip: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with PIL.Image.open(sample_photo(name)) as photo:
        small = photo.convert("RGB").resize((160, 120))
    (small.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT) if flip else small).save(path)


def make_workspace(folder: Path) -> None:
    """Fill a folder with everything that pages name, the folder of photos indexed."""
    for file, name in NAMED.items():
        _photo(name, folder / file)
    for label, name in (("crocodile", "cat"), ("dogs", "rocket"), ("tabby", "coffee")):
        for number in range(3):
            _photo(SAMPLES[number] if number else name, folder / f"photos/{label}/{number}.jpg", flip=number == 2)
    for number in range(8):
        _photo(list(NAMED.values())[number], folder / f"photos/cats/{number}.jpg")
    _photo("cat", folder / "photos/cat.jpg")
    _photo("rocket", folder / "photos/rocket.jpg")
    _photo("coffee", folder / "more/coffee.jpg")
    sky = np.zeros((120, 160), np.uint8)
    sky[:50] = 255
    PIL.Image.fromarray(sky).save(folder / "sky.png")
    PIL.Image.fromarray(255 - sky).save(folder / "ground.png")
    (folder / "photos/labels.csv").write_text("file,label\ncat.jpg,tabby\nrocket.jpg,missile\n")
    shutil.copy(folder / "photos/labels.csv", folder / "labels.csv")
    boxes = "file,label,left,top,right,bottom\ncat.jpg,tabby,9,9,60,60\nrocket.jpg,missile,30,5,60,70\n"
    for place in (folder, folder / "photos"):
        (place / "boxes.csv").write_text(boxes)
    for file in ("net.py", "my.py", "model.py"):
        (folder / file).write_text(OWN)
    (folder / "dino.py").write_text(TOKENS)
    (folder / "names.txt").write_text("cat\ndog\nfox\n")
    for number, file in enumerate(("mine.pth", "epoch1.pth", "epoch9.pth", "before.pth", "after.pth")):
        space: dict[str, Any] = {}
        exec(OWN, space)
        module = space["make"]()
        with torch.no_grad():
            module[-1].bias += number * torch.tensor([1.0, -1.0, 0.5])
        torch.save(module.state_dict(), folder / file)
    import safetensors.torch

    safetensors.torch.save_file(module.state_dict(), folder / "mine.safetensors")
    directions = {f"features.10/{name}": torch.randn(256) for name in ("dots",)}
    safetensors.torch.save_file(directions, folder / "directions.safetensors")
    bands = np.random.default_rng(0).integers(0, 255, (64, 64, 6), np.uint8)
    np.save(folder / "field.npy", bands)


def quicken(patch: pytest.MonkeyPatch, pixels: int = 128) -> None:
    """Small inputs and few steps, whatever is asked."""
    fewer(patch, size=pixels)
    patch.setattr("triscope.network.loading.zoo.SIZE", pixels)
    for maker in ("_torchvision", "_timm"):
        published = getattr(__import__("triscope.network.loading.zoo", fromlist=[maker]), maker)
        patch.setattr(
            f"triscope.network.loading.zoo.{maker}",
            lambda name, weights, *rest, made=published: made(name, weights or "random", *rest),
        )
    patch.setattr("triscope.web.serving.Running.wait", lambda self: None)
    patch.setattr("triscope.cli.app.webbrowser.open", lambda url: True)


class TextEncoder(nn.Module):
    """What a page calls `clip`: features of images and of texts."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 6, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.logit_scale = nn.Parameter(torch.ones(()))

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return SimpleNamespace(pooler_output=self.trunk(pixel_values))

    get_image_features = forward

    def get_text_features(self, count: int) -> Any:
        return SimpleNamespace(pooler_output=torch.randn(count, 24))


def _module() -> nn.Module:
    space: dict[str, Any] = {}
    exec(OWN, space)
    module: nn.Module = space["make"]()
    return module


def _store() -> ts.Store:
    return ts.Store.open("photos")


def _other() -> ts.Store:
    return ts.Store.build(ts.load("pocket", weights="random"), "photos", layers=["output"], path="other")


#: What pages take for given, and how it is made when a page names it.
GIVEN = {
    "ts": lambda: ts,
    "torch": lambda: torch,
    "F": lambda: torch.nn.functional,
    "safetensors": lambda: __import__("safetensors.torch"),
    "net": lambda: ts.load("pocket"),
    "store": _store,
    "other": _other,
    "my_module": _module,
    "build": lambda: _module,
    "mean": lambda: (0.5, 0.5, 0.5),
    "std": lambda: (0.25, 0.25, 0.25),
    "names": lambda: ["cat", "dog", "fox"],
    "images": lambda: torch.rand(2, 3, 128, 128),
    "mask": lambda: torch.ones(128, 128),
    "striped": lambda: torch.rand(4, 256),
    "plain": lambda: torch.rand(4, 256),
    "vector": lambda: torch.rand(256),
    "clip": TextEncoder,
    "tokens": lambda: {"count": 3},
}
