"""Expand the image arguments of a command: files, and all images of a folder, a pattern, a list or a store."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from triscope.cli.output import STREAM
from triscope.errors import OptionError, TriscopeError
from triscope.images import printable
from triscope.which.collection import Collection
from triscope.which.database.location import rows_folder
from triscope.which.spreadsheet import ENDINGS
from triscope.which.store import Store


def expanded(words: Sequence[str]) -> list[str]:
    """The files, in order; among several arguments, one without files is kept, to fail with its reason.

    Raises OptionError where it is the only one.
    """
    found: list[str] = []
    for word in words:
        try:
            found += _each(word)
        except TriscopeError:
            if len(words) == 1:
                raise
            found.append(word)
    return found


def _each(word: str) -> Iterator[str]:
    """The files of an argument. Raises OptionError, and StoreError, where there are none."""
    path = Path(word)
    if word == STREAM:
        yield word
    elif rows_folder(path).is_dir():
        store = Store.open(path)
        yield from map(str, store.files(store.table.rows_where("status = 'ok'")))
    elif path.is_dir() or word.lower().endswith(ENDINGS) or (glob.has_magic(word) and not os.path.lexists(word)):
        found = [os.path.relpath(entry.path) if not path.is_absolute() else entry.path for entry in Collection(word)]
        if not found:
            raise OptionError(f"{printable(word)} holds no images.")
        yield from found
    else:
        yield word
