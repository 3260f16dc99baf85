"""Checksums of the files of a store, recorded as they are written, to detect damage.

    folder/checksums.sha256     a line for each file, as `sha256sum -c` reads it

A file of a table is written once and never changed. Files of older versions go when a store is tidied; their lines go
with them. Checksums find bits that a disk or a copy has changed; they are no signature, and anybody can make new ones.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from triscope.which.database.durable import write_durably

FILE = "checksums.sha256"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def note(store: Path, files: Iterable[Path]) -> None:
    """Note the checksums of files that were just written, in the store's folder or below it."""
    lines = [f"{digest(path)}  {path.relative_to(store).as_posix()}\n" for path in files if path.suffix != ".json"]
    if not lines:
        return
    with (store / FILE).open("a", encoding="utf-8") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())


def noted(store: Path) -> dict[str, str]:
    """The checksums that are noted, by the files' ways from the store's folder. An incomplete line is ignored."""
    try:
        text = (store / FILE).read_text("utf-8", errors="replace")
    except OSError:
        return {}
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[2]: match[1] for match in found if match}


def tidy(store: Path) -> None:
    """Drop the lines of files that are gone."""
    known = noted(store)
    kept = {name: line for name, line in known.items() if (store / name).is_file()}
    if len(kept) < len(known):
        write_durably(store / FILE, "".join(f"{line}  {name}\n" for name, line in kept.items()).encode())


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
