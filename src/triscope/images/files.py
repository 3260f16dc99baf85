"""Open regular files only, and make names safe for terminals, titles and folders.

Nothing here knows what is in a file, beyond telling a file from what stands in its place when a download failed.
"""

import errno
import hashlib
import io
import os
import stat
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

from triscope.errors import TriscopeError

_CLOSED = {
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be read: permission denied",
    errno.EISDIR: "is a folder, and a file is needed here",
    errno.ELOOP: "is a link that leads back to itself",
}


def open_regular(path: str | os.PathLike[str], error: type[TriscopeError]) -> io.BufferedReader:
    """The regular file at `path`, open for reading; raises `error` with one sentence for anything else.

    A pipe is opened without waiting for a writer, and refused: nothing here can hang.
    """
    label = printable(path) or repr("")
    try:
        file = open(  # noqa: SIM115 - the caller closes it
            path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))
        )
    except OSError as problem:
        if Path(path).is_symlink() and problem.errno == errno.ENOENT:
            raise error(f"{label} is a link to a file that does not exist.") from problem
        raise error(f"{label} {_CLOSED.get(problem.errno or 0, f'cannot be opened: {problem.strerror}')}.") from problem
    except ValueError as problem:
        raise error(f"{label} is not a file name: it holds a zero byte.") from problem
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{label} is not a regular file but a pipe or device; copy its content into a file first.")
    return file


def not_the_file(start: bytes) -> str:
    """Why a file with this beginning is a failed download (empty, a web page, a Git LFS pointer), or ""."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "is empty; download or copy it again"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "is a web page (HTML), probably an error page or a login; download the file itself"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "is a Git LFS pointer, not the file itself; fetch it with: git lfs pull"
    return ""


def printable(path: str | os.PathLike[str]) -> str:
    """The path on one line that any terminal and log can take: control characters and stray bytes as escapes.

    A path at an address is no path of this system, and is told by its text.
    """
    text = os.fsdecode(path) if isinstance(path, str) or hasattr(path, "__fspath__") else str(path)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def bare_name(path: str | os.PathLike[str]) -> str:
    """The last part of a path as any system writes it."""
    return PureWindowsPath(PurePosixPath(os.fsdecode(path)).name).name


def public_path(path: str | os.PathLike[str]) -> str:
    """What a file that is passed on may tell of where another one is: its way from the current folder if it lies below
    that, with `/` between the parts, and else its name alone. Never a way through somebody's home folder.
    """
    try:
        here = Path.cwd()
        way = Path(os.fsdecode(path)).absolute().relative_to(here)
    except (OSError, ValueError):  # there is no current folder, or the file does not lie below it
        return Path(os.fsdecode(path)).name
    home = Path("~").expanduser()
    if ".." in way.parts or (home != here and home.is_relative_to(here)):
        return way.name
    return way.as_posix()


def public_store(path: Path) -> str:
    """The same of a store's folder; where it is outside, and stands in the folder of its images, by both names.

    Of one at an address, its name alone.
    """
    if not hasattr(path, "__fspath__"):
        return str(path).rstrip("/").rpartition("/")[2]
    told, folder = public_path(path), path.absolute().parent.name
    return f"{folder}/{told}" if told == path.name and told.startswith(".") and folder else told


def slug(name: str, limit: int = 100) -> str:
    """`name` as one part of a file name: letters, digits and "_" of any script, all else "-", at most `limit` bytes.

    Never empty, never begins with "-" or ".", holds no dot or slash, so parts joined by dots stay apart and inside
    their folder. A name that is cut ends in a digest of the whole, so that two long names stay two.
    """
    known = [c if c == "_" or unicodedata.category(c)[0] in "LMN" else "-" for c in unicodedata.normalize("NFC", name)]
    text = "-".join(part for part in "".join(known).split("-") if part) or "unnamed"
    if len(text.encode()) <= limit:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text.encode()[: limit - len(digest) - 1].decode(errors="ignore").rstrip("-") + "-" + digest


def _escape(character: str) -> str:
    code = ord(character)
    # A byte of a file name that is not UTF-8 reaches Python as a surrogate.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()
