"""Results for the scripts that draw on pages (`triscope.pages.drawing`): what the PNG does not hold.

    maps     maps over photos, each with its place in the PNG: its colours are read back to numbers there
    tiles    small images, each with its place in the PNG and its exact statistics
    bars     names and shares

A drawing is what JSON can hold. Where the colours of a PNG cannot be read back, since a photo lies under them, numbers
come as `levels`, an image of them in 8 bits.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias

import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional as F

from triscope import render
from triscope.images import printable, to_pil

Drawing: TypeAlias = Mapping[str, Any]

_LARGEST = 112  # pixels on the longer side of maps that come as levels
_QUALITY = 90


def one_map(title: str, says: str, tile: render.Tile, scale: float, *, signed: bool, read: str) -> dict[str, Any]:
    """A map: where it lies, what its strongest colour stands for, and whether "colours", "rgb" or "levels" are read."""
    return {
        "title": printable(title),
        "says": printable(says),
        "place": place(tile),
        "scale": scale,
        "signed": signed,
        "read": read,
    }


def place(tile: render.Tile) -> list[int]:
    """Where the image of a tile lies, without its line of words: left, top, width, height."""
    rows, columns = tile.picture.shape[-2:]
    return [tile.left, tile.top, columns, rows - tile.words]


def level_sheet(maps: Sequence[Tensor], scales: Sequence[float]) -> tuple[str, list[render.Tile]]:
    """Maps (H, W) one below the other as a PNG of levels, means where they are large; and where each lies."""
    shrink = max(1, -(-max(maps[0].shape) // _LARGEST))
    small = [F.avg_pool2d(one.detach().float()[None], shrink, ceil_mode=True)[0] for one in maps]
    drawn = [
        levels(one, scale, signed=bool((whole < 0).any()))
        for one, whole, scale in zip(small, maps, scales, strict=True)
    ]
    height = drawn[0].shape[0]
    tiles = [render.Tile(one[None], number * height) for number, one in enumerate(drawn)]
    return picture_uri(PIL.Image.fromarray(torch.cat(drawn).cpu().numpy()), "PNG", optimize=True), tiles


def levels(values: Tensor, limit: Tensor | float, *, signed: bool) -> Tensor:
    """Numbers of up to `limit` in 8 bits, larger ones cut: 0 to 255, or where they are signed 1 to 255 around 128."""
    if signed:
        return (values * (127 / limit)).round_().clamp_(-127, 127).add_(128).to(torch.uint8)
    return (values * (255 / limit)).round_().clamp_(0, 255).to(torch.uint8)


def statistics(values: Tensor) -> dict[str, Any]:
    """Of each of (N, h, w) or (N, C, h, w): the largest and smallest number, the mean, where the largest is."""
    flat, width = values.flatten(1).float(), values.shape[-1]
    peak = flat.argmax(1)
    return {
        "max": rounded(flat.amax(1)),
        "min": rounded(flat.amin(1)),
        "mean": rounded(flat.mean(1)),
        "peak": torch.stack((peak // width, peak % width), 1).tolist(),
    }


def rounded(values: Tensor) -> list[float]:
    """Numbers of five digits."""
    return [float(f"{value:.5g}") for value in values.tolist()]


@cache
def colour_map(*, signed: bool) -> tuple[tuple[int, ...], ...]:
    """The 256 colours that pages draw numbers in."""
    values = torch.linspace(-1 if signed else 0, 1, 256)[None]
    drawn = (render.signed if signed else render.unsigned)(values, 1.0)
    return tuple(tuple(round(255 * part) for part in colour) for colour in drawn[:, 0].T.tolist())


def colours() -> dict[str, Any]:
    """Both colour maps, for a page."""
    return {"signed": colour_map(signed=True), "unsigned": colour_map(signed=False)}


def photo_uris(photos: Iterable[Tensor]) -> list[str]:
    """Photos (3, H, W) as addresses that hold them."""
    return [picture_uri(to_pil(photo.float()), "JPEG", quality=_QUALITY) for photo in photos]


def picture_uri(picture: PIL.Image.Image, form: str, **how: Any) -> str:
    """An image as an address that holds it."""
    data = io.BytesIO()
    picture.save(data, form, **how)
    return f"data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
