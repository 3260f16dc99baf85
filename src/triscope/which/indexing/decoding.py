"""From files to vectors, many at a time: threads decode, the network runs on whole batches and stops where it may.

A JPEG is decoded at the smallest of its sizes that is still larger than needed, and resized by PyTorch, whose kernel
for 8 bits is three times as fast as Pillow's and rounds a little differently; the thumbnail is made of the result. With
`exact`, an image is decoded whole and resized by Pillow, which is torchvision's published transform to the bit;
docs/methods/indexing.md says what the difference amounts to.
"""

import copy
import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar, cast

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triscope import render
from triscope.errors import ImageError
from triscope.images import MAX_PIXELS, open_photo, printable
from triscope.images.decode import recognise, to_array
from triscope.network import Network
from triscope.network.preprocess import Preprocess
from triscope.network.variants.configured import configured
from triscope.objectives.base import Need
from triscope.which.database.schema import PIXELS, Column
from triscope.which.places.place import LocalFile, Place

_FILTERS = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}
_THUMBNAIL = 128  # pixels on the longer side
_LONG = 6  # times as many pixels as the network sees: images that are longer are not resized whole
_LARGEST = float(np.finfo(np.float16).max)
_SHORT_LINES = 257  # so many numbers of 8 bits have a sum of 16 bits
_FAINT = 1e-4  # smaller numbers are what half precision may lose

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as the network sees it, (H, W, C) of 8 bits, its whole size, and a small JPEG of the whole; or why
    not.
    """

    pixels: NDArray[np.uint8] | None = None
    height: int = 0
    width: int = 0
    thumbnail: bytes | None = None
    error: str | None = None


def decode(
    path: str, preprocess: Preprocess, channels: int, *, exact: bool = False, place: Place | None = None
) -> Decoded:
    """The image at `path`, fitted to a network; where it cannot be read, the sentence that says why.

    `place` is where its bytes are, if not in a file of that path.
    """
    place = place or LocalFile(path)
    if channels not in (1, 3):
        return _bands(place, printable(path), preprocess, channels)
    try:
        array, height, width = _open(place, printable(path), preprocess, exact)
    except ImageError as error:
        return Decoded(error=str(error))
    tall, wide = _resized(array.shape[0], array.shape[1], preprocess)
    if exact or tall * wide > _LONG * prod(preprocess.size):
        image = PIL.Image.fromarray(array)
        pixels = np.asarray(_fit(image if channels == 3 else image.convert("L"), preprocess, exact))
        return Decoded(pixels.reshape(*preprocess.size, channels), height, width, _small(array))
    whole = _resize(array, tall, wide, preprocess.interpolation)
    pixels = _centre(whole, *preprocess.size)
    if channels == 1:
        pixels = np.asarray(PIL.Image.fromarray(pixels).convert("L"))[:, :, None]
    shown = whole if _THUMBNAIL <= max(whole.shape) <= max(array.shape) else array
    return Decoded(pixels, height, width, _small(shown))


def _bands(place: Place, label: str, preprocess: Preprocess, channels: int) -> Decoded:
    """The same for an image of other than one or three channels; its small JPEG shows the usual ones."""
    try:
        whole = open_photo(place.read(), bands=channels, name=label).pixels
    except ImageError as error:
        return Decoded(error=str(error))
    seen, _ = preprocess(whole, "crop")
    pixels, shown = (
        one.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        for one in (seen[0], render.visible(whole[0]))
    )
    return Decoded(pixels, whole.shape[-2], whole.shape[-1], _small(shown))


def _open(place: Place, label: str, preprocess: Preprocess, exact: bool) -> tuple[NDArray[np.uint8], int, int]:
    """The upright image in 8 bits, (H, W, 3), perhaps smaller than its file says, and its whole size."""
    data = place.read()
    image = recognise(data, label, MAX_PIXELS)
    size = image.size
    if image.format == "JPEG" and not exact and image.width * image.height <= MAX_PIXELS:
        image.draft(None, (_needed(preprocess),) * 2)
    array = to_array(image, label, MAX_PIXELS)
    if array.dtype != np.uint8 or array.shape[2:] != (3,):  # 16 bits, floats, transparency: the general way
        pixels = open_photo(data, name=label).pixels[0]
        array = pixels.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    turned = (array.shape[1] > array.shape[0]) != (size[0] > size[1])
    return array, size[0] if turned else size[1], size[1] if turned else size[0]


def _needed(preprocess: Preprocess) -> int:
    return max(preprocess.resize, *preprocess.size, _THUMBNAIL)


def _resize(array: NDArray[np.uint8], tall: int, wide: int, how: str) -> NDArray[np.uint8]:
    """An image (H, W, 3) of 8 bits at another size, with antialiasing."""
    writable = array if array.flags.writeable else array.copy()  # PyTorch warns of others
    # A batch of one with strides of its own, by which PyTorch sees that colours lie side by side, and leaves them so.
    channels_first = torch.from_numpy(writable)[None].permute(0, 3, 1, 2)
    resized = F.interpolate(channels_first, (tall, wide), mode=how, align_corners=False, antialias=True)
    pixels: NDArray[np.uint8] = resized[0].permute(1, 2, 0).numpy()
    return pixels


def _centre(whole: NDArray[np.uint8], rows: int, cols: int) -> NDArray[np.uint8]:
    """The middle of an image, cut as torchvision cuts it."""
    top, left = round((whole.shape[0] - rows) / 2), round((whole.shape[1] - cols) / 2)
    return np.ascontiguousarray(whole[top : top + rows, left : left + cols])


def _fit(image: PIL.Image.Image, preprocess: Preprocess, exact: bool) -> PIL.Image.Image:
    """The centre of the resized image by Pillow: by one step, or by two as torchvision does it."""
    rows, cols = preprocess.size
    tall, wide = _resized(image.height, image.width, preprocess)
    top, left = round((tall - rows) / 2), round((wide - cols) / 2)
    how = _FILTERS[preprocess.interpolation]
    if exact:
        return image.resize((wide, tall), how).crop((left, top, left + cols, top + rows))
    down, across = image.height / tall, image.width / wide
    box = (left * across, top * down, min((left + cols) * across, image.width), min((top + rows) * down, image.height))
    return image.resize((cols, rows), how, box=box, reducing_gap=2.0)


def _resized(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Rows and columns once the short side is `resize`, in torchvision's arithmetic; larger where the crop needs it."""
    rows, cols = preprocess.size
    short, long = min(height, width), max(height, width)
    other = int(preprocess.resize * long / short)
    tall, wide = (preprocess.resize, other) if height <= width else (other, preprocess.resize)
    if tall >= rows and wide >= cols:
        return tall, wide
    scale = max(rows / height, cols / width)
    return max(rows, int(height * scale)), max(cols, int(width * scale))


