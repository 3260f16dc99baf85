"""Collections: the pictures of a folder, a list, a pattern or a CSV file, one after the other, however many there are.

Nothing is kept in memory: a collection is walked again each time it is asked. What is taken from a folder stands in
`folders`, how a CSV file is read in `spreadsheet`.
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
from triscope.methods.inputs import Asked, Input
from triscope.which.folders import walk
from triscope.which.spreadsheet import ENDINGS, Spreadsheet

_MISSING = -1  # the size and time of what has none: a dangling link, a file that may not be seen


@dataclass(frozen=True)
class Entry:
    """One picture: where it is, what tells it from others, and what is known of it.

    `id` is its path as bytes: relative to a folder that was collected, so that the folder may move, or to the folder of
    a CSV file; of a list absolute.
    """

    path: str
    id: bytes
    size: int
    mtime: int
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> int:
        """64 bits of the path's hash, signed."""
        return key_of(self.id)

    @cached_property
    def stamp(self) -> int:
        """64 bits that change when the file does: its size and its time."""
        text = repr((self.size, self.mtime))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)

    @property
    def name(self) -> str:
        """The path as one line of text."""
        return printable(self.id.decode("utf-8", "surrogateescape"))


class Collection:
    """Pictures, by where they are.

    source      a folder (with all below it), a pattern ("photos/**/*.jpg"), a CSV file or workbook that names a picture
                in each row (its other columns are kept as metadata), or a list of paths.

    What is odd about a CSV file is said in warnings. Raises StoreError where there is no such thing.
    """

    def __init__(self, source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> None:
        #: What names are relative to; None for a list, whose names are whole paths.
        self.root: Path | None = None
        #: What is known of each picture beside its file, and of which type it is.
        self.fields: Mapping[str, str] = {}
        #: What it is, and how it is called within `root`: of a folder nothing more is to be said.
        self.kind, self.within = "list", ""
        self._paths: tuple[str, ...] | None = None
        self._sheet: Spreadsheet | None = None
        self._passed: Counter[str] = Counter()
        if not isinstance(source, str | os.PathLike):
            self._paths = tuple(str(Path(os.fsdecode(path)).absolute()) for path in source)
            self.name = f"a list of {len(self._paths)}"
            return
        text = os.fsdecode(source)
        self.name = printable(text)
        place = Path(text).absolute()
        if place.is_dir():
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
                f"a pattern such as 'photos/**/*.jpg', a file that lists pictures ({', '.join(ENDINGS)}), or in Python "
                "a list of paths."
            )

    def __iter__(self) -> Iterator[Entry]:
        """The pictures, in the order of their paths within each folder; each path once."""
        for path, identity, metadata in self._each():
            yield Entry(path, identity, *_state(path), metadata)

    def __repr__(self) -> str:
        return f"<Collection {self.name}>"

    @property
    def digest(self) -> str:
        """Changes when what a CSV file says of the pictures does; "" where there is none."""
        return self._sheet.digest if self._sheet else ""

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many files of a folder are no pictures by their content, by their ending; known once it was walked."""
        return dict(sorted(self._passed.items(), key=lambda item: (-item[1], item[0])))

    def metadata(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The key of each picture, and what a CSV file says of it; the pictures themselves are not looked at."""
        return ((key_of(identity), known) for _, identity, known in self._each())

    def _each(self) -> Iterator[tuple[str, bytes, Mapping[str, Any]]]:
        """Where each picture is, what tells it from others, and what is known of it."""
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
    """Pictures by where they are: whatever a `Collection` is made of. `word` is what help calls it."""

    kind = "collection"
    accepts = "Collection | str"
    word: str = "DIR"

    def bind(self, value: Any, given: Mapping[str, Any], asked: Asked | None) -> Collection | None:
        """The collection. Raises StoreError where there is none."""
        del given, asked
        return value if value is None or isinstance(value, Collection) else Collection(value)

    def recorded(self, value: Collection | None) -> str | None:
        """What it is called, as a file may tell it."""
        if value is None or value.root is None:
            return None if value is None else value.name
        return public_store(value.root / value.within)


def key_of(identity: bytes) -> int:
    """64 bits of the hash of what tells a picture from others, signed."""
    return int.from_bytes(hashlib.blake2b(identity, digest_size=8).digest(), signed=True)


def _state(path: str) -> tuple[int, int]:
    try:
        known = Path(path).stat()
    except (OSError, ValueError):
        return _MISSING, _MISSING
    return known.st_size, known.st_mtime_ns
