"""Sprite atlases: many small pictures as a few large ones, square tile beside square tile.

A tile's side is a multiple of 16 pixels, the block of a JPEG with halved colour: no block holds two pictures, so none
bleeds into its neighbour. What a picture leaves free of its tile repeats its edge, and its bounds are told.
"""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.which.maps.kept import once
from triscope.which.store import Store

#: The longest side of an atlas: what every browser and telephone can draw from.
LIMIT = 4096
#: Pixels: the side of a tile, by the number of pictures up to which it is chosen.
_SIDES = ((500, 128), (2_000, 80), (6_000, 48))
_SMALLEST = 32
_QUALITY = 76
_THREADS = 4  # that decode

_Pixels: TypeAlias = NDArray[np.uint8]


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

    def __len__(self) -> int:
        return len(self.sizes)


def tile_side(count: int) -> int:
    """Pixels of a tile's side, so that so many pictures stay a few megabytes."""
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def _layout(count: int, limit: int) -> tuple[int, int, int]:
    """Of atlases of so many pictures the side of a tile, the columns, and the rows of a full one."""
    tile = tile_side(count)
    across = limit // tile
    return tile, max(1, min(across, int(np.ceil(np.sqrt(count))))), across


def atlases(thumbnails: Sequence[bytes], limit: int = LIMIT) -> Atlases:
    """Encoded pictures as atlases of at most `limit` x `limit` pixels; only the last one is not full."""
    tile, columns, across = _layout(len(thumbnails), limit)
    sheets, sizes, tones = [], [], []
    with ThreadPoolExecutor(_THREADS) as threads:
        for start in range(0, len(thumbnails), columns * across):
            part = thumbnails[start : start + columns * across]
            sheet = np.full((-(-len(part) // columns) * tile, columns * tile, 3), 128, np.uint8)
            for place, pixels in enumerate(threads.map(lambda data: _fitted(data, tile), part)):
                top, left = (tile * number for number in divmod(place, columns))
                _lay(pixels, sheet[top : top + tile, left : left + tile])
                sizes.append((pixels.shape[1], pixels.shape[0]))
                tones.append("#" + pixels.reshape(-1, 3).mean(0).round().astype(np.uint8).tobytes().hex())
            sheets.append(_jpeg(sheet))
    return Atlases(tuple(sheets), tile, columns, across, tuple(sizes), tuple(tones))


def sprites_of(store: Store, rows: NDArray[np.int64]) -> Atlases:
    """The pictures of some rows as atlases; those of a large store are kept with it."""
    tile, columns, across = _layout(len(rows), LIMIT)
    names = [f"sheet {number}" for number in range(-(-len(rows) // (columns * across)))]

    def make() -> dict[str, Tensor]:
        made = atlases([bytes(data) for data in store.table.take(rows, ["thumbnail"])["thumbnail"]])
        tones = _tensor(b"".join(bytes.fromhex(tone.removeprefix("#")) for tone in made.tones))
        sizes = torch.tensor(made.sizes, dtype=torch.uint8)
        return {"sizes": sizes, "tones": tones, **dict(zip(names, map(_tensor, made.jpegs), strict=True))}

    def fits(known: Mapping[str, Tensor]) -> bool:
        sizes, tones = known["sizes"], known["tones"]
        whole = sizes.shape == (len(rows), 2) and tones.shape == (3 * len(rows),)
        plain = all(one.dtype == torch.uint8 for one in (sizes, tones, *(known[name] for name in names)))
        return whole and plain and bool(((sizes > 0) & (sizes <= tile)).all())

    known = once(store, {"method": "sprites", "pictures": len(rows)}, make, fits)
    tones = known["tones"].numpy().tobytes()
    return Atlases(
        tuple(known[name].numpy().tobytes() for name in names),
        tile, columns, across, tuple((wide, tall) for wide, tall in known["sizes"].tolist()),
        tuple(f"#{tones[3 * place : 3 * place + 3].hex()}" for place in range(len(rows))),
    )  # fmt: skip


def _fitted(thumbnail: bytes, tile: int) -> _Pixels:
    """(h, w, 3) pixels whose longer side is a tile's."""
    with PIL.Image.open(io.BytesIO(thumbnail)) as opened:
        scale = tile / max(opened.size)
        size = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened.draft("RGB", size)  # a JPEG is decoded at the smallest of its sizes that is as large
        image = opened.convert("RGB")
    return np.asarray(image if image.size == size else image.resize(size, PIL.Image.Resampling.LANCZOS))


def _lay(pixels: _Pixels, cell: _Pixels) -> None:
    """A picture into the middle of a cell (tile, tile, 3), its edge repeated around it."""
    rows, cols = pixels.shape[:2]
    top, left = (cell.shape[0] - rows) // 2, (cell.shape[1] - cols) // 2
    band = cell[top : top + rows]
    band[:, left : left + cols] = pixels
    band[:, :left], band[:, left + cols :] = pixels[:, :1], pixels[:, -1:]
    cell[:top], cell[top + rows :] = band[:1], band[-1:]


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _jpeg(sheet: _Pixels) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(sheet).save(data, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True)
    return data.getvalue()
