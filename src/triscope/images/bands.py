"""Images of other than one or three channels, read unchanged: bands of satellites and microscopes, depth.

Pillow reads two bands and four, and files of as many grey pages as there are bands. Other TIFF files are read by
tifffile, where that is installed.
"""

import io
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from triscope.errors import ImageError
from triscope.images.decode import BROKEN, recognise, upright

_AS_THEY_ARE = ("LA", "RGBA", "RGBX")  # modes whose channels are what the file holds
_GREY = ("L", "I;16", "I;16B", "F")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SAMPLES, _EXTRA = 277, 338  # tags of a TIFF file: how many channels, and what those after the colours are
_MULTIPLIED = 1  # a fourth channel by which the colours were multiplied


def read_bands(data: bytes, bands: int, label: str, max_pixels: int) -> NDArray[Any]:
    """The `bands` channels of an encoded file, (H, W, bands). Raises ImageError where it has not just so many."""
    try:
        image = recognise(data, label, max_pixels)
    except ImageError:
        if data[:4] not in _TIFF:
            raise
        return _by_tifffile(data, bands, label, max_pixels)
    held = getattr(image, "tag_v2", {}).get(_SAMPLES, 1)
    if held == bands and not _as_they_are(image):  # of more than four, Pillow shows the first three
        return _by_tifffile(data, bands, label, max_pixels)
    return bands_of(image, bands, label, max_pixels)


def bands_of(image: PIL.Image.Image, bands: int, label: str, max_pixels: int) -> NDArray[Any]:
    """The channels of a Pillow image, or its pages where each is one."""
    pages = getattr(image, "n_frames", 1)
    if image.width * image.height * bands > 3 * max_pixels:
        raise ImageError(f"{label} is too large: {image.width} x {image.height} pixels of {bands} bands.")
    try:
        if pages == bands and image.mode in _GREY:
            return np.dstack([_page(image, page) for page in range(pages)])
        if _as_they_are(image):
            image.load()
            require_bands(label, len(image.getbands()), bands)
            return np.asarray(upright(image))
    except BROKEN as problem:
        raise ImageError(f"{label} is damaged, or of a kind that is not supported ({problem}).") from problem
    require_bands(label, pages if pages > 1 else len(image.getbands()), bands)
    raise ImageError(f"{label} has {bands} channels, but as {image.mode}, which are not bands: save them as TIFF.")


def require_bands(label: str, found: int, bands: int) -> None:
    """Raise ImageError where an image has not as many channels as the network reads."""
    if found != bands:
        raise ImageError(
            f"{label} has {found} channel{'s' * (found != 1)}, and the network reads {bands}: give an array (H, W, "
            f"{bands}), a tensor ({bands}, H, W), or a TIFF file of {bands} bands."
        )


def _as_they_are(image: PIL.Image.Image) -> bool:
    """Whether the channels are those in the file, not divided by a fourth (premultiplied alpha)."""
    more = getattr(image, "tag_v2", {}).get(_EXTRA, ())
    return image.mode in _AS_THEY_ARE and _MULTIPLIED not in more


def _page(image: PIL.Image.Image, page: int) -> NDArray[Any]:
    image.seek(page)
    return np.asarray(image)


def _by_tifffile(data: bytes, bands: int, label: str, max_pixels: int) -> NDArray[Any]:
    """The first page of a TIFF file that Pillow does not read, or its pages where each is a band."""
    try:
        import tifffile
    except ImportError as error:
        raise ImageError(
            f"{label} is a TIFF file of bands that Pillow does not read: pip install tifffile, or give the numbers as "
            f"an array (H, W, {bands})."
        ) from error
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            series = file.series[0]
            shape, axes = series.shape, series.axes
            place = next((axis for axis, count in enumerate(shape) if axes[axis] not in "YX" and count == bands), None)
            if len(shape) != 3 or place is None:
                others = [count for axis, count in enumerate(shape) if axes[axis] not in "YX"]
                require_bands(label, others[0] if others else 1, bands)
                raise ImageError(f"{label} is of the shape {shape}, which is no image of {bands} bands.")
            if int(np.prod(shape)) > 3 * max_pixels:
                raise ImageError(f"{label} is too large: {' x '.join(map(str, shape))} numbers.")
            return np.moveaxis(series.asarray(), place, -1)
    except (*BROKEN, tifffile.TiffFileError) as problem:
        raise ImageError(f"{label} is a TIFF file that tifffile does not read ({problem}).") from problem
