"""Pictures in, pictures out: files, encoded bytes, PIL images, arrays and tensors, all as one kind of tensor.

A picture is float32 `(B, 3, H, W)` (or `(B, 1, H, W)`) in [0, 1], whole and upright, in sRGB. What is accepted, what is
refused and how each kind of file is converted stands in docs/images.md. Three rules hold for all of it:

- the content decides, never the extension, and no decoder that starts another program (EPS) is ever asked;
- the size is known, and refused, before a pixel is decoded;
- half a picture is no picture: a file that is cut short is refused, never filled up with grey.
"""

import errno
import hashlib
import io
import math
import os
import stat
import struct
import unicodedata
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms
from torch import Tensor
from torch.nn.functional import interpolate

from triscope.errors import ImageError, TriscopeError, TriscopeWarning

ImageSource = str | os.PathLike[str] | bytes | PIL.Image.Image | NDArray[Any] | Tensor
Color = tuple[float, float, float]

WHITE: Color = (1.0, 1.0, 1.0)
MAX_PIXELS = 100_000_000  # 1.2 GB as float32
MAX_BYTES = 2**30  # of one picture file
_ROUNDING = 1e-4  # that far outside [0, 1], floats are taken as rounded rather than wrong

# Every format here is decoded inside this process by a library that ships with Pillow.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
# What Pillow's decoders raise on damaged files, beside OSError (found by cutting and altering files of each format).
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_CLOSED = {
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be read: permission denied",
    errno.EISDIR: "is a folder, and a file is wanted here",
    errno.ELOOP: "is a link that leads back to itself",
}
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture as it was read: upright, whole, `pixels` float32 (1, 3, H, W) in [0, 1].

    `name` is printable and stands in titles: the stem of the file, or "stdin", "image", "array", "tensor" where
    there is no file; `slug(name)` is safe as a part of a file name. `sha256` is that of the encoded file.
    """

    pixels: Tensor
    name: str
    path: Path | None = None
    sha256: str | None = None


def open_photo(source: ImageSource, *, background: Color = WHITE, max_pixels: int = MAX_PIXELS) -> Photo:
    """The whole upright picture of a path, the bytes of an encoded file, a PIL image, an array or a tensor.

    Transparent parts show `background`, (red, green, blue) in [0, 1]. A file of more than `max_pixels` is refused
    before it is decoded. An array is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16, bool, or floats in
    [0, 1]; a tensor is one picture as for `read_image`. Raises ImageError; warns where a file holds more than is used.
    """
    if [0 <= part <= 1 for part in background] != [True] * 3:
        raise ImageError(f"A background is (red, green, blue), each from 0 to 1, not {background!r}.")
    match source:
        case Tensor():
            return _from_tensor(source)
        case np.ndarray():
            return Photo(_flat(_planes(source, "The array"), background, "The array"), "array")
        case PIL.Image.Image():
            path = os.fsdecode(getattr(source, "filename", ""))
            pixels = _pixels(source, background, max_pixels, printable(path) or "The image")
            return Photo(pixels, printable(Path(path).stem) or "image")
        case bytes():
            pixels = _pixels(_decode(source, "stdin", max_pixels), background, max_pixels, "stdin")
            return Photo(pixels, "stdin", sha256=hashlib.sha256(source).hexdigest())
        case str() | os.PathLike():
            return _from_file(os.fsdecode(source), background, max_pixels)
    raise ImageError(
        f"A picture is a path, the bytes of a file, a PIL image, an array or a tensor, not {type(source).__name__}."
    )


def read_image(source: ImageSource, *, background: Color = WHITE, max_pixels: int = MAX_PIXELS) -> Tensor:
    """The picture as a tensor (1, 3, H, W), float32 in [0, 1]: `open_photo(...).pixels`.

    A tensor is taken as it is: (C, H, W) or (B, C, H, W) with C 1 or 3, floats in [0, 1]; it comes back as
    (B, C, H, W) on its own device, half precision as float32, float64 kept. Raises ImageError.
    """
    if isinstance(source, Tensor):
        return _checked(source)
    return open_photo(source, background=background, max_pixels=max_pixels).pixels


def to_pil(pixels: Tensor) -> PIL.Image.Image:
    """An 8-bit RGB or grey (L) picture of (C, H, W) or (1, C, H, W) values; those outside [0, 1] are clamped.

    Carries no metadata. Raises ImageError for other shapes and for NaN.
    """
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or len(pixels) not in (1, 3) or pixels.numel() == 0:
        raise ImageError(f"A picture is (1 or 3, rows, columns), and this tensor is {tuple(pixels.shape)}.")
    if pixels.isnan().any():
        raise ImageError("The picture holds NaN and cannot be drawn.")
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


def slug(name: str, limit: int = 100) -> str:
    """`name` as one part of a file name: letters, digits and "_" of any script, all else "-", at most `limit` bytes.

    Never empty, never begins with "-" or ".", holds no dot or slash, so parts joined by dots stay apart and inside
    their folder. A name that is cut ends in a digest of the whole, so that two long names stay two.
    """
    known = [c if c == "_" or unicodedata.category(c)[0] in "LMN" else "-" for c in unicodedata.normalize("NFC", name)]
    text = "-".join(part for part in "".join(known).split("-") if part) or "unnamed"
    if len(text.encode()) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text.encode()[: limit - len(digest) - 1].decode(errors="ignore").rstrip("-") + "-" + digest


def printable(path: str | os.PathLike[str]) -> str:
    """The path on one line that any terminal and log can take: control characters and stray bytes as escapes."""
    return "".join(c if c.isprintable() else _escape(c) for c in os.fsdecode(path))


def open_regular(path: str | os.PathLike[str], error: type[TriscopeError]) -> io.BufferedReader:
    """The regular file at `path`, open for reading; raises `error` with one sentence for anything else.

    A pipe is opened without waiting for a writer, and refused: nothing here can hang.
    """
    label = printable(path) or repr("")
    try:
        file = open(  # noqa: SIM115 - the caller closes it
            path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        )
    except OSError as problem:
        if Path(path).is_symlink() and problem.errno == errno.ENOENT:
            raise error(f"{label} is a link to a file that does not exist.") from problem
        raise error(f"{label} {_CLOSED.get(problem.errno or 0, f'cannot be opened: {problem.strerror}')}.") from problem
    except ValueError as problem:
        raise error(f"{label} is no file name: it holds a zero byte.") from problem
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{label} is not a regular file but a pipe or device; copy its content into a file first.")
    return file


def not_the_file(start: bytes) -> str:
    """Why a file that begins so was not fetched properly (empty, a web page, a Git LFS pointer), or ""."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "is empty; download or copy it again"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "is a web page (HTML), probably an error page or a login; download the file itself"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the file itself; fetch it with: git lfs pull"
    return ""


