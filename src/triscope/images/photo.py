"""One image from anything that holds one: a file, its bytes, a PIL image, an array, a tensor; and back."""

import hashlib
import math
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from triscope.errors import ImageError, TriscopeWarning
from triscope.images.bands import bands_of, read_bands, require_bands
from triscope.images.decode import recognise, to_array
from triscope.images.files import open_regular, printable
from triscope.images.samples import PREFIX, photo_file

ImageSource = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any] | Tensor
Color = tuple[float, float, float]

WHITE: Color = (1.0, 1.0, 1.0)
MAX_PIXELS = 89_000_000  # 1.07 GB as float32; a little above, Pillow itself begins to warn of bombs
MAX_BYTES = 2**30  # of one image file
_ROUNDING = 1e-4  # floats this far outside [0, 1] are rounding errors, and clamped


@dataclass(frozen=True, eq=False)
class Photo:
    """One image as it was read: upright, whole, `pixels` float32 (1, 3, H, W) in [0, 1], or of so many bands.

    `name` is printable and stands in titles: the stem of the file, or "stdin", "image", "array", "tensor" where
    there is no file; `slug(name)` is safe as a part of a file name. `sha256` is that of the encoded file.
    """

    pixels: Tensor
    name: str
    path: Path | None = None
    sha256: str | None = None


def open_photo(
    source: ImageSource,
    *,
    background: Color = WHITE,
    max_pixels: int = MAX_PIXELS,
    bands: int | None = None,
    name: str = "stdin",
) -> Photo:
    """The whole upright image of a path, the bytes of an encoded file, a PIL image, an array or a tensor.

    "sample:cat" is a photo that comes with scikit-image, as the others in `samples.SAMPLES`.

    Transparent parts show `background`, (red, green, blue) in [0, 1]. A file of more than `max_pixels` is refused
    before it is decoded. An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or floats in
    [0, 1]; a tensor is one image as for `read_image`. With `bands`, an image of just so many channels is wanted, and
    they are taken as they are: an array (H, W, bands), a tensor, or a file of so many bands. `name` is what bytes are
    called. Raises ImageError; warns where a file holds more than is used.
    """
    if [0 <= part <= 1 for part in background] != [True] * 3:
        raise ImageError(f"A background is (red, green, blue), each from 0 to 1, not {background!r}.")
    match source:
        case Tensor():
            return _from_tensor(source, bands)
        case np.ndarray():
            made = _planes(source, "The array", bands)[None] if bands else None
            return Photo(_on_background(source, background, "The array") if made is None else made, "array")
        case PIL.Image.Image():
            path = os.fsdecode(getattr(source, "filename", ""))
            label = printable(path) or "The image"
            if bands:
                pixels = _planes(bands_of(source, bands, label, max_pixels), label, bands)[None]
            else:
                pixels = _on_background(to_array(source, label, max_pixels), background, label)
            return Photo(pixels, printable(Path(path).stem) or "image")
        case bytes():
            pixels = _decoded(source, name, background, max_pixels, bands)
            return Photo(pixels, name, sha256=hashlib.sha256(source).hexdigest())
        case str() if source.startswith(PREFIX):
            known = source.removeprefix(PREFIX)
            return replace(_from_file(photo_file(source), background, max_pixels, bands), name=known)
        case str() | os.PathLike():
            return _from_file(os.fsdecode(source), background, max_pixels, bands)
    raise ImageError(
        f"An image is a path, the bytes of a file, a PIL image, an array or a tensor, not {type(source).__name__}."
    )


def read_image(
    source: ImageSource, *, background: Color = WHITE, max_pixels: int = MAX_PIXELS, bands: int | None = None
) -> Tensor:
    """The image as a tensor (1, 3, H, W), float32 in [0, 1]: `open_photo(...).pixels`; (1, bands, H, W) with `bands`.

    A tensor is taken as it is: (C, H, W) or (B, C, H, W) with C 1 or 3, or `bands`, floats in [0, 1]; it comes back as
    (B, C, H, W) on its own device, half precision as float32, float64 kept. Raises ImageError.
    """
    if isinstance(source, Tensor):
        return _checked(source, bands)
    return open_photo(source, background=background, max_pixels=max_pixels, bands=bands).pixels


def to_pil(pixels: Tensor) -> PIL.Image.Image:
    """An 8-bit RGB or grey (L) image of (C, H, W) or (1, C, H, W) values; those outside [0, 1] are clamped.

    Carries no metadata. Raises ImageError for other shapes and for NaN.
    """
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or len(pixels) not in (1, 3) or pixels.numel() == 0:
        raise ImageError(f"An image is (1 or 3, rows, columns), and this tensor is {tuple(pixels.shape)}.")
    if pixels.isnan().any():
        raise ImageError("The image holds NaN and cannot be drawn.")
    bytes_ = pixels.detach().float().clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    rows = bytes_.permute(1, 2, 0).contiguous().numpy()
    return PIL.Image.fromarray(rows[:, :, 0] if len(pixels) == 1 else rows)


