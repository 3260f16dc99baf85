"""Options: the keyword arguments of a method, read from its signature, with their types, ranges, choices and help.

    steps: Annotated[int, Range(1, 100_000)] = 256              a number in a range
    steps: Annotated[int, Range(1, 100)] | Literal["auto"]      a number, or a word instead
    style: Literal["heat", "overlay"] = "heat"                  one of several choices
    layers: Annotated[Sequence[str] | None, ...] = None         a list; "a,b" in text
    memory: Annotated[int | None, Bytes()] = None               bytes; "2G" in text
    diverse: Annotated[int, Range(1, 64), Offered(1, 4)] = 1    values that a page offers directly
    regulariser: Annotated[Regulariser, Group(PRESETS)] = ...   a frozen dataclass, whose fields are options too

The help of an option is in the method's docstring, on a line of the form `name    what it does`; that of an option that
many methods share is in its type (`Help`).
"""

import dataclasses
import math
import operator
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from triscope.errors import OptionError, nearest

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Range:
    """The smallest and largest allowed value of a number option: `Annotated[int, Range(1, 100)]`."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True)
class Help:
    """The help of an option that many methods share."""

    text: str


@dataclass(frozen=True)
class Offered:
    """Values of a number option that a page offers directly, outside the list of options: `Offered(1, 4, 9)`."""

    values: tuple[int, ...]

    def __init__(self, *values: int) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True)
class Bytes:
    """Marks an option as a number of bytes, which a text may give as 800M or 2G."""


@dataclass(frozen=True)
class RunOnly:
    """Marks an option that affects how a job runs, not its result; recipes do not record it, and `redo` refuses it."""


@dataclass(frozen=True)
class Spelled:
    """The name of an option on the command line, if the parameter's name has another meaning there."""

    name: str


@dataclass(frozen=True)
class Formerly:
    """The name of an option in earlier versions; recipes and commands may still use it."""

    name: str


@dataclass(frozen=True)
class Group:
    """A group of options: the fields of a frozen dataclass, each of which is an option of the method.

    Callers pass the dataclass, or its fields as keyword arguments, or both. With `presets`, the parameter itself is
    also an option: the name of a preset, whose values are the defaults of the fields.
    """

    presets: Mapping[str, Any] = field(default_factory=dict)


Steps: TypeAlias = Annotated[int, Range(1, 100_000), Help("number of steps")]
Seed: TypeAlias = Annotated[int, Range(0, 2**62), Help("random seed")]
BatchSize: TypeAlias = Annotated[int, Range(1, 1024), Help("number of images per forward pass")]
Rate: TypeAlias = Annotated[float | None, Range(0, 1e6), Help("step size of the optimiser")]
Checkpoint: TypeAlias = Annotated[
    str | None, RunOnly(), Help("save the job to this file, and resume from it if it exists")
]


@dataclass(frozen=True)
class Option:
    """One option of a method.

    type        int, float, bool or str; with `many`, the type of each item of a list
    words       words that are allowed instead of a number
    bytes       whether a text such as 2G is converted to a number of bytes
    recorded    whether recipes record it
    of          the parameter of the function: the option itself, or the group whose field it is
    formerly    its name in earlier versions
    spelled     its name on the command line, if it differs
    offered     values that a page offers directly
    """

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    range: Range | None = None
    words: tuple[str, ...] = ()
    many: bool = False
    bytes: bool = False
    recorded: bool = True
    of: str = ""
    formerly: str | None = None
    spelled: str | None = None
    offered: tuple[int, ...] = ()

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return f"--{(self.spelled or self.name).replace('_', '-')}"

    def read(self, value: Any) -> Any:
        """The value for the function, converted and checked. Raises OptionError if it is not allowed.

        A list may be given as a text with commas, a number of bytes as 2G or 800M.
        """
        if value is None and self.default is None:
            return None
        if self.many:
            items = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
            if not isinstance(items, Sequence) or not items:
                raise OptionError(f"{self.name} must be a list of {_plural(self.type)}, not {value!r}.")
            return tuple(self._one(self._parsed(item)) for item in items)
        return self._one(_bytes_of(self.name, value) if self.bytes else value)

    def to_json(self) -> dict[str, Any]:
        """The option as JSON-compatible values, for pages and other programs."""
        return {
            "name": self.name,
            "type": "bytes" if self.bytes else self.type.__name__,
            "many": self.many,
            "default": list(self.default) if self.many and self.default is not None else self.default,
            "choices": list(self.choices),
            "words": list(self.words),
            "range": [self.range.least, self.range.most] if self.range else None,
            "help": self.help,
            "recorded": self.recorded,
            "offered": list(self.offered),
        }

    def _parsed(self, item: Any) -> Any:
        """An item of a list, converted from text if it is a number."""
        if not isinstance(item, str) or self.type is str:
            return item
        try:
            return self.type(item)
        except ValueError as error:
            raise OptionError(f"{self.name} must be a list of {_plural(self.type)}, not {item!r}.") from error

    def _one(self, value: Any) -> Any:
        if isinstance(value, str) and value in self.words:
            return value
        if self.choices and value not in self.choices:
            near = nearest(str(value), self.choices) if isinstance(value, str) else ""
            raise OptionError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}.{near}")
        number = int | float if self.type is float else self.type
        if not isinstance(value, number) or (isinstance(value, bool) and self.type is not bool):
            words = "".join(f" or {word}" for word in self.words)
            raise OptionError(f"{self.name} must be of type {self.type.__name__}{words}, not {value!r}.")
        if self.range and not self.range.least <= typing.cast("float", value) <= self.range.most:
            raise OptionError(f"{self.name} must be in the range {self.range}, not {value!r}.")
        return value


