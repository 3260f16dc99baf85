"""What is said of a network beside its name: its input, the names of its classes, and which tensor is its output.

The command line says it in options, `load` in keywords, and a recipe records it, so that `redo` says the same.
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
    """What may be said of any network that is loaded.

    size        the usual input, in pixels: a number, or (rows, columns).
    mean, std   per channel, or one number for all, for images in [0, 1].
    classes     the names of the classes in order, or a file that has one in each line.
    output      which tensor of what the module returns is its output: a key, attribute or index, dotted for what lies
                deeper.
    """

    size: int | tuple[int, int] | None
    mean: Statistic | None
    std: Statistic | None
    classes: Sequence[str] | str | os.PathLike[str] | None
    output: str | None


@dataclass(frozen=True)
class Statement:
    """What was said, as values; None is left as it is. `classes_file` is where the names were read from."""

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    output: str | None = None
    classes_file: str | None = None

    @classmethod
    def of(cls, said: Stated) -> "Statement":
        """Words as values. Raises NetworkError where a file of classes cannot be read."""
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
        """What a recipe records; the names of classes stand there, no file is read. Raises ValueError for others."""
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
        """What was said, as JSON can hold it."""
        known = {name: value for name, value in dataclasses.asdict(self).items() if name in _RECORDED}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in known.items() if value}

    def keywords(self) -> Stated:
        """What was said, as `load` takes it."""
        return cast("Stated", self._settings())

    def words(self) -> list[str]:
        """The same as options of a command."""
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
        """A network of a bare module; `assumed` tells what nobody has said of it."""
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
        """A network like this one, with what was said; itself where nothing was."""
        said = self._settings()
        if not said:
            return network
        settings = network.settings | said
        if self.size:  # what holds for the other size only
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
    """The names of classes in a text file, one in each line; lines at the end may be empty. Raises NetworkError."""
    with open_regular(file, NetworkError) as opened:
        data = opened.read(_MOST_BYTES + 1)
    try:
        names = [line.strip() for line in data.decode("utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise NetworkError(
            f"{printable(file)} is not a text file with the names of classes, one in each line."
        ) from error
    if not names or len(names) > _MOST_CLASSES or len(data) > _MOST_BYTES:
        raise NetworkError(f"{printable(file)} holds {len(names)} names of classes; give one in each line.")
    return names


def _numbers(statistic: Statistic | None) -> tuple[float, ...] | None:
    if statistic is None:
        return None
    return tuple(map(float, statistic)) if isinstance(statistic, Sequence) else (float(statistic),)


def _tuple(value: object) -> tuple[Any, ...] | None:
    """A recorded list. Raises ValueError for anything else."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or len(value) > _MOST_CLASSES:
        raise ValueError("no list")
    return tuple(value)
