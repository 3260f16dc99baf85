"""Tables with a column of encoded images: Parquet files, and folders that the Hugging Face `datasets` package saved.

A row is an image, by its number; the other columns of plain values are what is known of it. Classes that are kept as
numbers, with their names beside, are told by their names. Rows are read in groups as the file has them; the groups in
use are kept, so that those who read rows side by side read each group once.
"""

import glob
import json
import os
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from triscope.errors import ImageError, StoreError
from triscope.images import printable
from triscope.which.folders import STARTS
from triscope.which.places.fields import as_type, kept_names
from triscope.which.places.place import Found, Place, check_length
from triscope.which.places.remote import State, asked, common_address, filesystem, is_url, listed, state_of

ENDINGS = (".parquet", ".arrow")
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves in a folder
_USUAL = ("image", "img", "picture", "photo", "jpg", "png", "pixel_values")
_LOOKED_AT = 100  # rows in which an image is looked for
_GROUPS = 3  # groups of rows whose images are in memory


@dataclass(frozen=True)
class TableRow(Place):
    """The image in one row of a file, by its number and its column."""

    container: str
    row: int
    column: str

    def read(self) -> bytes:
        """The encoded image."""
        label = printable(f"{self.container}/{self.row}")
        value = _rows_of(self.container).value(self.row, self.column, label)
        if isinstance(value, dict):
            if value.get("bytes") is None:
                raise ImageError(
                    f"{label} holds a path and no image; `save_to_disk` of datasets puts the images into it, or "
                    "index the folder of images itself."
                )
            value = value["bytes"]
        if not isinstance(value, bytes):
            raise ImageError(f"{label} holds no image: the cell is empty.")
        check_length(len(value), label)
        return value