def read_option(name: str, hint: Any, default: Any, text: str, *, of: str = "") -> Option:
    """The option declared by a parameter or field: its name, type, default and help; `of` is its group."""
    kind, words = _without_words(hint)
    kind, extras = unwrapped(kind)
    found = {type(extra): extra for extra in extras}
    many = isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Sequence)
    if many:
        kind, inner = unwrapped(get_args(kind)[0])
        found = {type(extra): extra for extra in inner} | found
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Option(
        name,
        str if choices else kind,
        default,
        text or (found[Help].text if Help in found else ""),
        choices,
        found.get(Range),
        words,
        many=many,
        bytes=Bytes in found,
        recorded=RunOnly not in found,
        of=of or name,
        formerly=found[Formerly].name if Formerly in found else None,
        spelled=found[Spelled].name if Spelled in found else None,
        offered=found[Offered].values if Offered in found else (),
    )


def group_options(name: str, kind: type, group: Group, default: Any, texts: Mapping[str, str]) -> Iterator[Option]:
    """The options that a group adds to a method: the name of a preset, if it has presets, and its fields.

    `texts` are the help texts of the method's docstring; those of the dataclass's docstring are used for other fields.
    """
    if group.presets:
        preset = next((key for key, value in group.presets.items() if value == default), None)
        yield Option(name, str, preset, texts.get(name, ""), tuple(group.presets), of=name)
    hints = typing.get_type_hints(kind, include_extras=True)
    own = {
        name: text for base in reversed(kind.__mro__) for name, text in described(cleandoc(base.__doc__ or "")).items()
    }
    for item in dataclasses.fields(kind):
        value = None if group.presets else getattr(default, item.name)
        text = texts.get(item.name) or own.get(item.name, "")
        yield read_option(item.name, hints[item.name], value, text, of=name)


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without `Annotated` and `None` around it, and its annotations."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        kind, more = unwrapped(inner)
        return kind, (*more, *extras)
    if get_origin(hint) in (Union, UnionType):
        parts = [part for part in get_args(hint) if part is not NoneType]
        if len(parts) == 1:
            return unwrapped(parts[0])
    return hint, ()


def _without_words(hint: Any) -> tuple[Any, tuple[str, ...]]:
    """The number's type, and the words that are allowed instead, of `int | Literal["auto"]`."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    literals = [part for part in parts if get_origin(part) is Literal]
    others = [part for part in parts if part not in literals]
    if not literals or all(part is NoneType for part in others):
        return hint, ()
    return reduce(operator.or_, others), tuple(word for part in literals for word in get_args(part))


def described(doc: str) -> dict[str, str]:
    """The help texts in a docstring: lines `name    what it does`, with indented continuation lines."""
    texts: dict[str, str] = {}
    current: list[str] = []
    for line in doc.splitlines():
        if start := re.fullmatch(r"(\w+(?:, \w+)*) {3,}(\S.*)", line):
            current = start[1].split(", ")
            texts |= dict.fromkeys(current, start[2])
        elif current and line.startswith("    "):
            texts |= {name: f"{texts[name]} {line.strip()}" for name in current}
        else:
            current = []
    return texts


def _plural(kind: type) -> str:
    return {str: "words", int: "whole numbers", float: "numbers"}.get(kind, kind.__name__)


def _bytes_of(name: str, value: Any) -> Any:
    """The number of bytes for a text such as 2G; other values unchanged."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG])(?:i?B)?", value.strip(), re.IGNORECASE)
    if match is None or not float(match[1]) or not math.isfinite(float(match[1])):
        raise OptionError(f"{name} must be a number of megabytes or gigabytes, such as 800M or 2G, not {value!r}.")
    return int(float(match[1]) * _UNITS[match[2].upper()])