def _from_file(path: str, background: Color, max_pixels: int) -> Photo:
    if path.startswith(("http://", "https://")):
        raise ImageError(f"{printable(path)} is an address, and a file is wanted here; download it first.")
    label = printable(path)
    with open_regular(path, ImageError) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise ImageError(f"{label} is larger than {MAX_BYTES >> 20} MB and is not read.")
        try:
            data = file.read()
        except OSError as problem:
            raise ImageError(f"{label} cannot be read: {problem.strerror}.") from problem
    pixels = _pixels(_decode(data, label, max_pixels), background, max_pixels, label)
    return Photo(pixels, printable(Path(path).stem), Path(path), hashlib.sha256(data).hexdigest())


def _decode(data: bytes, label: str, max_pixels: int) -> PIL.Image.Image:
    """The picture in an encoded file: recognised and measured, not yet decoded."""
    if why := not_the_file(data[:4096]):
        raise ImageError(f"{label} {why}.")
    try:
        image = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as problem:
        raise ImageError(
            f"{label} is too large: triscope reads up to {max_pixels / 1e6:g} million pixels."
        ) from problem
    except PIL.UnidentifiedImageError as problem:
        raise ImageError(f"{label} {_foreign(data)}.") from problem
    except _BROKEN as problem:
        raise ImageError(f"{label} is damaged and cannot be decoded ({problem}).") from problem
    return image


