"""Directions in the space of a layer's channels, given by a vector or by name.

    Direction("features.10", vector)                    an objective
    Direction("features.10", vector, "stripes").save()  saved in directions.safetensors as features.10/stripes
    unit("features.10/stripes")                         read from there

Named directions are stored in files called `directions.safetensors`, in the current folder or in a store's folder. Such
a file has float32 vectors by text form and nothing else, so untrusted files are safe to read. The text form names a
layer and a direction, never a file, so a recipe or link cannot make triscope open a file.
"""

import base64
import binascii
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from triscope.errors import ObjectiveError, nearest
from triscope.images import open_regular, printable
from triscope.images.writing import write_file
from triscope.objectives.base import Activations, Need, Objective, Spatial, Sum, terms_of
from triscope.objectives.names import name_text
from triscope.objectives.units import Logit

if TYPE_CHECKING:
    from triscope.network import Network

#: The name of a file of directions.
FILE = "directions.safetensors"
_NAME = r"\w[\w.-]{0,99}"
_TEXT = re.compile(rf'(?P<layer>"(?:[^"]|"")*"|[^":@|]*[^":@|\s/])/(?P<name>{_NAME})')
_LARGEST_FILE = 256 << 20  # bytes
_LONGEST = 1 << 24  # entries of a vector

#: The directions of a recipe, while its result is computed again; then no file is read.
_recorded: ContextVar[Mapping[str, "Direction"] | None] = ContextVar("recorded", default=None)


@dataclass(frozen=True, repr=False, eq=False)
class Direction(Spatial):
    """The dot product of a layer's mean (B, C) with a vector: (B,).

    layer       the layer
    vector      (C,)
    name        letters, digits, _, . and -; gives it the text form LAYER/NAME, under which `save` stores it

    Raises ObjectiveError for other names.
    """

    layer: str
    vector: Tensor
    name: str = ""

    def __post_init__(self) -> None:
        if self.name and not re.fullmatch(_NAME, self.name):
            raise ObjectiveError(
                f"A direction's name has letters, digits, _, . and - only, such as stripes-2; not {self.name!r}."
            )

    @property
    def needs(self) -> frozenset[Need]:
        """The layer's mean."""
        return frozenset({Need(self.layer, "mean")})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    def __call__(self, activations: Activations) -> Tensor:
        """The dot product: (B,)."""
        values = activations[Need(self.layer, "mean")]
        return values @ self.vector.to(values)

    def map(self, activations: Activations) -> Tensor:
        """The dot product at every position: (B, h, w); (B, 1, 1) for a layer of vectors."""
        values = activations[Need(self.layer)]
        along = torch.einsum("bc...,c->b...", values, self.vector.to(values))
        return along if along.ndim == 3 else along[:, None, None]

    def bind(self, network: "Network") -> "Direction":
        """Itself. Raises ObjectiveError if the vector does not have one entry per channel of the layer."""
        channels = network.layer(self.layer).channels
        if tuple(self.vector.shape) != (channels,):
            raise ObjectiveError(
                f"A direction in {self.layer} of {network.name} has {channels} numbers; this one has the shape "
                f"{tuple(self.vector.shape)}."
            )
        return self

    def save(self, path: str | os.PathLike[str] = FILE, *, overwrite: bool = False) -> Path:
        """Add the direction to a file of directions under its text form. Returns the path of the file.

        path        the file, or its folder, such as a store's
        overwrite   replace another direction of that name

        Raises ObjectiveError if it has no name, is not a vector of finite numbers, or the name is taken, and
        OptionError if the file cannot be written.
        """
        if not self.name:
            raise ObjectiveError(
                "A direction needs a name to be saved, and this one has none: Direction(layer, vector, NAME)."
            )
        text, place = str(self), _file(path)
        known = load_directions(place) if place.exists() else {}
        vector = _checked(text, self.vector.detach().float().cpu(), "This direction")
        if text in known and not overwrite and not torch.equal(known[text].vector, vector):
            raise ObjectiveError(
                f"{printable(place)} already contains another direction {text}; choose another name, or overwrite=True."
            )
        kept = {name: one.vector for name, one in known.items()} | {text: vector.contiguous()}
        write_file(place, safetensors.torch.save(kept))
        return place

    def __str__(self) -> str:
        """LAYER/NAME; the same as `repr` without a name."""
        return f"{name_text(self.layer)}/{self.name}" if self.name else repr(self)


