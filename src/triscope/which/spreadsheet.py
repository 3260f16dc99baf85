"""Spreadsheets: files that name an image in each row, with metadata in the other columns.

Such files come from many programs, so that nothing about them is assumed: the delimiter (comma, semicolon, tab, bar),
the encoding (UTF-8, UTF-16, else Windows-1252), the column that names the images and the types of the others are
detected. `notes` report what may be unexpected.
"""

import csv
import hashlib
import itertools
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from triscope.errors import StoreError
from triscope.images import open_regular, printable
from triscope.which.cells import Kind, Typing
from triscope.which.workbook import WORKBOOKS, rows_of

ENDINGS = (".csv", ".tsv", ".tab", ".txt", *WORKBOOKS)

#: What a store keeps of each image by itself; a column of this name gets another one.
RESERVED = frozenset(
    (
        *("key", "stamp", "path", "name", "folder", "size", "mtime", "height", "width", "status", "error", "thumbnail"),
        *("row", "rank", "score", "group", "x", "y", "answer", "certainty", "correct"),
        *("pixels", "pixels_pca", "pixels_rest", "_rowid", "_rowaddr", "_distance"),
    )
)
_VECTOR = re.compile(r"v\d+_.*_(none|mean|max|place)(_pca|_rest)?")

# In the order in which they are looked for; compared without case, spaces, dashes and underscores.
_PATHS = (
    *("path", "filepath", "imagepath", "file", "filename", "image", "imagefile", "imagefilename", "imagename"),
    *("sourcefile", "photo", "photopath", "picture", "picturepath", "img", "imgpath", "src"),
)
_BETWEEN = "\t;,|"
_LOOKED_AT = 200  # rows in which a column of images is looked for where no name gives it away
_NAMED = 3  # examples in a note


def allowed_name(name: str) -> str:
    """A name with the characters replaced that the name of a column of a store must not have."""
    return re.sub(r'[.`"\x00-\x1f]', "_", printable(name))


def free_name(name: str, taken: Container[str]) -> str:
    """A name for a column of a store: `name`, numbered if it is in `taken` (lower case), or that of a vector column."""
    free, number = name, 2
    while free.casefold() in taken or _VECTOR.fullmatch(free):
        free, number = f"{name}_{number}", number + 1
    return free


@dataclass(frozen=True)
class _Column:
    """A column of the file: where it stands, what it is called in a store, and how its cells are read."""

    place: int
    name: str
    kind: Kind


