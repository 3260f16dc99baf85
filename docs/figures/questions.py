"""The first figure of the README: one channel of the bundled network, asked where, what and which.

python docs/figures/questions.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch

import triscope as ts
from triscope.images import to_pil
from triscope.images.samples import sample_photo

UNIT = "features.8:230"
PHOTOS = [
    "cat",
    "coffee",
    "astronaut",
    "rocket",
    "brick",
    "grass",
    "gravel",
    "tissue",
    "camera",
    "coins",
    "galaxies",
    "moon",
    "motorcycle",
    "retina",
]
SIDE = 224
GAP = 12


def crops(folder: Path) -> None:
    """Six crops of each photo."""
    random = np.random.default_rng(0)
    for name in PHOTOS:
        (folder / name).mkdir()
        with PIL.Image.open(sample_photo(name)) as photo:
            side = min(photo.size) * 2 // 3
            for number in range(6):
                left, top = (int(random.integers(0, length - side + 1)) for length in photo.size)
                crop = photo.convert("RGB").crop((left, top, left + side, top + side))
                crop.resize((SIDE, SIDE)).save(folder / name / f"{number}.png")


def square(picture: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """An image (3, H, W), cut to its middle square and resized."""
    return torch.as_tensor(np.array(PIL.ImageOps.fit(to_pil(picture), (side, side)))).permute(2, 0, 1) / 255


def patches(store: ts.Store) -> torch.Tensor:
    """The best patch of each photo, four of them."""
    found = ts.patches(store, UNIT, k=40)
    best: dict[str, torch.Tensor] = {}
    for name, picture in zip(found.names, found.pictures, strict=True):
        best.setdefault(name.split("/")[0], picture)
    four = [square(picture, SIDE // 2 - 1) for picture in list(best.values())[:4]]
    rows = [torch.cat([four[i], torch.ones(3, SIDE // 2 - 1, 2), four[i + 1]], 2) for i in (0, 2)]
    return torch.cat([rows[0], torch.ones(3, 2, SIDE), rows[1]], 1)


def main(folder: Path) -> None:
    """Ask, and draw the answers in a row."""
    network = ts.load("pocket")
    heat = ts.guided_backprop(network, "sample:cat", f"max:{UNIT}").side_by_side()
    drawn = torch.as_tensor(np.array(to_pil(heat.values[0]))).permute(2, 0, 1) / 255
    made = ts.ascend(network, UNIT, size=SIDE, steps=192).values[0]
    with tempfile.TemporaryDirectory() as place:
        crops(Path(place))
        found = patches(ts.Store.build(network, place, layers=["features.8"]))
    white = torch.ones(3, SIDE, GAP)
    row = torch.cat([drawn, white, made, white, found], 2)
    to_pil(row).save(folder / "questions.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