class Tables:
    """The images in the rows of Parquet files, or of a folder saved by `datasets`, in their order.

    `source` is one file, a pattern, or such a folder. Raises StoreError where there is none, or no column of images.
    """

    kind = "table"

    def __init__(self, source: str) -> None:
        self._asked = source if is_url(source) else str(Path(source).absolute())
        self.passed: Counter[str] = Counter()
        files = [path for path, _ in self._files()]
        if not files:
            raise StoreError(f"{printable(source)} holds no file of rows (.parquet or .arrow).")
        self.root = self._root(files)
        self.within = "" if self._asked == self.root else self._asked.removeprefix(self.root).lstrip("/")
        try:
            self.column, schema = image_column(files[0]), _rows_of(files[0]).schema
        except ImageError as error:
            raise StoreError(str(error)) from error
        classes = _classes(schema)
        kinds = {
            field.name: "string" if field.name in classes else kind
            for field in schema
            if field.name != self.column and (kind := _kind(field.type))
        }
        self._classes, self._names = classes, kept_names(kinds)
        self.fields: Mapping[str, str] = {self._names[name]: kind for name, kind in kinds.items()}

    def __iter__(self) -> Iterator[Found]:
        for path, state in self._files():
            try:
                rows = _rows_of(path)
            except ImageError as error:
                raise StoreError(str(error)) from error
            version = f"{state.version or state.mtime} {state.size}"
            name = path.removeprefix(self.root).lstrip("/")
            for row, known in enumerate(rows.records([name for name in self._names if name in rows.schema.names])):
                place = TableRow(path, row, self.column)
                yield Found(f"{name}/{row}", place, -1, state.mtime, self._told(known), f"{version} {row}")

    def _told(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """A row's values as a store keeps them."""
        told = {}
        for name, kept in self._names.items():
            value = known.get(name)
            named = self._classes.get(name)
            if named and isinstance(value, int):
                value = named[value] if 0 <= value < len(named) else None
            told[kept] = as_type(value, self.fields[kept])
        return told

    def _root(self, files: list[str]) -> str:
        if not is_url(self._asked):
            return (
                self._asked if Path(self._asked).is_dir() else os.path.commonpath([Path(path).parent for path in files])
            )
        return common_address({path.rpartition("/")[0] for path in files})

    def _files(self) -> Iterator[tuple[str, State]]:
        if is_url(self._asked):
            _opened.cache_clear()  # what was opened at an address may have changed since
            yield from ((path, state) for path, state in listed(self._asked) if path.endswith(ENDINGS))
            return
        for path in _local_files(self._asked):
            try:
                known = Path(path).stat()
            except OSError as error:
                raise StoreError(f"{printable(path)} does not exist.") from error
            yield path, state_of({"size": known.st_size, "mtime": known.st_mtime})


def row_of(container: str, row: int) -> TableRow:
    """Where the image of a row is. Raises ImageError where the file has none."""
    try:
        return TableRow(container, row, image_column(container))
    except StoreError as error:
        raise ImageError(str(error)) from error


def is_saved(folder: Path) -> bool:
    """Whether `datasets` saved this folder."""
    return any((folder / name).is_file() for name in _SAVED) and next(folder.rglob("*.arrow"), None) is not None


def _local_files(source: str) -> list[str]:
    folder = Path(source)
    if not folder.is_dir():
        if not glob.has_magic(source):
            return [source]
        return sorted(glob.glob(source, recursive=True))  # noqa: PTH207 - any pattern, also an absolute one
    files: list[str] = []
    for state in sorted(folder.rglob("state.json")):  # in the order of the splits, and of the files in each
        try:
            told = [str(one["filename"]) for one in json.loads(state.read_text("utf-8"))["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{printable(state)} cannot be read: is the data set saved whole?") from error
        if any(Path(name).name != name for name in told):
            raise StoreError(f"{printable(state)} names files outside its folder, which are not read.")
        files += [str(state.parent / name) for name in told]
    return files


class _Rows:
    """The rows of one file, by groups: of Parquet its row groups, of Arrow its batches of records."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        self._lock = threading.Lock()
        self.schema: Any = None
        self._group: Callable[[int, list[str]], Any]
        self._kept: OrderedDict[tuple[str, int], Any] = OrderedDict()
        label = printable(path)
        with asked(label, ImageError):
            if is_url(path):
                files, inner = filesystem(path)
                file: Any = files.open(inner, "rb")
            else:
                file = pa.memory_map(path) if path.endswith(".arrow") else path
            self._open(file, path.endswith(".arrow"))

    def _open(self, file: Any, arrow: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not arrow:
            parquet = pq.ParquetFile(file)
            self.schema = parquet.schema_arrow
            lengths = [parquet.metadata.row_group(at).num_rows for at in range(parquet.num_row_groups)]
            self._group = lambda at, columns: parquet.read_row_group(at, columns=columns)
        else:
            table = pa.ipc.open_stream(file).read_all()  # mapped: nothing is read yet
            self.schema = table.schema
            batches = table.to_batches()
            lengths = [batch.num_rows for batch in batches]
            self._group = lambda at, columns: pa.Table.from_batches([batches[at]]).select(columns)
        self._ends = list(accumulate(lengths))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def value(self, row: int, column: str, label: str) -> Any:
        """One cell. Raises ImageError where there is none."""
        group = bisect_right(self._ends, row)
        if group == len(self._ends) or column not in self.schema.names:
            raise ImageError(f"{label} is not there any more: the file has changed.")
        with self._lock:
            key = (column, group)
            if key not in self._kept:
                with asked(label, ImageError):
                    self._kept[key] = self._group(group, [column]).column(0).combine_chunks()
                while len(self._kept) > _GROUPS:
                    self._kept.popitem(last=False)
            cells = self._kept[key]
        return cells[row - (self._ends[group - 1] if group else 0)].as_py()

    def records(self, columns: list[str]) -> Iterator[dict[str, Any]]:
        """The values of some columns, row by row."""
        if not columns:
            yield from ({} for _ in range(len(self)))
            return
        for group in range(len(self._ends)):
            with self._lock:
                rows = self._group(group, columns)
            yield from rows.to_pylist()


def _rows_of(path: str) -> _Rows:
    """The rows of a file as it is now; of the files in use last, what was opened is kept."""
    try:
        state = None if is_url(path) else Path(path).stat()
    except OSError as error:
        raise ImageError(f"{printable(path)} does not exist.") from error
    return _opened(path, state and (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=4)
def _opened(path: str, state: object) -> _Rows:
    del state
    return _Rows(path)


def image_column(path: str) -> str:
    """The column of encoded images: by its type, and by the first bytes that stand in it. Raises StoreError."""
    rows = _rows_of(path)
    found = [
        field.name for field in rows.schema if _holds_bytes(field.type) and _begins_like_an_image(rows, field.name)
    ]
    if not found:
        raise StoreError(
            f"{printable(path)} has no column of encoded images; its columns are "
            f"{', '.join(map(printable, rows.schema.names))}. Images are kept as the bytes of their files, or as "
            "Hugging Face's Image, which holds them."
        )
    usual = [name for name in found if name.casefold() in _USUAL]
    return str(min(usual, key=lambda name: _USUAL.index(name.casefold())) if usual else found[0])


def _begins_like_an_image(rows: _Rows, column: str) -> bool:
    for row in range(min(len(rows), _LOOKED_AT)):
        value = rows.value(row, column, column)
        data = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(data, bytes):
            return STARTS.match(data) is not None
        if isinstance(value, dict) and value.get("path"):
            return True
    return False


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _kind(kind: Any) -> str | None:
    """The type of a store's column that holds these values; None where there is none."""
    import pyarrow as pa

    tests = {
        "bool": pa.types.is_boolean, "int64": pa.types.is_integer, "float64": pa.types.is_floating,
        "date32": pa.types.is_date, "timestamp": pa.types.is_timestamp,
    }  # fmt: skip
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    return next((name for name, test in tests.items() if test(kind)), None)


def _classes(schema: Any) -> dict[str, list[str]]:
    """The names of the classes of each column that holds their numbers, as `datasets` notes them."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(one) for one in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
