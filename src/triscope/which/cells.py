"""The types of a spreadsheet's columns: whole numbers, numbers, truth, dates, times, or text, as all cells allow."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from triscope.images import printable

#: How pandas, R and people write a missing value.
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none"))

_WHOLE = re.compile(r"[+-]?(0|[1-9]\d{0,18})")  # what begins with a zero is a code: 01234
_NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_COMMAED = re.compile(r"[+-]?(0|[1-9]\d*)(,\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"(\d{4})[-:](\d\d)[-:](\d\d)[T ](\d\d:\d\d(:\d\d(\.\d{1,6})?)?)\d*(Z|[+-]\d\d:?\d\d)?")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Kind:
    """How the cells of a column are read: the type in the table, and the value of a cell.

    `read` raises ValueError where a cell is of another kind. `said` is a note for the user.
    """

    type: str
    read: Callable[[str], Any]
    said: str = ""

    def __call__(self, cell: str) -> Any:
        """The value of a cell; None, or of texts "", where it has none."""
        if self.type == "string":
            return self.read(cell)
        cell = cell.strip()
        return None if cell.casefold() in MISSING else self.read(cell)


def _whole(cell: str) -> int:
    if not _WHOLE.fullmatch(cell) or not -(2**63) <= (value := int(cell)) < 2**63:
        raise ValueError
    return value


def _number(cell: str) -> float:
    if not _NUMBER.fullmatch(cell):
        raise ValueError
    return float(cell)


def _with_comma(cell: str) -> float:
    if not _COMMAED.fullmatch(cell):
        raise ValueError
    return float(cell.replace(",", "."))


def _truth(cell: str) -> bool:
    try:
        return _TRUTH[cell.casefold()]
    except KeyError as error:
        raise ValueError from error


def _day(cell: str) -> date:
    if not _DATE.fullmatch(cell):
        raise ValueError
    return date.fromisoformat(cell)


def _moment(cell: str) -> datetime:
    """ISO 8601, or as cameras write it (2003:05:06 12:00:00); what names a time zone is brought to UTC."""
    found = _TIME.fullmatch(cell)
    if found is None:
        if _DATE.fullmatch(cell):
            return datetime.combine(date.fromisoformat(cell), datetime.min.time())
        raise ValueError
    zone = (found[7] or "").replace("Z", "+00:00")
    moment = datetime.fromisoformat(f"{found[1]}-{found[2]}-{found[3]}T{found[4]}{zone}")
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _written(order: str, mark: str) -> Callable[[str], date]:
    """Dates with the day, the month and the year in this order, such as `dmy`, a mark between them."""
    parts = {"d": r"(?P<d>\d{1,2})", "m": r"(?P<m>\d{1,2})", "y": r"(?P<y>\d{4})"}
    pattern = re.compile(re.escape(mark).join(parts[part] for part in order))

    def read(cell: str) -> date:
        found = pattern.fullmatch(cell)
        if found is None:
            raise ValueError
        return date(int(found["y"]), int(found["m"]), int(found["d"]))

    return read


_TEXT = Kind("string", printable)
_DAYS_FIRST = Kind("date32", _written("dmy", "/"), "dates are read as day/month/year")
_MONTHS_FIRST = Kind("date32", _written("mdy", "/"), "dates are read as month/day/year")
_COMMA = Kind("float64", _with_comma, "numbers are read with a decimal comma")
_KINDS = (
    Kind("int64", _whole), Kind("float64", _number), Kind("bool", _truth), Kind("date32", _day),
    Kind("timestamp", _moment), Kind("date32", _written("dmy", ".")), _DAYS_FIRST, _MONTHS_FIRST,
)  # fmt: skip


class Typing:
    """Finds the kind of a column: shown its cells one by one, it keeps those kinds that fit all of them."""

    def __init__(self, *, decimal_comma: bool = False) -> None:
        self._left = [*_KINDS, *([_COMMA] if decimal_comma else [])]
        self._some = False

    def see(self, cell: str) -> None:
        """Take a cell into account."""
        if self._left and cell.casefold() not in MISSING:
            self._some = True
            self._left = [kind for kind in self._left if _fits(kind, cell)]

    @property
    def kind(self) -> Kind:
        """The narrowest kind that fits every cell; texts where none does, or two that do not mean the same."""
        if not self._some or not self._left or self._two_ways:
            return _TEXT
        return self._left[0]

    @property
    def said(self) -> str:
        """A note for the user on how the column is read."""
        if self._some and self._two_ways:
            return "its dates can be read in two ways and are kept as text; written as 2003-05-31 they are dates"
        return self.kind.said

    @property
    def _two_ways(self) -> bool:
        return self._left == [_DAYS_FIRST, _MONTHS_FIRST]


def _fits(kind: Kind, cell: str) -> bool:
    try:
        kind.read(cell)
    except ValueError:
        return False
    return True
