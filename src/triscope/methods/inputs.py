"""Inputs: what a method is asked about - a network or a store, images, a question - declared in its signature.

    def saliency(network: NetworkArg, images: ImagesArg, objective: ObjectiveArg = TOP_CLASS, ...) -> Heatmap: ...

The types in a signature are those that the function works with; callers may say the same in words, and an input turns
words into values before the function sees them. The command line, pages, recipes and `redo` read the declarations, so
that none of them knows a parameter by its name.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, get_args

from triscope.errors import OptionError
from triscope.images import printable, public_store
from triscope.images.samples import photo_file
from triscope.methods.options import Option
from triscope.network import Fit, ImageBatch, Network
from triscope.objectives.base import Objective
from triscope.objectives.parsing import resolve
from triscope.results import ImageNote, NetworkNote


class StoreLike(Protocol):
    """What a method of WHICH is given instead of a network: what one said, and a note of which it was."""

    path: Path

    @property
    def network(self) -> Network:
        """The network that made it, loaded when it is first asked for."""

    @property
    def note(self) -> NetworkNote:
        """What a recipe says of that network."""

    @property
    def precision(self) -> str:
        """The precision it was asked in."""


@dataclass(frozen=True)
class Asked:
    """What is asked: a network, several, or a store."""

    value: Any

    @property
    def network(self) -> Network:
        """The network that questions are resolved by: the one asked, the first of several, or the one behind a store,
        which is only loaded where it is needed.
        """
        first: Network | StoreLike = self.value[0] if isinstance(self.value, Sequence) else self.value
        return first if isinstance(first, Network) else first.network

    @property
    def folder(self) -> Path | None:
        """The store's folder, where a store is asked."""
        return None if isinstance(self.value, Network | Sequence) else self.value.path


@dataclass(frozen=True)
class Input:
    """One input. `many` allows several where one is usual; `help` describes it to a person at a terminal."""

    kind: ClassVar[str] = ""
    #: The type of what a caller may give, as `__init__.pyi` says it; of one, where there may be `many`.
    accepts: ClassVar[str] = "Any"
    many: bool = False
    help: str = ""

    def options(self) -> tuple[Option, ...]:
        """The options that come with it."""
        return ()

    def bind(self, value: Any, given: Mapping[str, Any], asked: Asked | None) -> Any:
        """The value that the function works with. `given` holds the options, `asked` what is asked."""
        del given, asked
        return value

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The images that it is, as a recipe names them."""
        del value
        return ()

    def recorded(self, value: Any) -> Any:
        """What a recipe holds of it among the options, or None."""
        del value


@dataclass(frozen=True)
class NetworkInput(Input):
    """The network that is asked; with `many`, several may be shown side by side."""

    kind = "network"
    accepts = "Network"


@dataclass(frozen=True)
class StoreInput(Input):
    """The store that is asked."""

    kind = "store"
    accepts = "Store"

    def recorded(self, value: StoreLike) -> str:
        """Where it is, as a file may tell it."""
        return public_store(value.path)


@dataclass(frozen=True)
class ImageInput(Input):
    """Pictures. `fit` is how they are fitted to the network, unless the caller says otherwise (where `fits` is set).

    With `separate`, several images stay several batches of one, of their own sizes; with `together`, the command line
    asks about all of them at once. An `argument` stands on the command line by itself even where it may be left out.
    `words` are values that stand for no image. `part` is what a recipe calls the image, where a method takes
    several kinds.
    """

    kind = "images"
    accepts = "Images"
    fit: Fit = "crop"
    fits: bool = True
    separate: bool = False
    together: bool = False
    argument: bool = False
    words: tuple[str, ...] = ()
    part: str = ""

    def options(self) -> tuple[Option, ...]:
        """How an image is fitted."""
        if not self.fits:
            return ()
        text = (
            "how the image is fitted to the network: crop (resized and cropped as in training), pad (the whole image "
            "on grey), keep (its own size)"
        )
        return (Option("fit", str, self.fit, text, get_args(Fit), of="fit"),)

    def bind(self, value: Any, given: Mapping[str, Any], asked: Asked | None) -> Any:
        """What the network sees of the images."""
        if value is None or (isinstance(value, str) and value in self.words):
            return value
        assert asked is not None
        network = asked.network
        fit = given.get("fit", self.fit) if self.fits else self.fit
        if not self.separate:
            return network.prepare(value, fit)
        several = value if isinstance(value, list | tuple) else [value]
        return tuple(network.prepare(one, fit) for one in several)

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The images, by name, file and hash."""
        batches = value if isinstance(value, tuple) else [value]
        return tuple(
            ImageNote(source.name, os.fspath(source.path) if source.path else None, source.sha256, self.part)
            for batch in batches
            if isinstance(batch, ImageBatch)
            for source in batch.sources
        )

    def recorded(self, value: Any) -> str | None:
        """The word that was given instead of an image."""
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class ObjectiveInput(Input):
    """The question: an objective, or a unit by its text form or class index. `word` is what help calls it."""

    kind = "objective"
    accepts = "ObjectiveLike"
    word: str = "UNIT"

    def bind(self, value: Any, given: Mapping[str, Any], asked: Asked | None) -> Objective | None:
        """The objective, its names resolved by the network that is asked."""
        del given
        return None if value is None or asked is None else resolve(value, asked.network, asked.folder)


