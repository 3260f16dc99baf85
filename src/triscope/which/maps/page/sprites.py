"""Sprite atlases: many small images as a few large ones, square tile beside square tile.

A tile's side is a multiple of 16 pixels, the block of a JPEG with halved colour: no block holds two images, so none
bleeds into its neighbour. The rest of a tile repeats the image's edge, and the image's bounds are recorded.
"""

import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.which.maps.kept import fitting, keep_new
from triscope.which.store import Store

#: The longest side of an atlas: what every browser and telephone can draw from.
LIMIT = 4096
#: Pixels: the side of a tile, by the number of images up to which it is chosen.
_SIDES = ((500, 128), (2_000, 80), (6_000, 48))
_SMALLEST = 32
_ON_A_SHEET = 2048  # images: a page has the first before the last are made
_QUALITY = 76
_THREADS = 4  # that decode

_Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Some images in one atlas, the JPEG `jpeg`: each one's (columns, rows) `sizes` (n, 2) and mean colour `tones`
    (n, 3), uint8.
    """

    jpeg: bytes
    sizes: _Pixels
    tones: _Pixels

    def hexes(self) -> list[str]:
        """Each image's mean colour, as #rrggbb."""
        return [f"#{tone.tobytes().hex()}" for tone in self.tones]


@dataclass(frozen=True)
class Layout:
    """Tiles of `tile` x `tile` pixels, `columns` a row, `rows` in a full sheet, in reading order."""

    tile: int
    columns: int
    rows: int

    @classmethod
    def of(cls, count: int, limit: int) -> "Layout":
        """That of so many images, on sheets of at most `limit` x `limit` pixels."""
        tile = tile_side(count)
        across = limit // tile
        columns = max(1, min(across, int(np.ceil(np.sqrt(count)))))
        return cls(tile, columns, max(1, min(across, _ON_A_SHEET // columns)))

    @property
    def full(self) -> int:
        """How many images a full sheet has."""
        return self.columns * self.rows

    def sheets(self, count: int) -> int:
        """How many sheets so many images take."""
        return -(-count // self.full)


@dataclass(frozen=True, eq=False)
class Atlases:
    """N images on sheets; each lies in the middle of its tile."""

    sheets: tuple[Sheet, ...]
    layout: Layout

    def __len__(self) -> int:
        return sum(len(sheet.sizes) for sheet in self.sheets)

    @property
    def jpegs(self) -> tuple[bytes, ...]:
        """The sheets, encoded."""
        return tuple(sheet.jpeg for sheet in self.sheets)

    @property
    def sizes(self) -> list[list[int]]:
        """Each image's (columns, rows) of its tile."""
        return [size for sheet in self.sheets for size in sheet.sizes.tolist()]

    @property
    def tones(self) -> list[str]:
        """Each image's mean colour, as #rrggbb."""
        return [tone for sheet in self.sheets for tone in sheet.hexes()]


def tile_side(count: int) -> int:
    """Pixels of a tile's side, so that so many images stay a few megabytes."""
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def atlases(thumbnails: Sequence[bytes], limit: int = LIMIT) -> Atlases:
    """Encoded images as atlases of at most `limit` x `limit` pixels; only the last one is not full."""
    layout = Layout.of(len(thumbnails), limit)
    return Atlases(tuple(_made(thumbnails, layout)), layout)


def layout_of(count: int) -> Layout:
    """How so many images are laid out."""
    return Layout.of(count, LIMIT)


def sheets_of(store: Store, rows: NDArray[np.int64], *, aside: bool = False) -> Iterator[Sheet]:
    """The images of some rows, sheet by sheet as they are made; those of a large store are kept with it once all are.

    With `aside`, at low priority, where the system supports it.
    """
    layout, key = layout_of(len(rows)), {"method": "sprites", "pictures": len(rows)}
    known = fitting(store, key, lambda kept: _fits(kept, layout, len(rows)))
    if known is not None:
        yield from _sheets(known, layout, len(rows))
        return
    thumbnails = (
        bytes(data)
        for start in range(0, len(rows), layout.full)
        for data in store.table.take(rows[start : start + layout.full], ["thumbnail"])["thumbnail"]
    )
    made = []
    for sheet in _made(thumbnails, layout, aside=aside):
        made.append(sheet)
        yield sheet
    keep_new(store, key, lambda: _tensors(made))


def sprites_of(store: Store, rows: NDArray[np.int64]) -> Atlases:
    """The images of some rows as atlases; those of a large store are kept with it."""
    return Atlases(tuple(sheets_of(store, rows)), layout_of(len(rows)))


def _made(thumbnails: Iterable[bytes], layout: Layout, *, aside: bool = False) -> Iterator[Sheet]:
    side, columns, some = layout.tile, layout.columns, iter(thumbnails)
    with ThreadPoolExecutor(_THREADS, initializer=_step_aside if aside else None) as threads:
        while part := list(islice(some, layout.full)):
            sheet = np.full((-(-len(part) // columns) * side, columns * side, 3), 128, np.uint8)
            sizes, tones = np.empty((len(part), 2), np.uint8), np.empty((len(part), 3), np.uint8)
            for place, pixels in enumerate(threads.map(lambda data: _fitted(data, side), part)):
                top, left = (side * number for number in divmod(place, columns))
                _lay(pixels, sheet[top : top + side, left : left + side])
                sizes[place] = pixels.shape[1], pixels.shape[0]
                tones[place] = pixels.reshape(-1, 3).mean(0).round()
            yield Sheet(_jpeg(sheet), sizes, tones)


def _fits(known: Mapping[str, Tensor], layout: Layout, count: int) -> bool:
    """Whether what a file holds are sheets of so many images."""
    sizes, tones = known["sizes"], known["tones"]
    sheets = [known[f"sheet {number}"] for number in range(layout.sheets(count))]
    whole = sizes.shape == (count, 2) and tones.shape == (count, 3)
    plain = all(one.dtype == torch.uint8 for one in (sizes, tones, *sheets))
    return whole and plain and bool(((sizes > 0) & (sizes <= layout.tile)).all())


def _tensors(sheets: Sequence[Sheet]) -> dict[str, Tensor]:
    named = {f"sheet {number}": np.frombuffer(sheet.jpeg, np.uint8) for number, sheet in enumerate(sheets)}
    named["sizes"] = np.concatenate([np.empty((0, 2), np.uint8), *(sheet.sizes for sheet in sheets)])
    named["tones"] = np.concatenate([np.empty((0, 3), np.uint8), *(sheet.tones for sheet in sheets)])
    return {name: torch.from_numpy(values.copy()) for name, values in named.items()}


def _sheets(known: Mapping[str, Tensor], layout: Layout, count: int) -> Iterator[Sheet]:
    sizes, tones = known["sizes"].numpy(), known["tones"].numpy()
    for number in range(layout.sheets(count)):
        own = slice(number * layout.full, (number + 1) * layout.full)
        yield Sheet(known[f"sheet {number}"].numpy().tobytes(), sizes[own], tones[own])


def _step_aside() -> None:
    """Lower the priority of this thread from here on."""
    with suppress(OSError, AttributeError):  # a system that has no such order for threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)


def _fitted(thumbnail: bytes, tile: int) -> _Pixels:
    """(h, w, 3) pixels whose longer side is a tile's."""
    with PIL.Image.open(io.BytesIO(thumbnail)) as opened:
        scale = tile / max(opened.size)
        size = (max(1, round(opened.width * scale)), max(1, round(opened.height * scale)))
        opened.draft("RGB", size)  # a JPEG is decoded at the smallest of its sizes that is as large
        image = opened.convert("RGB")
    return np.asarray(image if image.size == size else image.resize(size, PIL.Image.Resampling.LANCZOS))


def _lay(pixels: _Pixels, cell: _Pixels) -> None:
    """An image into the middle of a cell (tile, tile, 3), its edge repeated around it."""
    rows, cols = pixels.shape[:2]
    top, left = (cell.shape[0] - rows) // 2, (cell.shape[1] - cols) // 2
    band = cell[top : top + rows]
    band[:, left : left + cols] = pixels
    band[:, :left], band[:, left + cols :] = pixels[:, :1], pixels[:, -1:]
    cell[:top], cell[top + rows :] = band[:1], band[-1:]


def _jpeg(sheet: _Pixels) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(sheet).save(data, "JPEG", quality=_QUALITY, subsampling="4:2:0", optimize=True)
    return data.getvalue()
