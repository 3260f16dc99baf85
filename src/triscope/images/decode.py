"""Encoded files and PIL images as arrays: recognised by content, measured before decoding, upright, in sRGB.

A file that is cut short is refused, never filled up with grey.
"""

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms

from triscope.errors import ImageError, TriscopeWarning
from triscope.images.files import not_the_file, printable
from triscope.images.foreign import is_heic, is_raw, open_heic, open_raw

# Every format here is decoded inside this process by a library that ships with Pillow.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# What Pillow's decoders raise on damaged files, beside OSError (found by cutting and altering files of each format).
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def recognise(data: bytes, label: str, max_pixels: int) -> PIL.Image.Image:
    """The image in an encoded file: its format and size are known, its pixels not yet decoded. Raises ImageError."""
    if why := not_the_file(data[:4096]):
        raise ImageError(f"{label} {why}.")
    try:
        return _opened(data, label, max_pixels)
    except ImageError as problem:
        raise ImageError(f"{label} {problem}.") from problem
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as problem:
        most = min(max_pixels, 2 * (PIL.Image.MAX_IMAGE_PIXELS or max_pixels))  # Pillow's own limit holds too
        raise ImageError(f"{label} is too large: images of up to {most / 1e6:g} million pixels are read.") from problem
    except PIL.UnidentifiedImageError as problem:
        raise ImageError(f"{label} {_foreign(data)}.") from problem
    except BROKEN as problem:
        raise ImageError(f"{label} {_damage(problem)}.") from problem


def _opened(data: bytes, label: str, max_pixels: int) -> PIL.Image.Image:
    """The image by Pillow, or by the package that reads its kind."""
    if is_raw(data, label):
        return open_raw(data, max_pixels)
    try:
        return PIL.Image.open(io.BytesIO(data), formats=(*_FORMATS, *_by_name(data, label)))
    except (PIL.UnidentifiedImageError, ImportError) as problem:  # ultralytics puts one into Pillow that imports more
        if is_heic(data):
            return open_heic(data)
        raise PIL.UnidentifiedImageError(str(problem)) from problem


def _by_name(data: bytes, label: str) -> tuple[str, ...]:
    """TGA, the one format whose old files have no signature: they are recognised by their extension."""
    marked = data[-18:-2] == b"TRUEVISION-XFILE"
    return ("TGA",) if marked or label.lower().endswith((".tga", ".icb", ".vda", ".vst")) else ()


def to_array(image: PIL.Image.Image, label: str, max_pixels: int) -> NDArray[Any]:
    """The pixels, decoded, upright, in sRGB: (H, W, 3 or 4) of 8 bits, or grey (H, W) of 16 bits or floats.

    Raises ImageError; warns where the file holds further images, or a colour profile that cannot be used.
    """
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"{label} is too large: it has {image.width} x {image.height} pixels, and images of up to "
            f"{max_pixels / 1e6:g} million are read; make it smaller first."
        )
    try:
        # The further images of an MPO, which many phones write, are previews and depth maps of the first.
        several = image.tell() == 0 and image.format != "MPO" and getattr(image, "is_animated", False)
        image.load()
        array = _colours(upright(image), label)
    except BROKEN as problem:
        raise ImageError(f"{label} {_damage(problem)}.") from problem
    if several:
        warnings.warn(f"{label} holds several images; only the first is used.", TriscopeWarning, stacklevel=2)
    return array


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image rotated as its EXIF orientation says; metadata that cannot be read is ignored."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BROKEN:
        turn = None
    return image if turn is None else image.transpose(turn)


def _colours(image: PIL.Image.Image, label: str) -> NDArray[Any]:
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow reads 16-bit PGM as I
        deep = np.asarray(image)
        if deep.size and (deep.min() < 0 or deep.max() > 65535):
            raise ImageError(f"{label} holds values from {deep.min()} to {deep.max()}, and grey is read in 16 bits.")
        return deep.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if not image.has_transparency_data:  # an alpha channel, or a colour or palette entries declared transparent
        return np.asarray(_srgb(image.convert("L") if image.mode == "1" else image, label))
    whole = image.convert("RGBA")
    grey = image.mode in ("1", "L", "LA")
    colour = _srgb(whole.getchannel("R") if grey else whole.convert("RGB"), label)
    return np.dstack([np.asarray(colour), np.asarray(whole.getchannel("A"))])


def _srgb(image: PIL.Image.Image, label: str) -> PIL.Image.Image:
    """The image as sRGB: by its colour profile where it has one that works, else by Pillow's plain conversion."""
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            image = ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            message = f"{label} has a colour profile that cannot be used; its colours are read as they stand."
            warnings.warn(message, TriscopeWarning, stacklevel=2)
    return image if image.mode == "RGB" else image.convert("RGB")


def _damage(problem: Exception) -> str:
    text = printable(str(problem))
    if "truncated" in text.lower():
        return "is cut short: part of the image is missing; download or copy it again"
    if text.startswith("decoder ") and text.endswith(" not available"):
        return f"cannot be decoded: this Pillow was built without {text.split()[1]}; convert it to PNG or JPEG"
    return f"is damaged, or of a kind that is not supported ({text or type(problem).__name__})"


def _foreign(data: bytes) -> str:
    """What a file that no decoder recognises is, as far as its first bytes tell."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"avif", b"avis") and not PIL.features.check("avif"):
        return "is an AVIF image, and this Pillow was built without the AVIF codec; convert it to PNG or JPEG"
    kinds = {b"%PDF": "a PDF", b"%!PS": "PostScript", b"8BPS": "a Photoshop file", b"\xff\x0a": "a JPEG XL image"}
    kinds |= {b"\0\0\0\x0cJXL ": "a JPEG XL image", b"PK\3\4": "a zip archive", b"\x93NUMPY": "a NumPy array"}
    kind = next((kind for start, kind in kinds.items() if data.startswith(start)), "")
    text = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
        kind = "an SVG drawing"
    if kind:
        return f"is {kind}, which is not supported; convert it to PNG or JPEG"
    if data.startswith((b"II*\0", b"MM\0*")):
        return (
            "is a TIFF file, but not of a kind that is supported; read are grey, RGB, RGBA and CMYK of 8 bits, and "
            "grey of 16 bits or floats: save its channels so"
        )
    return "is not an image that can be read; known are JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 and PNM"
