"""One writer at a time in a folder at an address, where no system lets go of a lock when a process dies.

The lock is an object that is written only where there is none; its holder rewrites it every few seconds. One that has
not changed for a minute was left by a killed process, and is deleted.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from triscope.errors import StoreError
from triscope.which.places.remote import asked, filesystem

_RENEWED = 10.0  # seconds between two renewals
_STALE = 60.0  # seconds without a renewal after which it has expired
_ASKED = 0.5  # seconds between two tries


@contextmanager
def leased(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder at an address. Raises StoreError where it cannot be written."""
    with asked(str(folder), StoreError):
        files, path = filesystem(f"{folder}/lock")
        _acquire(files, path)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(files, path, done), daemon=True, name="triscope-lease")
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with asked(str(folder), StoreError):
            files.rm_file(path)


def _acquire(files: Any, path: str) -> None:
    seen, since = b"", time.monotonic()
    while True:
        try:
            files.pipe_file(path, uuid.uuid4().bytes, mode="create")
        except FileExistsError:
            now = _content(files, path)
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > _STALE:
                files.rm_file(path)
            time.sleep(_ASKED)
        else:
            return


def _content(files: Any, path: str) -> bytes:
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return b""


def _renew(files: Any, path: str, done: threading.Event) -> None:
    while not done.wait(_RENEWED):
        try:
            files.pipe_file(path, uuid.uuid4().bytes)
        except OSError:  # the next renewal may succeed
            continue
