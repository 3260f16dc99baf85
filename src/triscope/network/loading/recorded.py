"""Loading the network that a file names: a recipe in an image, or a store.

Such files may be untrusted, so nothing is executed, read or downloaded only because one of them names it. Networks of
triscope, torchvision and timm are loaded if their weights are on this machine or random. Python files, files of weights
and downloads have to be named by the user, too. `load` is only for names given by the user.
"""

import dataclasses
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from triscope.errors import NetworkError, TriscopeWarning, UnconfirmedNetwork
from triscope.images import bare_name, printable
from triscope.network.loading.stating import Statement
from triscope.network.loading.zoo import RANDOM, is_here, is_published, load
from triscope.network.network import Network

_PYTHON = re.compile(r"(?P<file>.+\.py):(?P<function>\w+)", re.DOTALL)


@dataclass(frozen=True)
class Said:
    """The user's choice of the network that a file names, as arguments of `load`; `beside` is that of further networks.

    All fields are None if the user has not chosen.
    """

    model: str | None = None
    weights: str | None = None
    arch: str | None = None
    device: str | None = None
    beside: "tuple[Said, ...]" = ()

    @property
    def named(self) -> str | None:
        """The name of the network, if the user has given one."""
        return self.arch if self.model is None else self.model

    def __bool__(self) -> bool:
        return self != UNSAID


UNSAID = Said()


@dataclass(frozen=True)
class Source:
    """How a network was loaded, as a file records it: untrusted arguments of `load`."""

    name: str
    weights: str | None = None
    seed: int = 0
    code: str | None = None
    stated: Mapping[str, Any] | None = None

    @property
    def statement(self) -> Statement:
        """What was stated of the network."""
        return Statement.read(self.stated)

    @classmethod
    def read(cls, recorded: object) -> "Source":
        """From a recorded mapping, whose other keys are ignored. Raises ValueError if it is not valid."""
        match recorded:
            case {"name": str(name), **rest} if not name.isspace():
                weights, seed = rest.get("weights"), rest.get("seed", 0)
                code, statement = rest.get("code"), Statement.read(rest.get("stated"))
                if isinstance(weights, str | None) and isinstance(code, str | None) and type(seed) is int:
                    return cls(name, weights, seed, code, statement.to_json())
        raise ValueError("no network")


def load_recorded(recorded: object, name: str, label: str, said: Said = UNSAID) -> Network:
    """The network `name` that the file `label` records, or that the user has chosen instead (`said`).

    Raises UnconfirmedNetwork if the user has to name it, and NetworkError if it cannot be read or loaded. The caller
    compares its weights with the recorded hash.
    """
    if said.named is None and recorded is None:
        raise UnconfirmedNetwork(
            f"{label} was made by {printable(name)}, a network made in Python",
            ["-m", "FILE.py:FUNCTION"],
            "Network(...)",
            "name it",
        )
    try:
        source = Source.read(recorded or {"name": name})
    except ValueError as error:
        raise NetworkError(
            f"What {label} records of its network cannot be read; name it yourself with -m, or network= in Python."
        ) from error
    again = source.statement.keywords()
    if said.named is not None:
        arch = None if said.model is None else said.arch
        network = load(said.named, weights=said.weights, arch=arch, device=said.device, seed=source.seed, **again)
        _compare_code(source, network, label)
        return network
    if not is_published(source.name) or (said.weights is None and source.weights not in (None, RANDOM)):
        raise _unconfirmed(source, label)
    weights = said.weights if said.weights is not None else source.weights
    if weights is None and not is_here(source.name):
        raise UnconfirmedNetwork(
            f"{label} was made by {source.name}, whose published weights are not on this machine",
            ["-m", source.name],
            f"ts.load({source.name!r})",
            "nothing is downloaded because a file names it; name it yourself",
        )
    return load(source.name, weights=weights, device=said.device, seed=source.seed, progress=False, **again)


def options_for(recorded: object) -> list[str]:
    """The command-line options for the parts of a recorded network that the user has to name: Python and weights files.

    Empty for published networks, even if their weights have to be downloaded.
    """
    source = Source.read(recorded)
    python = _PYTHON.fullmatch(source.name)
    words = ["-m", _shown_path(source.name)] if python else []
    return words + (["--weights", _shown_path(str(source.weights))] if source.weights not in (None, RANDOM) else [])


def _unconfirmed(source: Source, label: str) -> NetworkError:
    """The error that the user has to name this network, with the way to do so."""
    python = _PYTHON.fullmatch(source.name)
    if python is None and not is_published(source.name):
        return NetworkError(
            f"{label} was made by {printable(source.name)!r}, which is not a network that this version of triscope "
            "knows."
        )
    description, words = source.name, [repr(_shown_path(source.name))]
    if python:
        description = f"the function {python['function']} of the Python file {_shown_path(python['file'])}"
    if source.weights not in (None, RANDOM):
        description += f" with the weights in the file {_shown_path(str(source.weights))}"
        words.append(f"weights={_shown_path(str(source.weights))!r}")
    return UnconfirmedNetwork(
        f"{label} was made by {description}",
        options_for(dataclasses.asdict(source)),
        f"ts.load({', '.join(words)})",
        "no file is run or read only because another names it; if you know and trust it, name it yourself",
    )


def _compare_code(source: Source, network: Network, label: str) -> None:
    """Warn if the Python file that the user names differs from the recorded one."""
    code = (network.source or {}).get("code")
    if source.code is not None and code != source.code:
        warnings.warn(
            f"The Python file {_shown_path(source.name)} has changed since {label} was made; its weights are compared.",
            TriscopeWarning,
            stacklevel=3,
        )


def _shown_path(path: str) -> str:
    """A recorded path as it may be shown: whole if it is below the current folder, else only its last part."""
    parts = PurePosixPath(path).parts + PureWindowsPath(path).parts
    whole = ".." in parts or any(kind(path).anchor for kind in (PurePosixPath, PureWindowsPath))
    return printable(bare_name(path) if whole else path)
