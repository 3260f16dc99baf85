"""Verify a store on disk: its files against their checksums, and that all of its rows can be read."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from triscope.errors import StoreError
from triscope.which.database import checksums
from triscope.which.database.about import About
from triscope.which.database.files import files_of
from triscope.which.database.location import existing_store, is_remote, rows_folder
from triscope.which.database.stored_projections import load_projection, projected_name
from triscope.which.database.table import Table
from triscope.which.store import GOOD

_AT_ONCE = 256  # rows that are read together


@dataclass(frozen=True)
class Checked:
    """What was found in a store: the images, the files that are as they were written, those that have no checksum, and
    damaged ones, each with the reason.
    """

    folder: Path
    pictures: int
    same: tuple[str, ...]
    unknown: tuple[str, ...]
    wrong: dict[str, str]


def check(path: str | os.PathLike[str]) -> Checked:
    """Compare every file of a store with its checksum, and read every row. Raises StoreError where there is no store.

    Files of older versions, which nothing reads any more, may be gone.
    """
    folder = existing_store(path)
    known = checksums.noted(folder)
    there = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    same = [name for name, file in there.items() if known.get(name) == checksums.digest(file)]
    wrong = {name: "has changed" for name in there if name in known and name not in same}
    pictures = 0
    try:
        table = Table.open(rows_folder(folder))
        about = About.of(table, whole=True)
        wrong |= {name: "is missing" for name in _needed(folder, table) if name not in there}
        for column in about.columns:
            if projected_name(column) in table.names:
                load_projection(folder, table.about_field(projected_name(column)))
        pictures = table.count(GOOD)
        for _ in table.stream(table.names, batch=_AT_ONCE):
            pass
    except StoreError as error:
        if not wrong:
            wrong[folder.name] = str(error)
    unknown = tuple(name for name in there if name not in known)
    return Checked(folder, pictures, tuple(same), unknown, wrong)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a store's tables that are written once."""
    for table in sorted(folder.glob("*.lance")):
        yield from (file for file in files_of(table) if file.suffix != ".json")


def _needed(folder: Path, table: Table) -> list[str]:
    """The files that the newest version is made of; at an address, reading the rows tells what is missing."""
    if is_remote(folder):
        return []
    return [file.relative_to(folder).as_posix() for file in table.needed()]
