"""Where a store is: a folder of its own, or `.triscope` in the folder whose images it holds; here, or at an address."""

import hashlib
import os
from pathlib import Path
from typing import TypeAlias, cast

from triscope.errors import StoreError
from triscope.images import printable
from triscope.which.collection import Collection
from triscope.which.places.remote import check_url, is_url

#: The store's folder when nothing else is said, in the folder whose images it holds.
DEFAULT_NAME = ".triscope"

_WRITTEN = ("s3", "gs", "az")


#: A folder, by its path or its address.
FolderName: TypeAlias = str | os.PathLike[str]


def folder_of(place: FolderName) -> Path:
    """The folder of this name: of this machine, or at an address that Lance writes to (s3://, gs://, az://).

    One at an address is used like a path. Raises StoreError where the package for that is missing, or the address holds
    credentials.
    """
    if not isinstance(place, str):
        return cast("Path", place) if is_remote(place) else Path(place)
    if place.startswith("file://"):
        return Path(place.removeprefix("file://"))
    if not is_url(place):
        return Path(place)
    check_url(place)
    if place.partition("://")[0] not in _WRITTEN:
        raise StoreError(
            f"A store lies in a folder, or at an address of {', '.join(_WRITTEN)}; not at {printable(place)}."
        )
    try:
        from upath import UPath
    except ImportError as error:
        raise StoreError("A store at an address needs more packages: pip install 'triscope[remote]'.") from error
    # Lance writes there too: what was listed a moment ago may not be all.
    return cast("Path", UPath(place.rstrip("/"), use_listings_cache=False))


def is_remote(folder: object) -> bool:
    """Whether a folder that `folder_of` gave is at an address."""
    return not hasattr(folder, "__fspath__")


def rows_folder(folder: Path) -> Path:
    """Where a store's rows are."""
    return folder / "rows.lance"


def cache_folder(folder: Path) -> Path:
    """Where copies of a store's vectors lie that were made for searching; they may be deleted.

    Of a store at an address that is a folder of the user's cache.
    """
    if not is_remote(folder):
        return folder / "cache"
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    return root / "triscope" / "stores" / hashlib.sha256(str(folder).encode()).hexdigest()[:16]


def existing_store(path: str | os.PathLike[str]) -> Path:
    """The folder of the store at `path`, or in the folder of images there. Raises StoreError where there is none."""
    place = folder_of(path)
    for folder in (place, place / DEFAULT_NAME):
        if rows_folder(folder).is_dir():
            return folder
    raise StoreError(f"{printable(path)} holds no store; make one: triscope index DIR.")


def store_for(collection: object, path: str | os.PathLike[str] | None) -> Path:
    """The folder of a collection's store: `path`, or the default in the collection's folder. Raises StoreError where
    there is neither.
    """
    if path is not None:
        return folder_of(path)
    root = collection.root if isinstance(collection, Collection) else collection
    if isinstance(root, str | os.PathLike) and Path(root).is_dir():
        return Path(root) / DEFAULT_NAME
    raise StoreError("Give the store's folder: a collection that is not a folder has no default place for one.")
