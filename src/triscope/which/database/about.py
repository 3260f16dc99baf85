"""The description of a store: which network made it, how, and its columns.

It stands as one line of JSON beside the rows. A store may come from anywhere, so reading it is checking it: of each
field it is known what may stand there, and the columns must be those of the rows.
"""

import json
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.network.preprocess import Interpolation
from triscope.results.recipe import public_source
from triscope.which.database.durable import damaged
from triscope.which.database.location import is_remote
from triscope.which.database.schema import Column
from triscope.which.database.table import Table

_FORMAT = 1
_PRECISIONS = ("float16", "bfloat16", "float32", "float64")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_CHANNELS = 4096  # of images
_LONGEST = 1 << 24  # numbers along one axis of a vector, or pixels along one of an image
#: What the rows of every store have, beside its own columns; layers that are being added have the first line alone.
_ADDED = {"key": "int64", "stamp": "int64", "status": "string", "error": "string"}
_ROWS = _ADDED | {
    **dict.fromkeys(("size", "mtime"), "int64"),
    **dict.fromkeys(("height", "width"), "int32"),
    **dict.fromkeys(("name", "folder"), "string"),
    **dict.fromkeys(("path", "thumbnail"), "binary"),
}


class _Wrong(ValueError):
    """What is wrong with a description, as the middle of a sentence."""


@dataclass(frozen=True)
class Fitting:
    """How images were preprocessed, and whether by the fast way or the exact one."""

    size: tuple[int, int]
    resize: int
    interpolation: Interpolation
    exact: bool
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


@dataclass(frozen=True)
class About:
    """What a whole store has in common; two stores of the same `About` hold the same kind of numbers."""

    network: str
    source: Mapping[str, Any] | None
    sha256: str
    preprocess: Mapping[str, Any]
    precision: str
    columns: tuple[Column, ...]
    root: str | None = None
    fields: tuple[str, ...] = ()
    #: What the collection is (folder, pattern, CSV file, list), how it is called within the root, and its digest.
    kind: str = "folder"
    within: str = ""
    listed: str = ""
    #: The field that says what an image is called; "" where the answers are yet to be compared with it.
    label: str = ""
    format: int = _FORMAT
    #: Whether it was made by a version that checks that the rows of a layer are images.
    checked: bool = False

    def to_json(self) -> str:
        """As one line."""
        known = asdict(self) | {"source": None if self.source is None else public_source(self.source)}
        return json.dumps({**known, "columns": [column.to_json() for column in self.columns]})

    @classmethod
    def of(cls, table: Table, *, whole: bool = False) -> "About":
        """The description of a table; `whole` where it is that of a store, and not of layers that are being added.

        Raises DamagedStore where it is not what `to_json` gave, or does not agree with the table's columns; StoreError
        where another version of triscope wrote it.
        """
        try:
            about = _read(table.about)
            kinds = table.kinds
            _check_columns(about, kinds, whole=whole)
        except (_Wrong, RecursionError) as error:
            reason = str(error) if isinstance(error, _Wrong) else "it is nested too deeply"
            raise damaged(table.folder, f"its description cannot be read ({printable(reason)})") from error
        # The metadata of a list is updated in two steps, between which a process may have been killed.
        told = tuple(name for name in about.fields if kinds.get(name, ("", 0))[1] is None)
        return replace(about, network=printable(about.network), fields=told)


def preprocessing(network: Network, *, exact: bool) -> dict[str, Any]:
    """The preprocessing, as a store records it."""
    known = network.preprocess
    return {
        "size": list(known.size), "resize": known.resize, "interpolation": known.interpolation, "exact": exact,
        "mean": network.mean and list(network.mean), "std": network.std and list(network.std),
    }  # fmt: skip


def way_to(root: Path | str, folder: Path) -> str:
    """Where a collection's folder is, seen from the folder of its store: that tells least about this machine.

    An address is what it is, and from a store at an address there is no way to a folder of this machine.
    """
    if isinstance(root, str) or is_remote(folder):
        return str(root)
    try:
        return PurePath(os.path.relpath(root, folder)).as_posix()
    except ValueError:  # on another drive
        return str(root)


