"""Join encoded still images to an animation: only the container around them is written here.

**Reference.** "WebP Container Specification" (Google), sections "Extended File Format" and "Animation"; "Graphics
Interchange Format, Version 89a" (CompuServe, 1990), sections 18 to 26, and Netscape's extension for loops.
"""

import struct
from collections.abc import Sequence


def join_webp(stills: Sequence[bytes], size: tuple[int, int], times: Sequence[int]) -> bytes:
    """Simple WebP files of one `size` (width, height) as an animation without end, each shown for some milliseconds."""
    width, height = (side - 1 for side in size)
    frames = [
        _chunk(b"ANMF", bytes(6) + _three(width) + _three(height) + _three(time) + b"\x02" + still[12:])
        for still, time in zip(stills, times, strict=True)  # 12 bytes are the file's own header
    ]
    header = _chunk(b"VP8X", b"\x02\0\0\0" + _three(width) + _three(height)) + _chunk(b"ANIM", b"\xff\xff\xff\xff\0\0")
    return _chunk(b"RIFF", b"WEBP" + header + b"".join(frames))


def join_gif(stills: Sequence[bytes], size: tuple[int, int], times: Sequence[int]) -> bytes:
    """GIF files of one image of one `size` (width, height) each, as an animation without end, each with its own
    colours and shown for some milliseconds.
    """
    parts = [b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0) + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"]
    for still, time in zip(stills, times, strict=True):
        colours, pixels = _taken_apart(still)
        table = 0x80 | (len(colours) // 3).bit_length() - 2
        parts.append(b"\x21\xf9\x04\x04" + struct.pack("<H", time // 10) + b"\0\0")
        parts.append(b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, table) + colours + pixels)
    return b"".join(parts) + b"\x3b"


def _taken_apart(still: bytes) -> tuple[bytes, bytes]:
    """The colours and the compressed pixels of a GIF of one image whose colours stand at its beginning."""
    place = 13 + 3 * 2 ** ((still[10] & 7) + 1)
    colours = still[13:place]
    while still[place] == 0x21:  # extensions: a label, then blocks that begin with their length, the last of them empty
        place += 2
        while still[place]:
            place += 1 + still[place]
        place += 1
    return colours, still[place + 10 : -1]


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of RIFF: its name, its length, its content, filled up to an even length."""
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
