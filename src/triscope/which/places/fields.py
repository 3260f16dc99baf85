"""The metadata of each image: the names in a store, and the types."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from triscope.images import printable
from triscope.which.spreadsheet import RESERVED, allowed_name, free_name

#: Of those that are a kind of another, the narrower first.
_TYPES: dict[type, str] = {
    bool: "bool", int: "int64", float: "float64", str: "string", datetime: "timestamp", date: "date32",
}  # fmt: skip


def kept_names(names: Iterable[str]) -> dict[str, str]:
    """The name of each in a store: its own, unless that is taken or not allowed."""
    taken, kept = set(RESERVED), dict[str, str]()
    for name in names:
        kept[name] = free_name(allowed_name(name) or "field", taken)
        taken.add(kept[name].casefold())
    return kept


class Types:
    """Finds of which type each field is: shown records one by one, it keeps the narrowest that fits all of them."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = {}

    def see(self, record: Mapping[str, Any]) -> None:
        """Take a record into account; values other than text, numbers, booleans and times are ignored."""
        for name, value in record.items():
            if (kind := type_of(value)) is not None:
                self._seen.setdefault(name, set()).add(kind)

    @property
    def found(self) -> dict[str, str]:
        """The type of each field."""
        return {name: _narrowest(kinds) for name, kinds in self._seen.items()}


def type_of(value: Any) -> str | None:
    """The type of a column that could hold a value; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return "string"
    return next((name for kind, name in _TYPES.items() if isinstance(value, kind)), None)


def as_type(value: Any, kind: str) -> Any:
    """A value as a column of that type holds it; None where it is of another."""
    found = type_of(value)
    if found is None:
        return None
    if kind == "string":
        return printable(value if isinstance(value, str) else str(value))
    if kind == "float64" and found == "int64":
        return float(value)
    return value if found == kind else None


def _narrowest(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "float64" if kinds == {"int64", "float64"} else "string"
