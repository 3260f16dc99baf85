"""Reserving the name of a file, so that of two processes that would make it the second is refused at once.

It is a lock on one byte, whose offset is a hash of the file's name, of one file in the temporary folder. The system
releases it when a process ends, however it ends, so that nothing is left to clean up. It holds between the processes of
one user on one machine; files of other users and machines are protected by `write_file(replace=False)`.
"""

import hashlib
import os
import tempfile
from pathlib import Path

_PLACES = 2**40
_open: list[int] = []  # the lock file: closing it would release all of a process's locks


def reserve(path: Path) -> bool:
    """Reserve `path` for as long as this process runs; returns False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        if not _open:
            folder = Path(tempfile.gettempdir())
            name = folder / f"triscope-{os.getuid()}.lock"
            _open.append(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError:  # no temporary folder, or somebody else's file: what is written is exclusive all the same
        return True
    digest = hashlib.sha256(os.fsencode(path.parent.resolve() / path.name)).digest()
    try:
        fcntl.lockf(_open[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int.from_bytes(digest[:8]) % _PLACES)
    except OSError:
        return False
    return True
