"""Collections: the images of a folder, a list, a pattern or a CSV file, of tar shards, of tables, or at an address,
one after the other, however many there are.

Nothing is kept in memory: a collection is walked again each time it is iterated. What is taken from a folder stands in
`folders`, how a CSV file is read in `spreadsheet`, what lies in other files and elsewhere in `places`.
"""

import glob
import hashlib
import itertools
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from triscope.errors import StoreError, TriscopeWarning
from triscope.images import printable, public_store
from triscope.methods.inputs import Input, Subject
from triscope.which.folders import walk
from triscope.which.places.elsewhere import Elsewhere, elsewhere
from triscope.which.places.place import LocalFile, Place
from triscope.which.places.remote import is_url
from triscope.which.spreadsheet import ENDINGS, Spreadsheet

_MISSING = -1  # the size and time of what has none: a dangling link, a file that may not be seen


@dataclass(frozen=True)
class Entry:
    """One image: where it is, its id, and its metadata.

    `id` is its path as bytes: relative to a folder that was collected, so that the folder may move, or to the folder of
    a CSV file; of a list absolute.
    """

    path: str
    id: bytes
    size: int
    mtime: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: Where its bytes are, if not in a file at `path`.
    place: Place | None = None
    #: What changes when it does, where that is more than size and time.
    version: str = ""

    @cached_property
    def key(self) -> int:
        """64 bits of the path's hash, signed."""
        return key_of(self.id)

    @cached_property
    def stamp(self) -> int:
        """64 bits that change when the file does: its size and its time, or its size and its digest."""
        text = repr((self.size, self.version or self.mtime))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)

    def read(self) -> bytes:
        """The encoded file. Raises ImageError, with one sentence, where it cannot be read."""
        return (self.place or LocalFile(self.path)).read()

    @property
    def name(self) -> str:
        """The path as one line of text."""
        return printable(self.id.decode("utf-8", "surrogateescape"))