def _small(array: NDArray[np.uint8]) -> bytes:
    """The JPEG of an image made small."""
    scale = min(1.0, _THUMBNAIL / max(array.shape))
    tall, wide = (max(1, round(side * scale)) for side in array.shape[:2])
    file = io.BytesIO()
    PIL.Image.fromarray(_resize(array, tall, wide, "bilinear")).save(file, "JPEG", quality=80)
    return file.getvalue()


class Embedder:
    """The vectors of images: a copy of a network in one precision, and the columns wanted of it."""

    def __init__(self, network: Network, columns: Iterable[Column], precision: str) -> None:
        self.columns = tuple(columns)
        self._network = configured(network, precision=getattr(torch, precision), normalised=True)
        self._room: list[Tensor] = []  # where the last batch was normalised, unless a thread is using it

    @property
    def layers(self) -> list[str]:
        """The layers that the columns are of."""
        return list(dict.fromkeys(column.layer for column in self.columns if column.pool != "pixels"))

    def only(self, columns: Iterable[Column]) -> "Embedder":
        """The same network for these columns alone: copying one takes time and memory."""
        other = copy.copy(self)
        other.columns = tuple(columns)
        return other

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        """For images (B, C, H, W) in [0, 1], or of 8 bits, each column's values (B, ...), as float32 or positions."""
        images = pixels.to(self._network.device)
        with torch.no_grad():
            if not self.layers:
                return {column.name: self._value(column, {}, images).cpu() for column in self.columns}
            room = torch.empty(0)
            with suppress(IndexError):
                room = self._room.pop()
            seen = self._normalised(images, room)
            look = self._network.look(seen, self.layers)
            values = {column.name: self._value(column, look, images).cpu() for column in self.columns}
        self._room[:] = [seen]  # for the next batch: values of layers are copies (see `tap`)
        return values

    def _normalised(self, images: Tensor, room: Tensor) -> Tensor:
        """What `Network.normalise` makes of images, channels last, in the network's precision; in `room` if it fits,
        since the system takes large blocks that are freed back, and has to clear them again for the next batch.

        Image by image, so that it stays in the processor's cache, and on whole rows of pixels: a mean for each of
        three colours, side by side in memory, is slow to subtract.
        """
        count, channels, rows, cols = images.shape
        lines = images.permute(0, 2, 3, 1).reshape(count, rows, cols * channels)
        if room.shape != images.shape:
            room = torch.empty(lines.shape, dtype=self._network.dtype, device=images.device)
            room = room.view(count, rows, cols, channels).permute(0, 3, 1, 2)
        made = room.permute(0, 2, 3, 1).view(lines.shape)
        changes = [
            (change, torch.tensor(statistic, device=images.device).repeat(cols))
            for statistic, change in ((self._network.mean, torch.Tensor.sub_), (self._network.std, torch.Tensor.div_))
            if statistic
        ]
        at_once = 1 if images.device.type == "cpu" else max(count, 1)
        for some, place in zip(torch.split(lines, at_once), torch.split(made, at_once), strict=True):
            values = some.to(torch.float32, copy=True)
            if some.dtype == torch.uint8:
                values.div_(255)
            for change, by in changes:
                change(values, by)
            place.copy_(values)
        return room

    def _value(self, column: Column, look: Any, images: Tensor) -> Tensor:
        if column.pool == "pixels":
            return small(images)
        if column.pool == "class":
            return cast("Tensor", look[Need(column.layer, "class")]).float()
        values: Tensor = look[Need(column.layer)]
        if column.pool == "none":
            return values.float()
        flat = values.flatten(2)
        if column.pool == "mean":
            return flat.float().mean(2)
        return flat.float().amax(2) if column.pool == "max" else flat.float().argmax(2)


