"""Where a store is: a folder of its own, or `.triscope` in the folder whose images it holds."""

import os
from pathlib import Path

from triscope.errors import StoreError
from triscope.images import printable
from triscope.which.collection import Collection

#: The store's folder when nothing else is said, in the folder whose images it holds.
DEFAULT_NAME = ".triscope"


def rows_folder(folder: Path) -> Path:
    """Where a store's rows are."""
    return folder / "rows.lance"


def cache_folder(folder: Path) -> Path:
    """Where copies of a store's vectors lie that were made for searching; they may be deleted."""
    return folder / "cache"


def existing_store(path: str | os.PathLike[str]) -> Path:
    """The folder of the store at `path`, or in the folder of images there. Raises StoreError where there is none."""
    for folder in (Path(path), Path(path) / DEFAULT_NAME):
        if rows_folder(folder).is_dir():
            return folder
    raise StoreError(f"{printable(path)} holds no store; make one: triscope index DIR.")


def store_for(collection: object, path: str | os.PathLike[str] | None) -> Path:
    """The folder of a collection's store: `path`, or the default in the collection's folder. Raises StoreError without
    either.
    """
    if path is not None:
        return Path(path)
    root = collection.root if isinstance(collection, Collection) else collection
    if isinstance(root, str | os.PathLike) and Path(root).is_dir():
        return Path(root) / DEFAULT_NAME
    raise StoreError("Say where the store is to be: a collection that is no folder has no place of its own.")
