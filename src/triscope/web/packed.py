"""Numbers for the page without a detour: JSON, and behind it raw bytes, which the page reads as they are.

    length of the JSON (4 bytes, little-endian), the JSON, the parts one after the other; each begins at a multiple of 4

The JSON has `parts`, the length of each by its name. Between two programs on one machine this is quicker than a picture
that is encoded and decoded, and nothing is lost.
"""

import json
from collections.abc import Mapping
from typing import Any

KIND = "application/octet-stream"


def packed(told: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """What is told, and the bytes of each part."""
    head = json.dumps({**told, "parts": {name: len(data) for name, data in parts.items()}}).encode()
    pieces = [len(head).to_bytes(4, "little"), head]
    for data in parts.values():
        pieces += [b"\0" * (-sum(map(len, pieces)) % 4), data]
    return b"".join(pieces)


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What `packed` was given."""
    place = 4 + int.from_bytes(data[:4], "little")
    told = json.loads(data[4:place])
    parts = {}
    for name, length in told.pop("parts").items():
        place += -place % 4
        parts[name] = data[place : place + length]
        place += length
    return told, parts
