"""The files of a table, and which version of it is the newest."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from triscope.errors import TriscopeWarning
from triscope.images import printable
from triscope.which.database import checksums
from triscope.which.database.durable import damaged, writing
from triscope.which.database.location import is_remote
from triscope.which.places.remote import filesystem

_MANIFESTS = "_versions"
_PARTS = ("data", "_deletions", "_indices", "_transactions", _MANIFESTS)


def check_newest(folder: Path) -> None:
    """Raise DamagedStore where the newest manifest, by which Lance finds all else, is not as it was written.

    At an address objects are whole or not there, and the service looks after their checksums.
    """
    if is_remote(folder):
        return
    manifests = sorted((folder / _MANIFESTS).glob("*.manifest"))[:1]
    known = checksums.noted(folder.parent) if manifests else {}
    for newest in manifests:
        was = known.get(newest.relative_to(folder.parent).as_posix())
        if was is not None and was != checksums.digest(newest):
            raise damaged(folder, f"its file {printable(newest.name)} has changed")


def step_back(folder: Path) -> bool:
    """Put the newest manifest aside if it is empty and an older one is not. Returns whether a version can be opened."""
    if is_remote(folder):
        return False
    manifests = sorted((folder / _MANIFESTS).glob("*.manifest"))  # named by 2**64 - 1 - version: the newest comes first
    empty = [path for path in manifests[:1] if path.stat().st_size == 0]
    if not empty or len(manifests) < 2:
        return False
    with writing(folder):
        empty[0].rename(empty[0].with_suffix(".damaged"))
    warnings.warn(
        f"The newest version of {printable(folder)} was cut short, as by a power cut; the previous one is used. "
        "Index again to add what is missing.",
        TriscopeWarning,
        stacklevel=4,
    )
    return True


def remove(folder: Path) -> None:
    """Delete a table with all its files, if possible."""
    if not is_remote(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return
    files, path = filesystem(str(folder))
    files.rm(path, recursive=True)


def files_of(folder: Path) -> Iterator[Path]:
    """The files of a table of this machine, those that name others last."""
    if is_remote(folder):
        return
    for part in _PARTS:
        yield from sorted(path for path in (folder / part).rglob("*") if path.is_file())