@dataclass(frozen=True)
class LayerInput(Input):
    """A layer by name, or with `many` several. `of` says whose layers: those of the network, or those a store keeps.

    An `argument` stands on the command line by itself, without the name of an option.
    """

    kind = "layer"
    accepts = "str"
    of: str = "network"
    argument: bool = False

    def bind(self, value: Any, given: Mapping[str, Any], asked: Asked | None) -> Any:
        """The names, as a tuple where there may be several; in text they stand with commas between them."""
        del given, asked
        if value is None or not self.many:
            if value is not None and not isinstance(value, str):
                raise OptionError(f"A layer is given by its name, not as {value!r}.")
            return value
        names = value.split(",") if isinstance(value, str) else value
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise OptionError(f"Layers are given by their names, such as ['a', 'b']; not as {value!r}.")
        return tuple(name.strip() for name in names)

    def recorded(self, value: Any) -> Any:
        """The names."""
        return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class QueryInput(Input):
    """What a store is searched with: an image, the row of one in the store, or a vector."""

    kind = "query"
    accepts = "Query"

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The file that was asked about, where it is one."""
        if not isinstance(value, str | os.PathLike):
            return ()
        path = Path(photo_file(value))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return (ImageNote(printable(path.stem), os.fspath(path), digest),)

    def recorded(self, value: Any) -> Any:
        """The row, where it is one."""
        return value if isinstance(value, int) else None


@dataclass(frozen=True)
class Declared:
    """A parameter of a method that is an input."""

    name: str
    input: Input
    default: Any
    required: bool
    positional: bool

    @property
    def is_argument(self) -> bool:
        """Whether it stands on the command line by itself, without the name of an option."""
        return self.required or (isinstance(self.input, ImageInput) and self.input.argument)

    def to_json(self) -> dict[str, Any]:
        """The input as JSON can hold it, for pages and other programs."""
        extra = {"words": list(self.input.words)} if isinstance(self.input, ImageInput) and self.input.words else {}
        return {
            "name": self.name,
            "kind": self.input.kind,
            "many": self.input.many,
            "required": self.required,
            "help": self.input.help,
            **extra,
        }


NetworkArg: TypeAlias = Annotated[Network, NetworkInput()]
ImagesArg: TypeAlias = Annotated[ImageBatch, ImageInput(many=True, help="an image: a file, or - for stdin")]
WholeImagesArg: TypeAlias = Annotated[
    ImageBatch, ImageInput(many=True, fit="keep", help="an image: a file, or - for stdin")
]
ObjectiveArg: TypeAlias = Annotated[Objective, ObjectiveInput()]
LayerArg: TypeAlias = Annotated[str, LayerInput()]
LayersArg: TypeAlias = Annotated[tuple[str, ...], LayerInput(many=True)]
