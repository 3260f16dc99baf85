"""Several images in one: mosaics, overlays, enlargements.

An image is a float tensor (3, H, W) in [0, 1]; what is said of images here holds for any number of channels, as long
as it is the same in all that meet. Nothing is drawn on them: words belong to the page around an image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Tile(NamedTuple):
    """An image (3, h, w) of a montage, and where its first pixel lies; its last `words` rows are a line of words."""

    picture: Tensor
    top: int = 0
    left: int = 0
    words: int = 0


@dataclass(frozen=True, eq=False)
class Montage:
    """Tiles on paper of `height` x `width` pixels."""

    height: int
    width: int
    tiles: tuple[Tile, ...]

    def paint(self, background: float = 1.0) -> Tensor:
        """One image (3, height, width): the tiles, later ones over earlier ones, on `background` grey in [0, 1]."""
        first = self.tiles[0].picture
        paper = first.new_full((first.shape[0], self.height, self.width), background)
        for picture, top, left, _ in self.tiles:
            paper[:, top : top + picture.shape[-2], left : left + picture.shape[-1]] = picture
        return paper


def montage(
    pictures: Sequence[Tensor | Tile], columns: int | None = None, *, gap: int = 2, aspect: float = 1.5
) -> Montage:
    """Images (3, H, W) of any sizes, row by row, each in the middle of a cell of the largest size.

    `gap` pixels lie between cells. Without `columns`, as many as bring the width closest to `aspect` times the height.
    Raises ValueError where there is no image or fewer than one column.
    """
    if not pictures:
        raise ValueError("A montage needs at least one image.")
    tiles = [one if isinstance(one, Tile) else Tile(one) for one in pictures]
    height = max(tile.picture.shape[-2] for tile in tiles) + gap
    width = max(tile.picture.shape[-1] for tile in tiles) + gap
    if columns is None:
        columns = _columns(len(tiles), width / height, aspect)
    if columns < 1:
        raise ValueError(f"A montage needs at least one column, not {columns}.")
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    placed = []
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top = row * height + (height - gap - tile.picture.shape[-2]) // 2
        left = column * width + (width - gap - tile.picture.shape[-1]) // 2
        placed.append(tile._replace(top=top, left=left))
    return Montage(rows * height - gap, columns * width - gap, tuple(placed))


def grid(
    pictures: Sequence[Tensor | Tile], columns: int | None = None, *, gap: int = 2, background: float = 1.0
) -> Tensor:
    """A `montage` of images (3, H, W) as one image, on `background` grey in [0, 1]."""
    return montage(pictures, columns, gap=gap).paint(background)


def side_by_side(*pictures: Tensor, gap: int = 8, background: float = 1.0) -> Tensor:
    """Images (3, H, W) in one row: a photo and its map."""
    return grid(pictures, columns=len(pictures), gap=gap, background=background)


def overlay(picture: Tensor, heat: Tensor, strength: float | Tensor = 0.5) -> Tensor:
    """An image (3, H, W) with a coloured map (3, h, w), resized to it, laid over it.

    `strength` is how much of the map covers the image, from 0 (the image) to 1 (the map): one number, or one for
    each place (h, w), so that a map can be clear where it says nothing.
    """
    size = picture.shape[-2], picture.shape[-1]
    if isinstance(strength, Tensor):
        strength = resize(strength, *size)
    return torch.lerp(picture, resize(heat, *size), strength)


def enlarge(picture: Tensor, factor: int) -> Tensor:
    """(..., H, W) to (..., factor * H, factor * W): each pixel becomes a square, for filters and small maps."""
    return picture.repeat_interleave(factor, dim=-2).repeat_interleave(factor, dim=-1)


def resize(values: Tensor, height: int, width: int) -> Tensor:
    """(..., h, w) to (..., height, width), bilinear, smoothed where it shrinks; within the range there was."""
    flat = values.reshape(1, -1, *values.shape[-2:])
    resized = F.interpolate(flat, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    return resized.reshape(*values.shape[:-2], height, width)


def square(picture: Tensor, side: int) -> Tensor:
    """The middle square of an image (C, h, w) in [0, 1], `side` pixels large."""
    height, width = picture.shape[-2:]
    length = min(height, width)
    top, left = (height - length) // 2, (width - length) // 2
    return resize(picture[:, top : top + length, left : left + length], side, side).clamp(0, 1)


def _columns(count: int, cell: float, aspect: float) -> int:
    """How many columns bring `count` cells, each `cell` times as wide as high, closest to `aspect` altogether."""

    def miss(columns: int) -> float:
        return abs(math.log(columns * cell / (math.ceil(count / columns) * aspect)))

    return min(range(1, count + 1), key=miss)
