"""Collections: the pictures of a folder, a list, a pattern or a CSV file, one after the other, however many there are.

Nothing is opened here, and nothing is kept in memory: a collection is walked again each time it is asked. What is
taken from a folder stands in docs/methods/index.md: files whose ending names a kind of picture, and files without an
ending whose first bytes do; hidden ones are left out, and links to folders are not followed, so that no loop can
catch the walk.
"""

import csv
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from triscope.errors import ImageError, StoreError
from triscope.images import open_regular, printable

# Kinds that cannot be read (HEIC, SVG) are among them, so that they are listed with the reason and not passed over.
_ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("avif", "bmp", "dib", "gif", "heic", "heif", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "jxl", "pbm", "pgm"),
        *("png", "pnm", "ppm", "svg", "tif", "tiff", "webp"),
    )
)
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")
_PATH_COLUMNS = ("path", "file", "filename", "image")
_MISSING = -1  # the size and time of what has none: a dangling link, a file that may not be seen


@dataclass(frozen=True)
class Entry:
    """One picture: where it is, what tells it from others, and what is known of it.

    `id` is its path as bytes: relative to a folder that was collected, so that the folder may move, else absolute.
    """

    path: str
    id: bytes
    size: int
    mtime: int
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> int:
        """64 bits of the path's hash, signed."""
        return int.from_bytes(hashlib.blake2b(self.id, digest_size=8).digest(), signed=True)

    @cached_property
    def stamp(self) -> int:
        """64 bits that change when the file does: its size, its time, and what the CSV says of it."""
        text = repr((self.size, self.mtime, sorted(self.metadata.items())))
        return int.from_bytes(
            hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), signed=True
        )

    @property
    def name(self) -> str:
        """The path as one line of text."""
        return printable(self.id.decode("utf-8", "surrogateescape"))


class Collection:
    """Pictures, by where they are.

    source      a folder (with all below it), a pattern ("photos/**/*.jpg"), a CSV file with a column named path, file,
                filename or image (its other columns are kept as metadata), or a list of paths.

    Raises StoreError where there is no such thing.
    """

    def __init__(self, source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> None:
        self.root: Path | None = None
        self.fields: tuple[str, ...] = ()
        self._paths: tuple[str, ...] | None = None
        if not isinstance(source, str | os.PathLike):
            self._paths = tuple(str(Path(os.fsdecode(path)).absolute()) for path in source)
            self.name = f"a list of {len(self._paths)}"
            return
        text = os.fsdecode(source)
        self.name = printable(text)
        self._source = str(Path(text).absolute())
        if Path(text).is_dir():
            self.root = Path(self._source)
        elif text.lower().endswith((".csv", ".tsv")):
            self.fields = self._header()
        elif not glob.has_magic(text):
            raise StoreError(
                f"{printable(text)} {'is one file' if Path(text).exists() else 'does not exist'}; a collection is "
                "a folder, a "
                "pattern such as 'photos/**/*.jpg', a CSV file, or in Python a list of paths."
            )

    def __iter__(self) -> Iterator[Entry]:
        """The pictures, in the order of their paths within each folder; each path once."""
        seen = set[bytes]()
        for path, metadata in self._found():
            identity = os.fsencode(os.path.relpath(path, self.root) if self.root else path)
            if self.root is None:  # a walk meets each path once by itself, and must not grow with what it meets
                if identity in seen:
                    continue
                seen.add(identity)
            yield Entry(path, identity, *_state(path), metadata)

    def __repr__(self) -> str:
        return f"<Collection {self.name}>"

    def _found(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        if self._paths is not None:
            yield from ((path, {}) for path in self._paths)
        elif self.root is not None:
            yield from ((path, {}) for path in _walk(str(self.root)))
        elif self.fields:
            yield from self._listed()
        else:
            found = glob.glob(self._source, recursive=True)  # noqa: PTH207 - a whole pattern, rooted anywhere
            yield from ((path, {}) for path in sorted(found) if not Path(path).is_dir())

    def _listed(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        folder = Path(self._source).parent
        with self._csv() as rows:
            for row in rows:
                place = next(row[name] for name in _PATH_COLUMNS if name in row)
                known = {name: row.get(name) or "" for name in self.fields}
                yield str(folder / (place or "")), known

    def _header(self) -> tuple[str, ...]:
        with self._csv() as rows:
            names = [name for name in rows.fieldnames or () if name]
        if not any(name in names for name in _PATH_COLUMNS):
            raise StoreError(f"{self.name} has no column named {', '.join(_PATH_COLUMNS)}, so it names no pictures.")
        return tuple(names)

    def _csv(self) -> "_Csv":
        return _Csv(self._source)


class _Csv:
    """A CSV file, open while entered; a stray byte is kept, and becomes a file name again."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> "csv.DictReader[str]":
        open_regular(self._path, StoreError).close()
        self._file = Path(self._path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")
        return csv.DictReader(self._file, delimiter="\t" if self._path.lower().endswith(".tsv") else ",")

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _walk(folder: str) -> Iterator[str]:
    """The pictures in `folder` and below, sorted; links to folders are not entered."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(
                (entry for entry in found if not entry.name.startswith(".")), key=lambda entry: os.fsencode(entry.name)
            )
    except OSError:
        yield folder  # listed, with the reason, when it is opened as a picture
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            inside = _walk(entry.path)
            first = next(inside, None)
            if first is not None:
                yield first
                yield from inside
            elif _ending(entry.name) in _ENDINGS:  # an empty folder that calls itself a picture
                yield entry.path
        elif _is_picture(entry):
            yield entry.path


def _is_picture(entry: "os.DirEntry[str]") -> bool:
    if ending := _ending(entry.name):
        return ending in _ENDINGS and not (entry.is_symlink() and Path(entry.path).is_dir())
    if not entry.is_file():
        return False
    try:
        with open_regular(entry.path, ImageError) as file:
            return file.read(16).startswith(_STARTS)
    except (ImageError, OSError):
        return False


def _ending(name: str) -> str:
    return Path(name).suffix.lower()


def _state(path: str) -> tuple[int, int]:
    try:
        known = Path(path).stat()
    except (OSError, ValueError):
        return _MISSING, _MISSING
    return known.st_size, known.st_mtime_ns
