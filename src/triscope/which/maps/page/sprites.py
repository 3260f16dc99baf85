"""Sprite atlases: many small pictures as a few large ones, square tile beside square tile.

A tile's side is a multiple of 16 pixels, the block of a JPEG with halved colour: no block holds two pictures, so none
bleeds into its neighbour. What a picture leaves free of its tile repeats its edge, and its bounds are told.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image

#: The longest side of an atlas: what every browser and telephone can draw from.
LIMIT = 4096
#: Pixels: the side of a tile, by the number of pictures up to which it is chosen.
_SIDES = ((500, 128), (2_000, 80), (6_000, 48))
_SMALLEST = 32
_QUALITY = 76


@dataclass(frozen=True, eq=False)
class Atlases:
    """N pictures in tiles, `columns` a row, `rows` a full atlas, in reading order.

    Each picture lies in the middle of its tile, (columns, rows) = `sizes[i]` of it; `tones[i]` is its mean colour.
    """

    jpegs: tuple[bytes, ...]
    tile: int
    columns: int
    rows: int
    sizes: tuple[tuple[int, int], ...]
    tones: tuple[str, ...]


def tile_side(count: int) -> int:
    """Pixels of a tile's side, so that so many pictures stay a few megabytes."""
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def atlases(thumbnails: Sequence[bytes], limit: int = LIMIT) -> Atlases:
    """Encoded pictures as atlases of at most `limit` x `limit` pixels; only the last one is not full."""
    tile = tile_side(len(thumbnails))
    across = limit // tile
    columns = max(1, min(across, int(np.ceil(np.sqrt(len(thumbnails))))))
    sheets, sizes, tones = [], [], []
    for start in range(0, len(thumbnails), columns * across):
        part = thumbnails[start : start + columns * across]
        sheet = np.full((-(-len(part) // columns) * tile, columns * tile, 3), 128, np.uint8)
        for place, thumbnail in enumerate(part):
            pixels = _fitted(thumbnail, tile)
            top, left = (tile * number for number in divmod(place, columns))
            sheet[top : top + tile, left : left + tile] = _padded(pixels, tile)
            sizes.append((pixels.shape[1], pixels.shape[0]))
            tones.append("#{:02x}{:02x}{:02x}".format(*pixels.mean((0, 1)).round().astype(int)))
        sheets.append(_jpeg(sheet))
    return Atlases(tuple(sheets), tile, columns, across, tuple(sizes), tuple(tones))


def _fitted(thumbnail: bytes, tile: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(h, w, 3) pixels whose longer side is a tile's."""
    with PIL.Image.open(io.BytesIO(thumbnail)) as opened:
        image = opened.convert("RGB")
    scale = tile / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, PIL.Image.Resampling.LANCZOS, reducing_gap=3.0))


def _padded(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tile: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture in the middle of a tile, its edge repeated around it."""
    rows, cols = pixels.shape[:2]
    top, left = (tile - rows) // 2, (tile - cols) // 2
    return np.pad(pixels, ((top, tile - rows - top), (left, tile - cols - left), (0, 0)), "edge")


def _jpeg(sheet: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(sheet).save(data, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True)
    return data.getvalue()
