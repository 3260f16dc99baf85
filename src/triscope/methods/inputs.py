"""Inputs of methods - a network or a store, images, an objective, layers - declared in their signatures.

    def saliency(network: NetworkArg, images: ImagesArg, objective: ObjectiveArg = TOP_CLASS, ...) -> Heatmap: ...

The types in a signature are those that the function works with. Callers may give names, text forms and files instead,
which an input converts before the function is called. The command line, pages, recipes and `redo` read the
declarations, and so depend on no parameter by name.
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
    """What which-methods need of a store: where it is, and the network whose activations it holds."""

    path: Path

    @property
    def network(self) -> Network:
        """The network of the store, loaded on first use."""

    @property
    def note(self) -> NetworkNote:
        """The description of that network for recipes."""

    @property
    def precision(self) -> str:
        """The precision in which the activations were computed."""


@dataclass(frozen=True)
class Subject:
    """What a method analyses: a network, several networks, or a store."""

    value: Any

    @property
    def network(self) -> Network:
        """The network for which names are resolved: of several the first; of a store its own, loaded on first use."""
        first: Network | StoreLike = self.value[0] if isinstance(self.value, Sequence) else self.value
        return first if isinstance(first, Network) else first.network

    @property
    def folder(self) -> Path | None:
        """The folder of a store; None for networks."""
        return None if isinstance(self.value, Network | Sequence) else self.value.path


@dataclass(frozen=True)
class Input:
    """One input of a method. `many` allows several values; `help` is its help on the command line."""

    kind: ClassVar[str] = ""
    #: The type that callers may give, in `__init__.pyi`; with `many`, that of each value.
    accepts: ClassVar[str] = "Any"
    many: bool = False
    help: str = ""

    def options(self) -> tuple[Option, ...]:
        """The options that the input adds to a method."""
        return ()

    def bind(self, value: Any, given: Mapping[str, Any], subject: Subject | None) -> Any:
        """The value that the function receives, from what the caller gave.

        `given` has the options of the call, and `subject` the network or store if it precedes this input.
        """
        del given, subject
        return value

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The images in the value, described for a recipe."""
        del value
        return ()

    def recorded(self, value: Any) -> Any:
        """What a recipe records of the value among the options; None for nothing."""
        del value


@dataclass(frozen=True)
class NetworkInput(Input):
    """The network that a method analyses; with `many`, one or several."""

    kind = "network"
    accepts = "Network"


@dataclass(frozen=True)
class StoreInput(Input):
    """The store that a method analyses."""

    kind = "store"
    accepts = "Store"

    def recorded(self, value: StoreLike) -> str:
        """Its path, without private parts."""
        return public_store(value.path)


@dataclass(frozen=True)
class ImageInput(Input):
    """Images.

    fit         how images are fitted to the network by default
    fits        whether the method gets an option `fit`
    separate    pass several images as separate batches of one, each of its own size, instead of one batch
    together    on the command line, call the method once for all images instead of once for each
    argument    a positional argument on the command line, even if it is optional
    words       values that are passed on as they are, such as "auto"
    part        the name of the image in a recipe, for methods with several kinds of images
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
        """The option `fit`."""
        if not self.fits:
            return ()
        text = (
            "how the image is fitted to the network: crop (resized and cropped as in training), pad (the whole image "
            "on grey), keep (its own size)"
        )
        return (Option("fit", str, self.fit, text, get_args(Fit), of="fit"),)

    def bind(self, value: Any, given: Mapping[str, Any], subject: Subject | None) -> Any:
        """The preprocessed images: a batch, or with `separate` a tuple of batches of one."""
        if value is None or (isinstance(value, str) and value in self.words):
            return value
        assert subject is not None
        network = subject.network
        fit = given.get("fit", self.fit) if self.fits else self.fit
        if not self.separate:
            return network.prepare(value, fit)
        several = value if isinstance(value, list | tuple) else [value]
        return tuple(network.prepare(one, fit) for one in several)

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The name, file and hash of each image."""
        batches = value if isinstance(value, tuple) else [value]
        return tuple(
            ImageNote(source.name, os.fspath(source.path) if source.path else None, source.sha256, self.part)
            for batch in batches
            if isinstance(batch, ImageBatch)
            for source in batch.sources
        )

    def recorded(self, value: Any) -> str | None:
        """The word that was given instead of an image, if any."""
        return value if isinstance(value, str) else None


@dataclass(frozen=True)
class ObjectiveInput(Input):
    """An objective, or the text form or class index of one. `word` is its placeholder in the help."""

    kind = "objective"
    accepts = "ObjectiveLike"
    word: str = "UNIT"

    def bind(self, value: Any, given: Mapping[str, Any], subject: Subject | None) -> Objective | None:
        """The objective, bound to the network."""
        del given
        return None if value is None or subject is None else resolve(value, subject.network, subject.folder)


@dataclass(frozen=True)
class LayerInput(Input):
    """The name of a layer, or with `many` of several.

    of          whose layers: "network", or those that are kept in a "store"
    argument    a positional argument on the command line
    """

    kind = "layer"
    accepts = "str"
    of: str = "network"
    argument: bool = False

    def bind(self, value: Any, given: Mapping[str, Any], subject: Subject | None) -> Any:
        """The name, or with `many` a tuple of names; a text may have several, separated by commas."""
        del given, subject
        if value is None or not self.many:
            if value is not None and not isinstance(value, str):
                raise OptionError(f"A layer must be given by its name, not as {value!r}.")
            return value
        names = value.split(",") if isinstance(value, str) else value
        if not names or not all(isinstance(name, str) and name.strip() for name in names):
            raise OptionError(f"Layers must be given by their names, such as ['a', 'b'], not as {value!r}.")
        return tuple(name.strip() for name in names)

    def recorded(self, value: Any) -> Any:
        """The name or names."""
        return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class QueryInput(Input):
    """The query of a search in a store: an image, the row of an image in the store, or a vector."""

    kind = "query"
    accepts = "Query"

    def images(self, value: Any) -> tuple[ImageNote, ...]:
        """The query's file, if it is one."""
        if not isinstance(value, str | os.PathLike):
            return ()
        path = Path(photo_file(value))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return (ImageNote(printable(path.stem), os.fspath(path), digest),)

    def recorded(self, value: Any) -> Any:
        """The query's row, if it is one."""
        return value if isinstance(value, int) else None


@dataclass(frozen=True)
class Declared:
    """A parameter of a method that is an input.

    required    whether it has no default
    positional  whether it may be passed by position in Python
    """

    name: str
    input: Input
    default: Any
    required: bool
    positional: bool

    @property
    def is_argument(self) -> bool:
        """Whether it is a positional argument on the command line."""
        return self.required or (isinstance(self.input, ImageInput) and self.input.argument)

    def to_json(self) -> dict[str, Any]:
        """The declaration as JSON-compatible values, for pages and other programs."""
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