def resize(pixels: Tensor, size: tuple[int, int], mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """(B, C, H, W) values at `size` (rows, columns), with antialiasing as Pillow does it; differentiable.

    Bicubic results are clamped to [0, 1], because the kernel overshoots at edges.
    """
    if min(size) < 1:
        raise ImageError(f"A size is (rows, columns), each at least 1, not {size!r}.")
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    resized = interpolate(pixels, size=tuple(size), mode=mode, align_corners=False, antialias=True)
    return resized.clamp(0, 1) if mode == "bicubic" else resized


def _from_file(path: str, background: Color, max_pixels: int, bands: int | None) -> Photo:
    if path.startswith(("http://", "https://")):
        raise ImageError(f"{printable(path)} is an address, and a file is needed here; download it first.")
    label = printable(path)
    with open_regular(path, ImageError) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise ImageError(f"{label} is larger than {MAX_BYTES >> 20} MB and is not read.")
        try:
            data = file.read()
        except OSError as problem:
            raise ImageError(f"{label} cannot be read: {problem.strerror}.") from problem
    pixels = _decoded(data, label, background, max_pixels, bands)
    return Photo(pixels, printable(Path(path).stem), Path(path), hashlib.sha256(data).hexdigest())


def _decoded(data: bytes, label: str, background: Color, max_pixels: int, bands: int | None) -> Tensor:
    if bands:
        return _planes(read_bands(data, bands, label, max_pixels), label, bands)[None]
    return _on_background(to_array(recognise(data, label, max_pixels), label, max_pixels), background, label)


def _from_tensor(tensor: Tensor, bands: int | None) -> Photo:
    pixels = _checked(tensor, bands)
    if len(pixels) != 1:
        raise ImageError(f"One image is needed here, and the tensor holds {len(pixels)}; pass them one by one.")
    pixels = pixels.float()
    return Photo(pixels if bands else pixels.expand(-1, 3, -1, -1).contiguous(), "tensor")


def _checked(tensor: Tensor, bands: int | None) -> Tensor:
    """The tensor as (B, 1 or 3, H, W) floats, or of so many bands, refused where it is no image."""
    shape = tuple(tensor.shape)
    if bands and tensor.ndim in (3, 4):
        require_bands("The tensor", tensor.shape[-3], bands)
    elif tensor.ndim not in (3, 4) or tensor.shape[-3] not in (1, 3):
        hint = " Channels come first in a tensor: use tensor.movedim(-1, -3)." if shape[-1:] in ((1,), (3,)) else ""
        raise ImageError(f"The tensor is {shape}, and an image is (C, H, W) or (B, C, H, W) with C 1 or 3.{hint}")
    if tensor.numel() == 0:
        raise ImageError(f"The tensor is empty: its shape is {shape}.")
    if not tensor.is_floating_point():
        hint = "; use tensor.float() / 255" if tensor.dtype == torch.uint8 else ""
        raise ImageError(f"The tensor holds {tensor.dtype}, and an image holds floats from 0 to 1{hint}.")
    if tensor.itemsize < 4:
        tensor = tensor.float()
    return _in_range(tensor if tensor.ndim == 4 else tensor[None], "The tensor")


def _planes(array: NDArray[Any], label: str, bands: int | None = None) -> Tensor:
    """(H, W) or (H, W, C) values as float32 (C, H, W) in [0, 1]."""
    if array.ndim == 2:
        array = array[:, :, None]
    if bands and array.ndim == 3:
        require_bands(label, array.shape[2], bands)
    elif array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " Channels come last in an array: use array.transpose(1, 2, 0)."
        shape = tuple(array.shape)
        raise ImageError(f"{label} is {shape}, and an image is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).{hint}")
    if array.size == 0:
        raise ImageError(f"{label} is empty: its shape is {tuple(array.shape)}.")
    full = {"|u1": 255, "|b1": 1, "<u2": 65535}.get(array.dtype.newbyteorder("<").str)
    if full is None and array.dtype.kind != "f":
        raise ImageError(
            f"{label} holds {array.dtype}, and an image holds uint8, uint16, bool, or floats from 0 to 1; convert it."
        )
    narrow = array if array.dtype == np.uint8 else array.astype(np.float32)  # 8 bits are widened last, to save memory
    planes = torch.tensor(np.ascontiguousarray(narrow.transpose(2, 0, 1))).float()
    return planes.div_(full) if full else _in_range(planes, label)


def _in_range(values: Tensor, label: str) -> Tensor:
    low, high = (float(bound) for bound in values.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(f"{label} holds NaN or infinite values.")
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return values
    hint = "take the image before normalisation" if low < -_ROUNDING else "clamp it to [0, 1]"
    if low >= 0 and 2 <= high <= 255:
        hint = "divide by 255"
    elif low >= 0 and 255 < high <= 65535 and bool((values == values.round()).all()):
        hint = "divide by 65535"
    elif low >= 0 and high > 2:
        hint = f"bring it to that range: (image - {low:g}) / {high - low:g}, or less of it where a few values stand out"
    raise ImageError(f"{label} holds values from {low:g} to {high:g}, and an image holds 0 to 1; {hint}.")


def _on_background(array: NDArray[Any], background: Color, label: str) -> Tensor:
    """(H, W) or (H, W, C) values, grey or colour with or without alpha, as (1, 3, H, W)."""
    planes = _planes(array, label)
    if len(planes) < 4:
        return planes.expand(1, 3, -1, -1).contiguous()
    colour, alpha = planes[:3], planes[3:]
    if not alpha.any():
        message = f"{label} is transparent everywhere; only the background is seen."
        warnings.warn(message, TriscopeWarning, stacklevel=2)
    ground = torch.tensor(background, dtype=torch.float32).view(3, 1, 1)
    return torch.lerp(ground, colour, alpha).clamp_(0, 1)[None]