class Spreadsheet:
    """The rows of a CSV file, or of a workbook's first sheet.

    Raises StoreError where it cannot be read, or names no images.

    The whole file is read once to find the types of its columns, and again each time its rows are asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = printable(path.name)
        self.folder = path.parent
        self.notes: list[str] = []
        self._encoding = _encoding(path)
        self._between, self._skipped = self._delimiter()
        self._first, header = self._header()
        self._headed = True
        self._pictures = self._find_pictures(header)
        self._columns = self._find_columns(header if self._headed else [""] * len(header))

    @cached_property
    def fields(self) -> dict[str, str]:
        """The columns that are kept, and their types, as a table has them."""
        return {column.name: column.kind.type for column in self._columns}

    @cached_property
    def digest(self) -> str:
        """The digest of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """For each row that names an image, the image's place, and the values of the other columns.

        An empty cell is None, or in a column of texts an empty text.
        """
        for _, place, row in self._named():
            cells = (row[column.place] if column.place < len(row) else "" for column in self._columns)
            try:
                known = {column.name: column.kind(cell) for column, cell in zip(self._columns, cells, strict=True)}
            except ValueError as error:
                raise StoreError(f"{self.name} has changed while it was read; index again.") from error
            yield place, known

    def _named(self) -> Iterator[tuple[int, str, list[str]]]:
        """The number of each row that names an image, as a spreadsheet counts them; the place; and the cells."""
        for number, row in self._rows():
            named = row[self._pictures] if self._pictures < len(row) else ""
            if named.strip():
                yield number, self._locate(named), [_text(cell) for cell in row]

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header that are not empty."""
        with self._reading() as lines:
            for number, row in enumerate(lines, 1):
                if (number > self._first or not self._headed) and any(row):
                    yield number, row

    @contextmanager
    def _reading(self) -> Iterator[Iterator[list[str]]]:
        if self._is_workbook:
            yield rows_of(self.path)
            return
        with self.path.open(encoding=self._encoding, errors="surrogateescape", newline="") as file:
            for _ in range(self._skipped):
                next(file)
            try:
                yield csv.reader(file, delimiter=self._between)
            except (csv.Error, UnicodeError) as error:
                raise StoreError(f"{self.name} cannot be read as CSV: {printable(str(error))}.") from error

    @property
    def _is_workbook(self) -> bool:
        return self.path.suffix.lower() in WORKBOOKS

    def _delimiter(self) -> tuple[str, int]:
        """The delimiter, and how many lines only declare it."""
        if self.path.suffix.lower() in (".tsv", ".tab", *WORKBOOKS):
            return "\t", 0
        with self.path.open(encoding=self._encoding, errors="surrogateescape", newline="") as file:
            first = next((line for line in file if line.strip()), "")
        if told := re.fullmatch(r"sep=(.)\r?\n?", first):
            return told[1], 1
        found = Counter(re.sub(r'"(?:[^"]|"")*"', "", first))
        # In a file of one column, commas are part of the names.
        return max(_BETWEEN, key=lambda mark: found[mark]), 0

    def _header(self) -> tuple[int, list[str]]:
        """The number of the first row that is not empty, and its cells."""
        with self._reading() as lines:
            number, header = next(((number, row) for number, row in enumerate(lines, 1) if any(row)), (0, []))
        if not header:
            raise StoreError(f"{self.name} is empty.")
        return number, [_text(cell).strip() for cell in header]

    def _find_pictures(self, header: Sequence[str]) -> int:
        """The column that names the images; also finds whether there is a header."""
        plain = [re.sub(r"[\s_-]", "", cell).casefold() for cell in header]
        for name in _PATHS:
            if name in plain:
                return plain.index(name)
        here = [place for place, cell in enumerate(header) if cell and self._is_there(cell)]
        if here:
            self.notes.append(f"{self.name} has no header; its column {here[0] + 1} names the images.")
            self._headed = False
            return here[0]
        rows = [row for _, row in itertools.islice(self._rows(), _LOOKED_AT)]
        for place, cell in enumerate(header):
            cells = [row[place] for row in rows if place < len(row) and row[place].strip()]
            if cells and sum(map(self._is_there, cells)) * 2 >= len(cells):
                self.notes.append(f"{self.name}: the images are those of the column {printable(cell)!r}.")
                return place
        between = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}.get(self._between, self._between)
        read = "" if self._is_workbook or len(header) == 1 else f", read with {between} between them,"
        raise StoreError(
            f"{self.name} names no images that are there. Its columns{read} are: "
            f"{', '.join(map(printable, header))}. Call the one that holds the paths `path`; they are relative to the "
            "folder of the file."
        )

    def _find_columns(self, header: Sequence[str]) -> list[_Column]:
        """The columns other than that of the images; every cell is read."""
        typing = [Typing(decimal_comma=self._between != ",") for _ in header]
        self._look_for_oddities(len(header))
        names = self._names(header)
        for _, row in self._rows():
            for known, cell in zip(typing, row, strict=False):
                known.see(_text(cell).strip())
        columns = []
        for place, (name, known) in enumerate(zip(names, typing, strict=True)):
            if place != self._pictures:
                columns.append(_Column(place, name, known.kind))
                if known.said:
                    self._note(f"{name}: {known.said}")
        return columns

    def _look_for_oddities(self, width: int) -> None:
        """Note images that stand twice, rows without one, and cells that belong to no column."""
        seen: dict[int, int] = {}
        again, longer, without = list[str](), list[str](), list[str]()
        for number, row in self._rows():
            named = row[self._pictures] if self._pictures < len(row) else ""
            if any(row[width:]):
                longer.append(f"row {number}")
            if not named.strip():
                without.append(f"row {number}")
                continue
            first = seen.setdefault(hash(os.path.normpath(self._locate(named))), number)
            if first != number:
                again.append(f"{printable(named)} in rows {first} and {number}")
        if again:
            self._note(f"{_rows(again)} left out, because the image stands in an earlier one", again)
        if without:
            self._note(f"{_rows(without)} left out, because no image is named", without)
        if longer:
            self._note(f"cells beyond the {width} columns of the header are left out", longer)

    def _names(self, header: Sequence[str]) -> list[str]:
        """The name of each column in a store: its own, unless that is taken or not allowed."""
        names: list[str] = []
        taken = set(RESERVED)
        for place, cell in enumerate(header):
            wanted = allowed_name(cell) or f"column_{place + 1}"
            name = free_name(wanted, taken)
            names.append(name)
            if place == self._pictures:
                continue
            taken.add(name.casefold())
            if name != cell and self._headed:
                self._note(f"the column {printable(cell)!r} is kept as {name}{self._why(cell, wanted)}")
        return names

    @staticmethod
    def _why(cell: str, wanted: str) -> str:
        if not cell:
            return ", because it has no name"
        if cell.casefold() in RESERVED:
            return f", because {cell.lower()} means something else in a store"
        return ", because another column has that name" if wanted == cell else ""

    def _note(self, text: str, examples: Sequence[str] = ()) -> None:
        shown = f" ({', '.join(examples[:_NAMED])}{', ...' if len(examples) > _NAMED else ''})" if examples else ""
        self.notes.append(f"{self.name}: {text}{shown}.")

    def _locate(self, named: str) -> str:
        """The place that a cell names: literally, or if there is no such file, in other spellings."""
        plain = str(self.folder / named)
        if _exists(plain):
            return plain
        western = _text(named)
        for other in (named.strip(), western, western.strip(), western.strip().replace("\\", "/")):
            if other != named and _exists(str(self.folder / other)):
                return str(self.folder / other)
        return plain

    def _is_there(self, named: str) -> bool:
        return bool(named.strip()) and Path(self._locate(named)).is_file()


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _encoding(path: Path) -> str:
    with open_regular(path, StoreError) as file:
        start = file.read(4)
    return "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"


def _text(cell: str) -> str:
    """A cell whose bytes are not UTF-8, by Windows-1252, as many programs write; places keep their bytes."""
    if cell.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in cell):
        return cell
    return cell.encode("utf-8", "surrogateescape").decode("cp1252", "replace")


def _rows(some: Sequence[str]) -> str:
    return f"{len(some)} row{'' if len(some) == 1 else 's'}"
