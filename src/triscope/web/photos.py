"""The photos of a page, which knows them by hashes, never by their paths."""

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from triscope.errors import ImageError
from triscope.images import open_photo, printable, read_image, resize, to_pil
from triscope.network import ImageBatch, Network

#: The formats that can be uploaded, and the largest number of pixels.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_PIXELS = 64_000_000
_THUMB = 96
_UPLOADS = 64
_LONGEST_NAME = 80


@dataclass(frozen=True)
class PhotoFile:
    """A photo: its name on the page, and its file, or its bytes if it was uploaded."""

    id: str
    name: str
    source: Path | bytes

    @property
    def spelled(self) -> str:
        """Its name in a command."""
        return str(self.source) if isinstance(self.source, Path) else self.name


class Photos:
    """The photos of the page: files that the user named, files of the store, and uploads (the last 64)."""

    def __init__(self) -> None:
        self._files: dict[str, PhotoFile] = {}
        self._uploads: OrderedDict[str, PhotoFile] = OrderedDict()
        self._lock = threading.Lock()

    def add_file(self, path: Path) -> PhotoFile:
        """A file on disk."""
        photo = PhotoFile(_digest(str(path.absolute()).encode(errors="surrogateescape")), printable(path.name), path)
        with self._lock:
            return self._files.setdefault(photo.id, photo)

    def add_upload(self, data: bytes, name: str) -> PhotoFile:
        """An uploaded image. Raises ImageError unless it is a PNG, JPEG, WebP or GIF, and not too large."""
        check(data)
        open_photo(data, max_pixels=MAX_PIXELS)
        photo = PhotoFile(_digest(data), plain_name(name), data)
        with self._lock:
            self._uploads[photo.id] = photo
            while len(self._uploads) > _UPLOADS:
                self._uploads.popitem(last=False)
        return photo

    def __getitem__(self, key: str) -> PhotoFile:
        """The photo of that id. Raises ImageError where there is none."""
        found = self._files.get(key) or self._uploads.get(key)
        if found is None:
            raise ImageError("This photo is no longer kept: choose another one, or add it again.")
        return found

    def listed(self) -> list[dict[str, str]]:
        """The id and name of each photo that the page offers."""
        with self._lock:
            everything = [*self._files.values(), *self._uploads.values()]
        return [{"id": photo.id, "name": photo.name} for photo in everything]


def check(data: bytes) -> None:
    """Raise ImageError unless the bytes are an image of a format that can be uploaded, and not too large."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            pixels = image.width * image.height
    except PIL.Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except Exception as error:
        raise ImageError(
            "This is not a PNG, JPEG, WebP or GIF that can be read; convert it to one of these."
        ) from error
    if pixels > MAX_PIXELS:
        raise ImageError(f"This image is too large: up to {MAX_PIXELS // 10**6} million pixels are accepted.")


def plain_name(name: str) -> str:
    """A file's name for the page: its last part, printable and not too long."""
    return printable(name.replace("\\", "/").rpartition("/")[2].strip())[:_LONGEST_NAME] or "photo.png"


@lru_cache(maxsize=256)
def seen(network: Network, photo: PhotoFile) -> ImageBatch:
    """A photo as a network sees it, with the preprocessing of its training."""
    batch = network.prepare(photo.source)
    if isinstance(photo.source, bytes):
        named = tuple(replace(source, name=Path(photo.name).stem) for source in batch.sources)
        batch = replace(batch, sources=named)
    return batch


@lru_cache(maxsize=512)
def thumbnail(photo: PhotoFile) -> bytes:
    """A small JPEG of the whole photo, upright and without its metadata."""
    pixels = read_image(photo.source)
    scale = _THUMB / max(pixels.shape[-2:])
    size = tuple(max(1, round(side * min(1, scale))) for side in pixels.shape[-2:])
    return jpeg(resize(pixels, (size[0], size[1]))[0])


def jpeg(pixels: torch.Tensor, quality: int = 88) -> bytes:
    """Pixels (C, h, w) in [0, 1] as a JPEG."""
    return encoded(to_pil(pixels.float()).convert("RGB"), "JPEG", quality=quality)


def encoded(picture: PIL.Image.Image, form: str, **how: Any) -> bytes:
    """A PIL image as the bytes of a file."""
    data = io.BytesIO()
    picture.save(data, form, **how)
    return data.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:20]
