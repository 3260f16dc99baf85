"""The files that results are written to: looked at before the work begins, and written whole or not at all."""

import errno
import os
import secrets
import stat
import tempfile
from pathlib import Path

from triscope.errors import OptionError
from triscope.images import printable

#: What a file system answers that has no links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


def write_file(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write `data` to `path`, whole or not at all, and on the disk when this returns; missing folders are made.

    With `replace` false a file that is there already stays as it is, also where another program makes it at the very
    same moment. Raises OptionError for that, and where the folder does not take the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".triscope-{secrets.token_hex(8)}"
        # The system itself takes the umask off the mode; to read it would be to change it, for all threads.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(path)
            else:
                _create(path, temporary)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error


def require_place(path: Path) -> None:
    """Raise OptionError where nothing could be written to `path`: no such folder can be made, or it takes no files.

    Nothing is left behind, also by a process that is killed.
    """
    try:
        there = _mode(path)
        if there is not None and stat.S_ISDIR(there):
            raise OptionError(f"{printable(path)} is a folder; name a file in it.")
        if there is not None and not stat.S_ISREG(there):
            raise OptionError(f"{printable(path)} is a pipe or device, not a file; write to stdout (-) instead.")
        require_folder(path.parent)
    except OSError as error:
        raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"{printable(path)} is not a file name: it holds a zero byte.") from error


def require_folder(folder: Path) -> None:
    """Raise OptionError where `folder` takes no files, or is missing and cannot be made."""
    nearest = folder
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):  # on Linux a file without a name
            pass
    except OSError as error:
        raise OptionError(f"{printable(folder)} cannot be written to: {error.strerror}.") from error


def _mode(path: Path) -> int | None:
    """What kind of file is at `path`, behind links; None where there is none."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _create(path: Path, temporary: Path) -> None:
    """Give a finished file its name. Raises OptionError where that is taken."""
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(path)
    except FileExistsError as error:
        raise OptionError(f"Another program has made {printable(path)} meanwhile; it was not overwritten.") from error


def _sync_folder(folder: Path) -> None:
    """Which files a folder holds, on the disk for good."""
    if os.name == "posix":  # elsewhere folders cannot be opened, and need not be
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
