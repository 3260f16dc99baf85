"""What is stated of a network when it is loaded: its input, its class names, and which tensor is its output.

By options on the command line, and by keyword arguments of `load`; recipes record it for `redo`.
"""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from torch import nn

from triscope.errors import NetworkError
from triscope.images import open_regular, printable
from triscope.network.network import Network
from triscope.network.normalisation import Statistic

_MOST_CLASSES = 1_000_000
_MOST_BYTES = 1 << 26


_RECORDED = frozenset({"size", "mean", "std", "classes", "output"})


class Stated(TypedDict, total=False):
    """The arguments of `load` that describe a network.

    size        default size of images, in pixels: a number, or (rows, columns).
    mean, std   the normalisation, per channel or one number for all, for images in [0, 1].
    classes     the class names in order, or a text file with one per line.
    output      which tensor of the module's return value is its output: a key, attribute or index, dotted if nested.
    """

    size: int | tuple[int, int] | None
    mean: Statistic | None
    std: Statistic | None
    classes: Sequence[str] | str | os.PathLike[str] | None
    output: str | None


@dataclass(frozen=True)
class Statement:
    """The checked values of `Stated`; None for what was not stated. `classes_file` is the file of the class names."""

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    output: str | None = None
    classes_file: str | None = None

    @classmethod
    def of(cls, said: Stated) -> "Statement":
        """From the arguments of `load`. Raises NetworkError if a file of classes cannot be read."""
        size, classes = said.get("size"), said.get("classes")
        file = os.fspath(classes) if isinstance(classes, str | os.PathLike) else None
        names = classes if classes is None or isinstance(classes, Sequence) else ()
        names = read_classes(file) if file is not None else names
        return cls(
            size=(size, size) if isinstance(size, int) else size,
            mean=_numbers(said.get("mean")),
            std=_numbers(said.get("std")),
            classes=None if names is None else tuple(str(name) for name in names),
            output=said.get("output"),
            classes_file=None if file is None else str(Path(file).absolute()),
        )

    @classmethod
    def read(cls, recorded: object) -> "Statement":
        """From a recipe, which has the class names themselves, so no file is read. Raises ValueError if not valid."""
        if recorded is None:
            return cls()
        match recorded:
            case {**known} if set(known) <= _RECORDED:
                size, mean, std = (_tuple(known.get(name)) for name in ("size", "mean", "std"))
                classes, output = _tuple(known.get("classes")), known.get("output")
                if (
                    (
                        size is None
                        or (len(size) == 2 and all(type(side) is int and 0 < side < 1 << 16 for side in size))
                    )
                    and all(type(one) in (int, float) for one in (*(mean or ()), *(std or ())))
                    and all(isinstance(name, str) for name in classes or ())
                    and isinstance(output, str | None)
                ):
                    return cls(size, mean, std, classes, output)
        raise ValueError("no statement")

    def to_json(self) -> dict[str, Any]:
        """The stated values as JSON-compatible ones, for recipes."""
        known = {name: value for name, value in dataclasses.asdict(self).items() if name in _RECORDED}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in known.items() if value}

    def keywords(self) -> Stated:
        """The stated values as keyword arguments of `load`."""
        return cast("Stated", self._settings())

    def words(self) -> list[str]:
        """The stated values as options of the command line."""
        said: list[tuple[str, str]] = []
        said += [("--input-size", "x".join(map(str, dict.fromkeys(self.size))))] if self.size else []
        for name, values in (("--mean", self.mean), ("--std", self.std)):
            said += [(name, ",".join(f"{value:.9g}" for value in values))] if values else []
        if self.classes:
            plain = len(self.classes) > 1 and not any("," in name or name != name.strip() for name in self.classes)
            named = ",".join(self.classes) if plain and self.classes[0][:1] != "[" else json.dumps(self.classes)
            said.append(("--classes", self.classes_file or named))
        said += [("--output-key", self.output)] if self.output else []
        return [word for pair in said for word in pair]

    def made(self, module: nn.Module) -> Network:
        """The network of a module; its `assumed` lists the defaults that were used."""
        network = Network(module, **self._settings())
        rows, cols = network.size
        channels = f"{network.channels} channel{'s' * (network.channels != 1)}"
        parts = [f"{rows} x {cols} pixels of {channels}"] if self.size is None else []
        parts += (
            ["values in [0, 1] as they are, without mean and std"] if self.mean is None and self.std is None else []
        )
        parts += ["classes without names"] if self.classes is None else []
        network.assumed = tuple(parts)
        return network

    def about(self, network: Network) -> Network:
        """A network like this one with the stated values; itself if nothing was stated."""
        stated = self._settings()
        if not stated:
            return network
        settings = network.settings | stated
        if self.size:  # these were for the other size
            settings |= {"resize": None, "tokens": None}
        made = Network(network.module, **settings)
        made.source = network.source
        return made

    def _settings(self) -> dict[str, Any]:
        known = {name: getattr(self, name) for name in _RECORDED}
        known |= {
            name: value[0] for name, value in known.items() if name in ("mean", "std") and value and len(value) == 1
        }
        return {name: value for name, value in known.items() if value is not None}


def read_classes(file: str) -> list[str]:
    """The class names in a text file, one per line; empty lines at the end are ignored.

    Raises NetworkError if the file cannot be read, or has none.
    """
    with open_regular(file, NetworkError) as opened:
        data = opened.read(_MOST_BYTES + 1)
    try:
        names = [line.strip() for line in data.decode("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise NetworkError(f"{printable(file)} is not a text file with one class name per line.") from error
    if not names or len(names) > _MOST_CLASSES or len(data) > _MOST_BYTES:
        raise NetworkError(f"{printable(file)} has {len(names)} class names; give a text file with one per line.")
    return names


def _numbers(statistic: Statistic | None) -> tuple[float, ...] | None:
    if statistic is None:
        return None
    return tuple(map(float, statistic)) if isinstance(statistic, Sequence) else (float(statistic),)


def _tuple(value: object) -> tuple[Any, ...] | None:
    """A recorded list as a tuple. Raises ValueError for anything else."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or len(value) > _MOST_CLASSES:
        raise ValueError("no list")
    return tuple(value)
