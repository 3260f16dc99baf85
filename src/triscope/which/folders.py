"""The images of a folder and of all folders below it.

Taken are files whose ending names a kind of image, so that one that cannot be read is listed with the reason, and files
of any other ending, or none, whose first bytes are those of an image: browsers save `photo.jpg?w=200`. The others are
counted by their ending. Hidden files are ignored. Links to folders are not followed, so that there are no endless
loops.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from triscope.errors import ImageError
from triscope.images import open_regular, printable
from triscope.images.foreign import RAW_ENDINGS, reads_raw

# Kinds that cannot be read (SVG) are among them, so that they are listed with the reason and not passed over.
PICTURES = frozenset(
    f".{ending}"
    for ending in (
        *("avif", "bmp", "dib", "gif", "heic", "heif", "hif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "jxl"),
        *("pbm", "pgm", "png", "pnm", "ppm", "svg", "tga", "tif", "tiff", "webp"),
    )
)
_BRANDS = rb"avif|avis|heic|heix|heim|heis|hevc|hevx|mif1|msf1"
STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|BM............[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0|II\*\0|MM\0\*"
    rb"|\0\0\0\x0c(jP  |JXL )|\xff\x4f\xff\x51|....ftyp(" + _BRANDS + rb")",
    re.DOTALL,
)


def walk(folder: str, passed: Counter[str]) -> Iterator[str]:
    """The images in `folder` and below, sorted; `passed` counts the files that are none, by their ending."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(
                (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: os.fsencode(entry.name)
            )
    except OSError:
        yield folder  # listed, with the reason, when it is opened as an image
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            inside = walk(entry.path, passed)
            first = next(inside, None)
            if first is not None:
                yield first
                yield from inside
            elif _ending(entry.name) in PICTURES:  # an empty folder that is named like an image
                yield entry.path
        elif entry.is_symlink() and Path(entry.path).is_dir():
            continue
        elif _is_picture(entry):
            yield entry.path
        else:
            passed[printable(_ending(entry.name))] += 1


def _is_picture(entry: "os.DirEntry[str]") -> bool:
    ending = _ending(entry.name)
    if ending in RAW_ENDINGS:  # by their content many of them are TIFF files, with a small preview in front
        return reads_raw()
    if ending in PICTURES:
        return True
    if not entry.is_file():
        return False
    try:
        with open_regular(entry.path, ImageError) as file:
            return STARTS.match(file.read(32)) is not None
    except (ImageError, OSError):
        return False


def _ending(name: str) -> str:
    return Path(name).suffix.lower()
