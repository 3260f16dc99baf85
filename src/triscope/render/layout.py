"""Pictures to one picture: mosaics, overlays, enlargements.

A picture is a float tensor (3, H, W) in [0, 1]; what is said of pictures here holds for any number of channels, as long
as it is the same in all that meet. Nothing is drawn on them: words belong to the page around a picture.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def grid(
    pictures: Sequence[Tensor],
    columns: int | None = None,
    *,
    gap: int = 2,
    background: float = 1.0,
    aspect: float = 1.5,
) -> Tensor:
    """Pictures (3, H, W) of any sizes, row by row in one mosaic, each in the middle of a cell of the largest size.

    `gap` pixels of `background` grey in [0, 1] lie between cells. Without `columns`, as many as bring the mosaic's
    width closest to `aspect` times its height. Raises ValueError where there is no picture or fewer than one column.
    """
    if not pictures:
        raise ValueError("A grid needs at least one picture.")
    height = max(picture.shape[-2] for picture in pictures) + gap
    width = max(picture.shape[-1] for picture in pictures) + gap
    if columns is None:
        columns = _columns(len(pictures), width / height, aspect)
    if columns < 1:
        raise ValueError(f"A grid needs at least one column, not {columns}.")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    mosaic = pictures[0].new_full((pictures[0].shape[0], rows * height - gap, columns * width - gap), background)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        top = row * height + (height - gap - picture.shape[-2]) // 2
        left = column * width + (width - gap - picture.shape[-1]) // 2
        mosaic[:, top : top + picture.shape[-2], left : left + picture.shape[-1]] = picture
    return mosaic


def side_by_side(*pictures: Tensor, gap: int = 8, background: float = 1.0) -> Tensor:
    """Pictures (3, H, W) in one row: a photo and what a method says of it."""
    return grid(pictures, columns=len(pictures), gap=gap, background=background)


def overlay(picture: Tensor, heat: Tensor, strength: float | Tensor = 0.5) -> Tensor:
    """A picture (3, H, W) with a coloured map (3, h, w), resized to it, laid over it.

    `strength` is how much of the map covers the picture, from 0 (the picture) to 1 (the map): one number, or one for
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
    """The middle square of a picture (C, h, w) in [0, 1], `side` pixels large."""
    height, width = picture.shape[-2:]
    length = min(height, width)
    top, left = (height - length) // 2, (width - length) // 2
    return resize(picture[:, top : top + length, left : left + length], side, side).clamp(0, 1)


def _columns(count: int, cell: float, aspect: float) -> int:
    """How many columns bring `count` cells, each `cell` times as wide as high, closest to `aspect` altogether."""

    def miss(columns: int) -> float:
        return abs(math.log(columns * cell / (math.ceil(count / columns) * aspect)))

    return min(range(1, count + 1), key=miss)
