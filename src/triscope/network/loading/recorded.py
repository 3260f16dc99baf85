"""The network that a file names: a recipe in an image, a store in a folder of photos.

Such files come from anywhere, so nothing is run, read or fetched because one of them names it. What triscope and its
libraries bring along is taken by itself: pocket, torchvision's and timm's networks, where their weights are on this
machine or random. A Python file, a file of weights and a download are for the user to name. `load` is for the user's
own words alone; what a file says goes through here.
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
    """What the user says of the network that a file names, in the words of `load`; `beside` is for further ones."""

    model: str | None = None
    weights: str | None = None
    arch: str | None = None
    device: str | None = None
    beside: "tuple[Said, ...]" = ()

    @property
    def named(self) -> str | None:
        """The network that is named, if one is."""
        return self.arch if self.model is None else self.model

    def __bool__(self) -> bool:
        return self != UNSAID


UNSAID = Said()


@dataclass(frozen=True)
class Source:
    """How a network was made, as a file records it: words of `load`, none of which has been trusted yet."""

    name: str
    weights: str | None = None
    seed: int = 0
    code: str | None = None
    stated: Mapping[str, Any] | None = None

    @property
    def statement(self) -> Statement:
        """What was said of the network."""
        return Statement.read(self.stated)

    @classmethod
    def read(cls, recorded: object) -> "Source":
        """Raises ValueError where it is none; what else stands there is of no meaning for us."""
        match recorded:
            case {"name": str(name), **rest} if not name.isspace():
                weights, seed = rest.get("weights"), rest.get("seed", 0)
                code, statement = rest.get("code"), Statement.read(rest.get("stated"))
                if isinstance(weights, str | None) and isinstance(code, str | None) and type(seed) is int:
                    return cls(name, weights, seed, code, statement.to_json())
        raise ValueError("no network")


def load_recorded(recorded: object, name: str, label: str, said: Said = UNSAID) -> Network:
    """The network `name` that the file `label` records; by what the user has said of it, where that is anything.

    Raises UnconfirmedNetwork where it is for the user to name, and NetworkError where it is none, or cannot be loaded.
    The weights are for the caller to compare with those recorded.
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
    """The options that name the parts of a recorded network that only the user may name: files, and what is in them.

    None are needed for a name that `load` knows by itself, which may still be one that has to be downloaded.
    """
    source = Source.read(recorded)
    python = _PYTHON.fullmatch(source.name)
    words = ["-m", _told(source.name)] if python else []
    return words + (["--weights", _told(str(source.weights))] if source.weights not in (None, RANDOM) else [])


def _unconfirmed(source: Source, label: str) -> NetworkError:
    """Why this source is for the user to name, and how."""
    python = _PYTHON.fullmatch(source.name)
    if python is None and not is_published(source.name):
        return NetworkError(
            f"{label} was made by {printable(source.name)!r}, which is not a network that this version of triscope "
            "knows."
        )
    told, words = source.name, [repr(_told(source.name))]
    if python:
        told = f"the function {python['function']} of the Python file {_told(python['file'])}"
    if source.weights not in (None, RANDOM):
        told += f" with the weights in the file {_told(str(source.weights))}"
        words.append(f"weights={_told(str(source.weights))!r}")
    return UnconfirmedNetwork(
        f"{label} was made by {told}",
        options_for(dataclasses.asdict(source)),
        f"ts.load({', '.join(words)})",
        "no file is run or read only because another names it; if you know and trust it, name it yourself",
    )


def _compare_code(source: Source, network: Network, label: str) -> None:
    """Warn where the Python file that the user names is not, byte for byte, the one that is recorded."""
    code = (network.source or {}).get("code")
    if source.code is not None and code != source.code:
        warnings.warn(
            f"The Python file {_told(source.name)} has changed since {label} was made; its weights are compared.",
            TriscopeWarning,
            stacklevel=3,
        )


def _told(path: str) -> str:
    """A recorded path as it may be shown: a way down from the current folder, or else its last part."""
    parts = PurePosixPath(path).parts + PureWindowsPath(path).parts
    whole = ".." in parts or any(kind(path).anchor for kind in (PurePosixPath, PureWindowsPath))
    return printable(bare_name(path) if whole else path)