@dataclass(frozen=True, repr=False)
class NamedDirection(Objective):
    """A direction given by name only, in a text. `bind` reads its vector from the current folder or `folder`.

    If a network has a class called LAYER/NAME, `bind` returns that class.
    """

    layer: str
    name: str
    folder: Path | None = field(default=None, compare=False)

    @property
    def needs(self) -> frozenset[Need]:
        """The layer's mean."""
        return frozenset({Need(self.layer, "mean")})

    def __call__(self, activations: Activations) -> Tensor:
        """Raises ObjectiveError: its vector has not been read yet."""
        del activations
        raise ObjectiveError(f"The vector of {self} has not been read yet; call objective.bind(network) first.")

    def bind(self, network: "Network") -> Objective:
        """The direction of that name, or the class.

        Raises LayerNotFound if there is no such layer, and ObjectiveError if there is no such direction.
        """
        if any("/" in name for name in network.classes or ()):
            try:
                return Logit(f"{self.layer}/{self.name}").bind(network)
            except ObjectiveError:
                if self.layer not in network.layers:
                    raise
        network.layer(self.layer)
        return self.found().bind(network)

    def found(self) -> Direction:
        """The direction with its vector. Raises ObjectiveError if there is none of that name."""
        recorded = _recorded.get()
        if recorded is not None:
            return self.among(recorded)
        files = (folder / FILE for folder in (Path(), self.folder) if folder is not None)
        return self.among({text: one for file in files if file.exists() for text, one in load_directions(file).items()})

    def among(self, known: Mapping[str, Direction]) -> Direction:
        """The direction of that name among `known`. Raises ObjectiveError if there is none."""
        if str(self) not in known:
            raise ObjectiveError(
                f"There is no direction {self}.{nearest(str(self), known)} Direction(LAYER, VECTOR, NAME).save() saves "
                f"one, in {FILE} of the current folder or of a store."
            )
        return known[str(self)]

    def __str__(self) -> str:
        return f"{name_text(self.layer)}/{self.name}"


def load_directions(path: str | os.PathLike[str]) -> dict[str, Direction]:
    """The directions in a file of directions, or in that of a folder, by text form.

    Raises ObjectiveError if it is not such a file, or is damaged.
    """
    place = _file(path)
    label = printable(place)
    with open_regular(place, ObjectiveError) as file:
        if os.fstat(file.fileno()).st_size > _LARGEST_FILE:
            raise ObjectiveError(f"{label} is larger than {_LARGEST_FILE >> 20} MB and is not read.")
        data = file.read()
    try:
        return {text: _named(text, vector, label) for text, vector in safetensors.torch.load(data).items()}
    except (SafetensorError, KeyError, ValueError) as problem:
        raise ObjectiveError(f"{label} is not a file of directions, or is damaged.") from problem


def located(objective: Objective, folder: Path) -> Objective:
    """The objective with its named directions also looked for in `folder`."""
    return _replaced(objective, lambda one: replace(one, folder=folder))


def among(objective: Objective, known: Mapping[str, Direction]) -> Objective:
    """The objective with its named directions taken from `known`. Raises ObjectiveError if one is missing."""
    return _replaced(objective, lambda one: one.among(known))


def to_text(objective: Objective) -> dict[str, str]:
    """The vectors of an objective's named directions as a recipe stores them: base64 of float32, by text form."""
    terms = (getattr(one, "target", one) for _, one in terms_of(objective))  # the target of a similarity
    found = (one for one in terms if isinstance(one, Direction) and one.name)
    return {
        str(one): base64.b64encode(one.vector.detach().float().cpu().numpy().astype("<f4").tobytes()).decode("ascii")
        for one in found
    }


def from_text(known: Mapping[str, str]) -> dict[str, Direction]:
    """The directions that `to_text` has written. Raises ObjectiveError for anything else."""
    found = {}
    for text, numbers in known.items():
        try:
            vector = torch.from_numpy(np.frombuffer(base64.b64decode(numbers, validate=True), "<f4").astype(np.float32))
        except (binascii.Error, ValueError) as problem:
            raise ObjectiveError(f"The vector of the direction {printable(text[:100])} cannot be read.") from problem
        found[text] = _named(text, vector, "The recipe")
    return found


@contextmanager
def recorded(known: Mapping[str, Direction]) -> Iterator[None]:
    """Within this context, named directions are taken from `known`, and no file is read."""
    token = _recorded.set(known)
    try:
        yield
    finally:
        _recorded.reset(token)


def parse_direction(text: str) -> NamedDirection | None:
    """The direction for a text LAYER/NAME; None for any other text."""
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    layer = found["layer"]
    return NamedDirection(layer[1:-1].replace('""', '"') if layer.startswith('"') else layer, found["name"])


def _replaced(objective: Objective, change: Callable[[NamedDirection], Objective]) -> Objective:
    """The objective with `change` applied to each named direction in it."""
    if isinstance(objective, Sum):
        return Sum(tuple((weight, _replaced(term, change)) for weight, term in objective.terms))
    target: object = getattr(objective, "target", None)
    if isinstance(target, NamedDirection):  # the objective is a similarity
        return cast("Objective", replace(cast("Any", objective), target=change(target)))
    return change(objective) if isinstance(objective, NamedDirection) else objective


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE if Path(path).is_dir() else Path(path)


def _named(text: str, vector: Tensor, label: str) -> Direction:
    """A direction read from a file or recipe. Raises ObjectiveError if its name or vector is not valid."""
    found = parse_direction(text) if text.isprintable() else None
    if found is None or str(found) != text:
        raise ObjectiveError(
            f"{label} contains {printable(text[:100])!r}, which is not the name of a direction, LAYER/NAME."
        )
    return Direction(found.layer, _checked(text, vector, label), found.name)


def _checked(text: str, vector: Tensor, label: str) -> Tensor:
    if vector.ndim != 1 or not 0 < len(vector) <= _LONGEST or not vector.is_floating_point():
        raise ObjectiveError(
            f"{label} contains {text} in the shape {tuple(vector.shape)}, which is not a vector of numbers."
        )
    vector = vector.float()
    if not vector.isfinite().all():
        raise ObjectiveError(f"{label} contains {text} with numbers that are not finite.")
    return vector
