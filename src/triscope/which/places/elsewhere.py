"""The kinds of collection that are neither a folder, a pattern, a list nor a CSV file."""

from pathlib import Path
from typing import TypeAlias

from triscope.which.places import tables
from triscope.which.places.remote import RemoteFolder, check_url, is_url
from triscope.which.places.shards import Shards
from triscope.which.places.tables import Tables

Elsewhere: TypeAlias = RemoteFolder | Shards | Tables

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def elsewhere(source: str) -> Elsewhere | None:
    """The images of tar shards, of a table, or at an address; None where it is none of these. Raises StoreError."""
    if is_url(source):
        check_url(source)
    elif Path(source).is_dir():
        return Tables(source) if tables.is_saved(Path(source)) else None
    if source.lower().endswith(_TARS):
        return Shards(source)
    if source.lower().endswith(tables.ENDINGS):
        return Tables(source)
    return RemoteFolder(source) if is_url(source) else None