class Collection:
    """Images, by where they are.

    source      a folder (with all below it), a pattern ("photos/**/*.jpg"), a CSV file or workbook that names an image
                in each row (its other columns are kept as metadata), or a list of paths; WebDataset shards
                ("shards/{000..999}.tar"), Parquet files ("data/*.parquet") or a folder saved by Hugging Face's
                `datasets`; any of these, or a folder, at an address ("s3://bucket/prefix", whatever fsspec opens).

    Credentials for an address come from the environment alone. Oddities of a CSV file are warned of. Raises StoreError
    where there is no such thing.
    """

    def __init__(self, source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> None:
        #: What names are relative to, a folder or an address; None for a list, whose names are whole paths.
        self.root: Path | str | None = None
        #: The names and types of the metadata.
        self.fields: Mapping[str, str] = {}
        #: Its kind, and its name within `root`; "" for a folder.
        self.kind, self.within = "list", ""
        self._paths: tuple[str, ...] | None = None
        self._sheet: Spreadsheet | None = None
        self._elsewhere: Elsewhere | None = None
        self._passed: Counter[str] = Counter()
        if not isinstance(source, str | os.PathLike):
            self._paths = tuple(str(Path(os.fsdecode(path)).absolute()) for path in source)
            self.name = f"a list of {len(self._paths)}"
            return
        text = os.fsdecode(source)
        self.name = printable(text)
        place = Path(text).absolute()
        if (found := elsewhere(text)) is not None:
            self._elsewhere = found
            self.kind, self.within, self.fields = found.kind, found.within, found.fields
            self.root = found.root if is_url(found.root) else Path(found.root)
        elif place.is_dir():
            self.kind, self.root = "folder", place
        elif text.lower().endswith(ENDINGS):
            self._sheet = Spreadsheet(place)
            self.kind, self.root, self.within, self.fields = "CSV file", place.parent, place.name, self._sheet.fields
            for note in self._sheet.notes:
                warnings.warn(note, TriscopeWarning, stacklevel=2)
        elif glob.has_magic(text):
            plain = list(itertools.takewhile(lambda part: not glob.has_magic(part), place.parts[:-1]))
            self.kind, self.root = "pattern", Path(*plain)
            self.within = str(place.relative_to(self.root))
        else:
            raise StoreError(
                f"{self.name} {'is one file' if Path(text).exists() else 'does not exist'}; a collection is a folder, "
                f"a pattern such as 'photos/**/*.jpg', a file that lists images ({', '.join(ENDINGS)}), .tar shards, "
                ".parquet files, an address such as s3://bucket/photos, or in Python a list of paths."
            )

    def __iter__(self) -> Iterator[Entry]:
        """The images, in the order of their paths within each folder; each path once."""
        if self._elsewhere is not None:
            for one in self._elsewhere:
                path = f"{self.root}/{one.path}"
                yield Entry(path, os.fsencode(one.path), one.size, one.mtime, one.metadata, one.place, one.version)
            self._passed = self._elsewhere.passed
            return
        for path, identity, metadata in self._each():
            yield Entry(path, identity, *_state(path), metadata)

    def __repr__(self) -> str:
        return f"<Collection {self.name}>"

    @property
    def digest(self) -> str:
        """A digest of the metadata of a CSV file, or of the metadata's types in shards and tables; "" where there is
        none.
        """
        if self._elsewhere is not None and self.fields:
            return hashlib.sha256(repr(sorted(self.fields.items())).encode()).hexdigest()[:16]
        return self._sheet.digest if self._sheet else ""

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many files of a folder are no images by their content, by their ending; known once it was walked."""
        return dict(sorted(self._passed.items(), key=lambda item: (-item[1], item[0])))

    def metadata(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The key of each image, and its metadata in a CSV file; the images themselves are not read."""
        if self._elsewhere is not None:
            return ((key_of(os.fsencode(one.path)), one.metadata) for one in self._elsewhere)
        return ((key_of(identity), known) for _, identity, known in self._each())

    def _each(self) -> Iterator[tuple[str, bytes, Mapping[str, Any]]]:
        """Where each image is, its id, and its metadata."""
        seen = set[bytes]()
        for path, known in self._found():
            identity = os.fsencode(os.path.relpath(path, self.root) if self.root else path)
            if self.kind != "folder":  # a walk meets each path once by itself, and must not grow with what it meets
                if identity in seen:
                    continue
                seen.add(identity)
            yield path, identity, known

    def _found(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if self._paths is not None:
            yield from ((path, {}) for path in self._paths)
        elif self._sheet is not None:
            yield from self._sheet.rows()
        elif self.kind == "folder":
            passed = Counter[str]()
            yield from ((path, {}) for path in walk(str(self.root), passed))
            self._passed = passed
        else:
            found = glob.glob(str(Path(str(self.root), self.within)), recursive=True)  # noqa: PTH207 - any pattern
            yield from ((path, {}) for path in sorted(found) if not Path(path).is_dir())


@dataclass(frozen=True)
class CollectionInput(Input):
    """Images by where they are: whatever a `Collection` is made of. `word` is what help calls it."""

    kind = "collection"
    accepts = "Collection | str"
    word: str = "DIR"

    def bind(self, value: Any, given: Mapping[str, Any], subject: Subject | None) -> Collection | None:
        """The collection. Raises StoreError where there is none."""
        del given, subject
        return value if value is None or isinstance(value, Collection) else Collection(value)

    def recorded(self, value: Collection | None) -> str | None:
        """What it is called, as a file may tell it."""
        if value is None or value.root is None:
            return None if value is None else value.name
        if isinstance(value.root, str):  # the name of a bucket is private
            return "/".join(part for part in (value.root.rstrip("/").rpartition("/")[2], value.within) if part)
        return public_store(value.root / value.within)


def key_of(identity: bytes) -> int:
    """64 bits of the hash of an image's id, signed."""
    return int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), signed=True)


def _state(path: str) -> tuple[int, int]:
    try:
        known = Path(path).stat()
    except (OSError, ValueError):
        return _MISSING, _MISSING
    return known.st_size, known.st_mtime_ns