def _read(text: str) -> About:
    try:
        known = json.loads(text, parse_constant=_no_number)
    except ValueError as error:
        raise error if isinstance(error, _Wrong) else _Wrong("it is no JSON") from error
    if not isinstance(known, dict):
        raise _Wrong("it is not a JSON object")
    if type(known.get("format")) is int and known["format"] != _FORMAT:
        raise StoreError(
            f"This store has format {known['format']}; this version of triscope reads {_FORMAT}. Index again."
        )
    listed = known.get("columns")
    if not isinstance(listed, list) or not all(isinstance(column, dict) for column in listed):
        raise _Wrong("columns are not a list of columns")
    columns = tuple(Column(**_values(Column, column)) for column in listed)
    known.setdefault("kind", "folder" if known.get("root") else "list")  # version 0.1 did not say
    about = About(**_values(About, known, without="columns"), columns=columns)
    _values(Fitting, dict(about.preprocess))
    _check_values(about)
    return about


def _values(kind: type, known: Mapping[str, Any], without: str = "") -> dict[str, Any]:
    """The fields of a dataclass from JSON, each of its type; unknown fields are ignored."""
    hints = typing.get_type_hints(kind)
    values = {item.name: known[item.name] for item in fields(kind) if item.name in known and item.name != without}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise _Wrong(f"{name} is {str(value)[:40]!r}")
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        kind(**values, **({without: ()} if without else {}))
    except TypeError as error:
        raise _Wrong(f"{kind.__name__.lower()} lacks a field") from error
    return values


def _fits(value: object, hint: Any) -> bool:
    """Whether a value of JSON is of this type; a list stands for a tuple."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is tuple:
        each = inner[:1] * len(value) if isinstance(value, list) and inner[-1] is ... else inner
        return isinstance(value, list) and len(value) == len(each) and all(map(_fits, value, each))
    if hint is float:
        return type(value) in (int, float) and isfinite(typing.cast("float", value))
    return isinstance(value, dict) if origin is not None else type(value) is hint


def _check_values(about: About) -> None:
    """Check what types alone do not guarantee."""
    if not _HASH.fullmatch(about.sha256):
        raise _Wrong("sha256 is no hash")
    if not all(0 < side <= _LONGEST for side in (*about.preprocess["size"], about.preprocess["resize"])):
        raise _Wrong("the size of its images is none")
    if about.precision not in _PRECISIONS:
        raise _Wrong(f"the precision is {about.precision[:40]!r}")
    names = [column.name for column in about.columns]
    if len(set(names)) < len(names) or not names:
        raise _Wrong("its columns have no names of their own")
    for column in about.columns:
        # A name is a part of the names of files that are made for searching.
        if not re.fullmatch(r"\w+", column.name, re.ASCII) or not column.layer or not column.layer.isprintable():
            raise _Wrong(f"a column is called {column.name[:40]!r}, of the layer {column.layer[:40]!r}")
        if not column.shape or not all(0 < side <= _LONGEST for side in (*column.shape, *column.grid)):
            raise _Wrong(f"the column {column.name} has the shape {column.shape}, of maps of {column.grid}")
        if column.pool == "pixels" and (len(column.shape) != 3 or column.shape[0] > _MOST_CHANNELS):
            raise _Wrong(f"pixels have the shape {column.shape}")


def _check_columns(about: About, kinds: Mapping[str, tuple[str, int | None]], *, whole: bool) -> None:
    """Check that the rows have the columns that are described."""
    if whole and not any(column.pool == "pixels" for column in about.columns):
        raise _Wrong("the small images that every store keeps are missing")
    rows = _ROWS if whole else _ADDED
    wanted: dict[str, tuple[str, int | None]] = {name: (kind, None) for name, kind in rows.items()}
    wanted |= {column.name: (column.dtype, column.length) for column in about.columns}
    for name, kind in wanted.items():
        if kinds.get(name) != kind:
            raise _Wrong(f"its rows have no {name} of the kind that it describes")


def _no_number(word: str) -> float:
    raise _Wrong(f"it holds {word}, which is not a number")
