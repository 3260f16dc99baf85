"""Images that other packages read where they are installed: HEIC by pillow-heif, raw photos of cameras by rawpy.

Neither package is registered with Pillow, so what a program that uses triscope can open does not change.
"""

import importlib.util
import io
import struct
from pathlib import PurePath

import PIL.Image

from triscope.errors import ImageError

RAW_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "kdc", "mef", "mos"),
        *("mrw", "nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"II\x1a\0\0\0HEAPCCDR")
_SUBFILE, _DNG_VERSION = 254, 50706  # tags of a TIFF file
_REDUCED = 1  # the bit of the former for "reduced-resolution version of another image"


def reads_raw() -> bool:
    """Whether raw photos can be read."""
    return importlib.util.find_spec("rawpy") is not None


def is_heic(data: bytes) -> bool:
    """Whether a file with this beginning is a HEIC image."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC


def is_raw(data: bytes, label: str) -> bool:
    """Whether a file is the raw photo of a camera.

    Most raw files are TIFF files whose first image is a small preview, and Pillow shows that one.
    """
    if data.startswith(_RAW_STARTS) or data[4:12] == b"ftypcrx " or (data[:2] == b"II" and data[8:10] == b"CR"):
        return True
    tags = _tags(data)
    named = bool(tags) and PurePath(label).suffix.lower() in RAW_ENDINGS
    return named or _DNG_VERSION in tags or bool(tags.get(_SUBFILE, 0) & _REDUCED)


def _tags(data: bytes) -> dict[int, int]:
    """The tags of the first image of a TIFF file, and the number that each holds, if it is a single one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    try:
        if order is None:
            return {}
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        found = (struct.unpack_from(f"{order}HHII", data, start + 2 + 12 * place) for place in range(count))
        return {tag: value for tag, _, _, value in found}
    except struct.error:
        return {}


def open_heic(data: bytes) -> PIL.Image.Image:
    """A HEIC image, not yet decoded. Raises ImageError with the end of a sentence where that is not possible."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "is a HEIC image, which needs pillow-heif: pip install 'triscope[heic]'; or convert it to JPEG or PNG"
        ) from error
    try:
        image: PIL.Image.Image = HeifImageFile(io.BytesIO(data))
    except (OSError, SyntaxError, ValueError, RuntimeError, EOFError, LookupError, MemoryError) as error:
        raise ImageError("is a HEIC image that cannot be read; it is damaged, or of a rare kind") from error
    return image


def open_raw(data: bytes, max_pixels: int) -> PIL.Image.Image:
    """A raw photo as its camera saw the colours, upright, in sRGB. Raises ImageError with the end of a sentence."""
    try:
        import rawpy
    except ImportError as error:
        raise ImageError(
            "is a camera's raw photo, which needs rawpy: pip install 'triscope[raw]'; or convert it to JPEG or PNG"
        ) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            if raw.sizes.width * raw.sizes.height > max_pixels:
                raise ImageError(f"is too large: images of up to {max_pixels / 1e6:g} million pixels are read")
            return PIL.Image.fromarray(raw.postprocess(use_camera_wb=True))
    except (rawpy.LibRawError, ValueError, RuntimeError, MemoryError) as error:
        raise ImageError("is a camera's raw photo that cannot be read; convert it to JPEG or PNG") from error
