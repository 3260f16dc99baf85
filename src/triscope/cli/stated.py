"""Option values that describe a network: sizes, statistics, names of classes."""

import json
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import click

from triscope.errors import NetworkError
from triscope.network.loading.stating import read_classes


class _Words(click.ParamType[Any], ABC):
    """A parsed option value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; other types than str are values already."""
        return self.read(value, param, ctx) if isinstance(value, str) else value

    @abstractmethod
    def read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value of a word."""


class Size(_Words):
    """`64`, or `64x96`: rows and columns."""

    name = "size"

    def read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(rows, columns)."""
        match = re.fullmatch(r"(\d{1,5})(?:[x,](\d{1,5}))?", text.strip().lower())
        sides = [int(side) for side in match.groups() if side] if match else [0]
        if min(sides) < 1:
            self.fail(f"{text!r} is not a size, such as 64, or 64x96 (rows x columns).", param, ctx)
        return sides[0], sides[-1]


class Numbers(_Words):
    """`0.5`, or `0.485,0.456,0.406`."""

    name = "numbers"

    def read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers."""
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            self.fail(f"{text!r} is not a number, nor several separated by commas.", param, ctx)


class Classes(_Words):
    """A file with a name in each line, names with commas between them, or a list in JSON."""

    name = "classes"

    def read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The file, or the names."""
        if Path(text).is_file():
            try:
                read_classes(text)
            except NetworkError as error:
                self.fail(str(error), param, ctx)
            return text
        if text.startswith("["):
            return self._json(text, param, ctx)
        if "," not in text:
            self.fail(f"There is no file {text!r}; several names are separated by commas.", param, ctx)
        return tuple(name.strip() for name in text.split(","))

    def _json(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        try:
            names = json.loads(text)
        except ValueError:
            names = None
        if not names or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fail(f"{text[:40]!r} is not a list of names in JSON.", param, ctx)
        return tuple(names)