def _foreign(data: bytes) -> str:
    """What a file that no decoder recognises is, as far as its first bytes tell."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    if brand in (b"avif", b"avis"):
        return "is an AVIF picture, and this Pillow was built without the AVIF codec; convert it to PNG or JPEG"
    if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        return "is a HEIC picture, which is not supported; convert it to JPEG or PNG"
    kinds = {b"%PDF": "a PDF", b"%!PS": "PostScript", b"8BPS": "a Photoshop file", b"\xff\x0a": "a JPEG XL picture"}
    kinds |= {b"\0\0\0\x0cJXL ": "a JPEG XL picture", b"PK\3\4": "a zip archive", b"\x93NUMPY": "a NumPy array"}
    kind = next((kind for start, kind in kinds.items() if data.startswith(start)), "")
    text = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
        kind = "an SVG drawing"
    if kind:
        return f"is {kind}, which is not supported; convert it to PNG or JPEG"
    return "is not an image that can be read; known are JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 and PNM"


def _pixels(image: PIL.Image.Image, background: Color, max_pixels: int, label: str) -> Tensor:
    """Decoded, turned upright, in sRGB, on the background: (1, 3, H, W)."""
    if image.width * image.height > max_pixels:
        raise ImageError(
            f"{label} is too large: {image.width} x {image.height} pixels, and triscope reads up to "
            f"{max_pixels / 1e6:g} million; make it smaller first."
        )
    try:
        several = image.tell() == 0 and getattr(image, "is_animated", False) and image.format != "MPO"
        image.load()
        array = _array(_upright(image), label)
    except _BROKEN as problem:
        raise ImageError(f"{label} {_damage(problem)}.") from problem
    if several:
        # (The further pictures of an MPO, which many phones write, are previews and depth maps of the first.)
        _warn(f"{label} holds several pictures; only the first is used.")
    return _flat(_planes(array, label), background, label)


def _damage(problem: Exception) -> str:
    text = str(problem)
    if "truncated" in text:
        return "is cut short: part of the picture is missing; download or copy it again"
    if text.startswith("decoder ") and text.endswith(" not available"):
        return f"cannot be decoded: this Pillow was built without {text.split()[1]}; convert it to PNG or JPEG"
    return f"is damaged, or of a kind that is not supported ({text or type(problem).__name__})"


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image turned as its metadata asks; metadata that cannot be read asks for nothing."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:
        turn = None
    return image if turn is None else image.transpose(turn)


def _array(image: PIL.Image.Image, label: str) -> NDArray[Any]:
    """Decoded pixels, rows first: 8 bits of RGB or RGBA, or grey in 16 bits or floats."""
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
            _warn(f"{label} has a colour profile that cannot be used; its colours are read as they stand.")
    return image.convert("RGB")


def _planes(array: NDArray[Any], label: str) -> Tensor:
    """(H, W) or (H, W, C) values as float32 (C, H, W) in [0, 1]."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        hint = ""
        if array.ndim == 3 and array.shape[0] in (1, 3, 4):
            hint = " Channels come last in an array: use array.transpose(1, 2, 0)."
        shape = tuple(array.shape)
        raise ImageError(f"{label} is {shape}, and a picture is (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).{hint}")
    if array.size == 0:
        raise ImageError(f"{label} is empty: its shape is {tuple(array.shape)}.")
    full = {"|u1": 255, "|b1": 1, "<u2": 65535}.get(array.dtype.newbyteorder("<").str)
    if full is None and array.dtype.kind != "f":
        raise ImageError(
            f"{label} holds {array.dtype}, and a picture holds uint8, uint16, bool, or floats from 0 to 1; convert it."
        )
    narrow = array if array.dtype == np.uint8 else array.astype(np.float32)  # 8 bits are widened last, to save memory
    planes = torch.tensor(narrow).permute(2, 0, 1).contiguous().float()
    return planes.div_(full) if full else _in_range(planes, label)


def _flat(planes: Tensor, background: Color, label: str) -> Tensor:
    """Grey, RGB or RGBA (1, 3 or 4, H, W) as (1, 3, H, W) on the background."""
    if len(planes) < 4:
        return planes.expand(1, 3, -1, -1).contiguous()
    colour, alpha = planes[:3], planes[3:]
    if not alpha.any():
        _warn(f"{label} is transparent everywhere; only the background is seen.")
    ground = torch.tensor(background).view(3, 1, 1)
    return torch.lerp(ground, colour, alpha).clamp_(0, 1)[None]


def _from_tensor(tensor: Tensor) -> Photo:
    pixels = _checked(tensor)
    if len(pixels) != 1:
        raise ImageError(f"One picture is wanted here, and the tensor holds {len(pixels)}; pass them one by one.")
    return Photo(pixels.float().expand(-1, 3, -1, -1).contiguous(), "tensor")


def _checked(tensor: Tensor) -> Tensor:
    """The tensor as (B, 1 or 3, H, W) floats, refused where it is no picture."""
    shape = tuple(tensor.shape)
    if tensor.ndim not in (3, 4) or tensor.shape[-3] not in (1, 3):
        hint = " Channels come first in a tensor: use tensor.movedim(-1, -3)." if shape[-1:] in ((1,), (3,)) else ""
        raise ImageError(f"The tensor is {shape}, and a picture is (C, H, W) or (B, C, H, W) with C 1 or 3.{hint}")
    if tensor.numel() == 0:
        raise ImageError(f"The tensor is empty: its shape is {shape}.")
    if not tensor.is_floating_point():
        hint = "; use tensor.float() / 255" if tensor.dtype == torch.uint8 else ""
        raise ImageError(f"The tensor holds {tensor.dtype}, and a picture holds floats from 0 to 1{hint}.")
    if tensor.itemsize < 4:
        tensor = tensor.float()
    return _in_range(tensor if tensor.ndim == 4 else tensor[None], "The tensor")


def _in_range(values: Tensor, label: str) -> Tensor:
    low, high = (float(bound) for bound in values.detach().aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(f"{label} holds NaN or infinite values.")
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return values
    hint = "take the image before normalisation" if low < -_ROUNDING else "clamp it to [0, 1]"
    if low >= 0 and 2 <= high <= 255:
        hint = "divide by 255"
    elif low >= 0 and high > 255:
        hint = "divide by 65535"
    raise ImageError(f"{label} holds values from {low:g} to {high:g}, and a picture holds 0 to 1; {hint}.")


def _escape(character: str) -> str:
    code = ord(character)
    # A byte of a file name that is not UTF-8 reaches Python as a surrogate.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def _warn(message: str) -> None:
    warnings.warn(message, TriscopeWarning, stacklevel=2)
