"""Preprocessing: from images of any kind to a batch for a network, with the position of each in the original."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.errors import ImageError, OptionError
from triscope.images import ImageSource, open_photo, read_image, resize

Fit: TypeAlias = Literal["crop", "pad", "keep"]
Interpolation: TypeAlias = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Box:
    """A rectangle of an image, in its pixels. It extends beyond the image if that was padded."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Source:
    """The origin of an image: its short name, and its file and the file's hash, if there is one."""

    name: str
    path: Path | None = None
    sha256: str | None = None


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """Preprocessed images (B, C, H, W) in [0, 1], with the box in the original and the source of each."""

    images: Tensor
    boxes: tuple[Box, ...]
    sources: tuple[Source, ...]

    def __len__(self) -> int:
        return len(self.images)


Images: TypeAlias = ImageSource | Sequence[ImageSource] | ImageBatch


@dataclass(frozen=True)
class Preprocess:
    """Published preprocessing: the short side resized to `resize`, then a centre crop of `size`, (rows, columns)."""

    size: tuple[int, int]
    resize: int
    interpolation: Interpolation = "bilinear"

    def __call__(self, pixels: Tensor, fit: Fit) -> tuple[Tensor, Box]:
        """Pixels (1, C, H, W) fitted to the network, and the box of the original that they show.

        `crop` is the published preprocessing, `pad` puts the whole image on grey, `keep` changes nothing.
        """
        height, width = pixels.shape[-2:]
        if fit == "keep":
            return pixels, Box(0, 0, height, width)
        if fit == "crop":
            return self._crop(pixels, height, width)
        if fit == "pad":
            return self._pad(pixels, height, width)
        raise OptionError(f"fit must be crop, pad or keep, not {fit!r}.")

    def _crop(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, Box]:
        rows, cols = self.size
        # A crop that is not square may need a larger image than the short side gives.
        scale = max(self.resize / min(height, width), rows / height, cols / width)
        tall, wide = max(rows, int(height * scale)), max(cols, int(width * scale))
        top, left = round((tall - rows) / 2), round((wide - cols) / 2)
        seen = resize(pixels, (tall, wide), self.interpolation)[..., top : top + rows, left : left + cols]
        box = Box(round(top / scale), round(left / scale), round(rows / scale), round(cols / scale))
        return seen.contiguous(), box

    def _pad(self, pixels: Tensor, height: int, width: int) -> tuple[Tensor, Box]:
        rows, cols = self.size
        scale = min(rows / height, cols / width)
        tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (rows - tall) // 2, (cols - wide) // 2
        seen = pixels.new_full((*pixels.shape[:2], rows, cols), 0.5)
        seen[..., top : top + tall, left : left + wide] = resize(pixels, (tall, wide), self.interpolation)
        return seen, Box(-round(top / scale), -round(left / scale), round(rows / scale), round(cols / scale))


def prepare(images: Images, preprocess: Preprocess, channels: int, fit: Fit) -> ImageBatch:
    """A batch of `images` with `channels` channels.

    Tensors, alone or in a list, and an ImageBatch are used as they are. Raises ImageError if an image cannot be read,
    or sizes differ.
    """
    if isinstance(images, ImageBatch):
        return images
    several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
    if not several:
        raise ImageError("There is no image: the list of images is empty.")
    parts = [_fitted(image, preprocess, channels, fit) for image in several]
    sizes = {tuple(part.images.shape[-2:]) for part in parts}
    if len(sizes) > 1:
        shown = ", ".join(sorted(f"{height} x {width}" for height, width in sizes))
        raise ImageError(
            f"Images of several sizes ({shown}) do not make one batch; give one at a time, or use fit='crop'."
        )
    return ImageBatch(
        torch.cat([part.images for part in parts]),
        tuple(box for part in parts for box in part.boxes),
        tuple(source for part in parts for source in part.sources),
    )


def _fitted(image: ImageSource, preprocess: Preprocess, channels: int, fit: Fit) -> ImageBatch:
    bands = None if channels in (1, 3) else channels
    if isinstance(image, Tensor):
        pixels = as_channels(read_image(image.detach(), bands=bands), channels)
        whole = Box(0, 0, *pixels.shape[-2:])
        return ImageBatch(pixels, (whole,) * len(pixels), (Source("tensor"),) * len(pixels))
    photo = open_photo(image, bands=bands)
    pixels, box = preprocess(as_channels(photo.pixels, channels), fit)
    return ImageBatch(pixels, (box,), (Source(photo.name, photo.path, photo.sha256),))


def as_channels(pixels: Tensor, channels: int) -> Tensor:
    """Pixels with `channels` channels: grey repeated to colour, colour converted to grey (ITU-R BT.601).

    Raises ImageError for other numbers of channels.
    """
    if pixels.shape[1] == channels:
        return pixels
    if pixels.shape[1] == 1 and channels == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous()
    if pixels.shape[1] == 3 and channels == 1:
        weights = pixels.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (pixels * weights).sum(1, keepdim=True)
    raise ImageError(f"The network reads images of {channels} channels; this one has {pixels.shape[1]}.")
