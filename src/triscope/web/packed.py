"""Numbers for the page without encoding: JSON, followed by raw bytes.

    length of the JSON (4 bytes, little-endian), the JSON, the parts one after the other; each begins at a multiple of 4

The JSON has `parts`, the length of each by its name. On one machine this is faster than encoding and decoding an image,
and lossless.
"""

import json
from collections.abc import Mapping
from typing import Any

KIND = "application/octet-stream"


def packed(told: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """JSON and the bytes of each part, in one block."""
    head = json.dumps({**told, "parts": {name: len(data) for name, data in parts.items()}}).encode()
    pieces = [len(head).to_bytes(4, "little"), head]
    for data in parts.values():
        pieces += [b"\0" * (-sum(map(len, pieces)) % 4), data]
    return b"".join(pieces)


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The inverse of `packed`."""
    place = 4 + int.from_bytes(data[:4], "little")
    told = json.loads(data[4:place])
    parts = {}
    for name, length in told.pop("parts").items():
        place += -place % 4
        parts[name] = data[place : place + length]
        place += length
    return told, parts
