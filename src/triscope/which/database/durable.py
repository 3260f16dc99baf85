"""Durable writes: one writer at a time, atomic and synced files, and a clear error where the disk is full."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from triscope.errors import DamagedStore, StoreError
from triscope.images import printable
from triscope.which.database.lease import leased
from triscope.which.database.location import is_remote


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time, over all processes. Raises StoreError where the folder cannot be written to."""
    if is_remote(folder):
        with leased(folder):
            yield
        return
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise_interruption(error)
        raise StoreError(
            f"{printable(folder)} cannot be written: {reason_of(error)}. What was stored before is still there."
        ) from error


def write_durably(path: Path, data: bytes) -> None:
    """A file, whole or not at all, on disk when this returns; an object at an address is so by itself."""
    if is_remote(path):
        with writing(path.parent):
            path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def read_ahead(path: Path) -> None:
    """Let the system begin to read a file into memory that is free, so that later reads here and there are quick."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def sync_path(path: Path) -> None:
    """Sync a file to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Sync a folder's entries to disk."""
    if os.name == "posix":  # elsewhere folders cannot be opened, and need not be
        sync_path(path)


def damaged(folder: Path, what: str) -> DamagedStore:
    """The error for a store whose files have changed; `folder` is the store's, or that of one of its tables.

    The message says what to do: a store can always be made again from the images.
    """
    store = printable(folder.parent if folder.suffix == ".lance" else folder)
    return DamagedStore(
        f"{store} is damaged: {what}. `triscope check {store}` says which of its files have changed; if there is no "
        "copy of them, delete that folder and index again."
    )


def raise_interruption(error: BaseException) -> None:
    """Raise KeyboardInterrupt where Lance has wrapped one, from a function that it called, in an error."""
    if "KeyboardInterrupt" in str(error):
        raise KeyboardInterrupt from error


def reason_of(error: BaseException) -> str:
    """The reason in an error of the system or of Lance, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    for known in (
        "No space left on device",
        "Permission denied",
        "Read-only file system",
        "File too large",
        "Disk quota exceeded",
    ):
        if known.lower() in text.lower():
            return known
    return text.split(", /")[0].rstrip(".")