def small(images: Tensor) -> Tensor:
    """Images (B, C, H, W), floats in [0, 1] or of 8 bits, averaged to the few pixels of pixel space, in [0, 1]."""
    count, channels, rows, cols = images.shape
    if images.dtype == torch.uint8 and rows % PIXELS == cols % PIXELS == 0:  # many, channels last: sum whole lines
        lines = images.permute(0, 2, 3, 1).reshape(count, PIXELS, rows // PIXELS, cols * channels).cpu().numpy()
        # NumPy sums lines of small numbers four times as quickly as torch.
        sums = np.add.reduce(lines, 2, np.uint32 if rows > _SHORT_LINES * PIXELS else np.uint16)
        blocks = sums.reshape(count, PIXELS, PIXELS, cols // PIXELS, channels).sum(3, dtype=np.int32)
        return torch.from_numpy(blocks).to(images.device).permute(0, 3, 1, 2) / (255 * rows * cols / PIXELS**2)
    return F.adaptive_avg_pool2d(images.float() / 255 if images.dtype == torch.uint8 else images.float(), PIXELS)


def broken(values: dict[str, Tensor], columns: Iterable[Column]) -> list[str | None]:
    """For each image, why its vectors cannot be kept, or None."""
    reasons: list[str | None] = [None] * len(next(iter(values.values())))
    for column in columns:
        flat = values[column.name].flatten(1).float().abs()
        most = flat.amax(1) if column.dtype == "float16" else flat.amax(1).clamp(max=_LARGEST) + flat.amax(1) * 0
        for place in (~(most <= _LARGEST)).nonzero().flatten().tolist():
            reasons[place] = (
                f"The network gives {column.layer} values for it that float16 does not hold ({float(most[place]):g})."
            )
    return reasons


def faint(values: dict[str, Tensor], columns: Iterable[Column]) -> list[str]:
    """The layers all of whose values, for some image, are so small that float16 rounds them by more than 1 %."""
    found = []
    for column in columns:
        if column.dtype != "float16" or column.pool == "pixels":
            continue
        flat = values[column.name].flatten(1).float()
        some = flat[flat.abs().amax(1) < _FAINT]
        if bool(((some.half().float() - some).norm(dim=1) > 0.01 * some.norm(dim=1)).any()):
            found.append(column.layer)
    return list(dict.fromkeys(found))


def ordered(work: Callable[[A], B], items: Iterable[A], workers: int | None, ahead: int) -> Generator[tuple[A, B]]:
    """Apply `work` in threads, in order, at most `ahead` items in advance."""
    waiting: deque[tuple[A, Future[B]]] = deque()
    with ThreadPoolExecutor(workers or min(16, (os.cpu_count() or 1) + 1)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > ahead:
                    first, done = waiting.popleft()
                    yield first, done.result()
            while waiting:
                first, done = waiting.popleft()
                yield first, done.result()
        finally:
            for _, future in waiting:
                future.cancel()
