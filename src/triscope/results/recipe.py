"""Recipes: which network, method, options and images made a result, as text in an image file.

A recipe is passed on with its image, so it tells nothing of whose it was: files are named by their way from the
current folder, or by their last part alone (`public_path`). And it comes from anywhere, so reading one is checking it:
of each field it is known what may stand there, and all else is refused.
What is read is still only a claim; `triscope.redoing` says what is done about it.
"""

import dataclasses
import io
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import PIL.Image
from PIL.ExifTags import IFD, Base

from triscope.errors import RecipeError
from triscope.images import printable, public_path

Style: TypeAlias = Literal["heat", "overlay", "side-by-side"]

#: What the recipe is called among the texts of a PNG. A JPEG or WebP has it as the comment of its EXIF.
KEY = "triscope"
_ASCII = b"ASCII\0\0\0"  # how a comment in EXIF says how it is written
#: The number of threads that a recipe may state.
THREADS = range(1, 4097)

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class NetworkNote:
    """Which network: its name, how `load` makes it (None where it was made in Python), and its weights."""

    name: str
    source: Mapping[str, Any] | None = None
    #: The hash of the weights; computed when the recipe is written, because it takes long. It gives
    #: None where the weights have been trained on since.
    weights: Callable[[], str | None] = lambda: None

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it, the files by their public paths."""
        source = None if self.source is None else public_source(self.source)
        return {"name": self.name, "source": source, "sha256": self.weights()}


@dataclass(frozen=True)
class ImageNote:
    """Which image; `part` is its role in a method that takes several: content, style, ..."""

    name: str
    path: str | None = None
    sha256: str | None = None
    part: str = ""

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it, the file by its public path."""
        return dataclasses.asdict(self) | {"path": public_path(self.path) if self.path else None}


@dataclass(frozen=True)
class Recipe:
    """Everything needed to recompute a result."""

    method: str
    networks: tuple[NetworkNote, ...]
    images: tuple[ImageNote, ...] = ()
    objective: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    style: Style | None = None
    precision: str = "float32"
    threads: int = 1
    version: str = ""
    #: The numbers of named directions that it asks for, by their text form: base64 of float32.
    directions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One JSON object, in which files stand by their public paths."""
        known = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        known["networks"] = [note.to_json() for note in self.networks]
        known["images"] = [note.to_json() for note in self.images]
        if not self.directions:
            del known["directions"]
        return json.dumps({"networks": known.pop("networks"), **known}, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote. Raises RecipeError where it is not one."""
        try:
            return _read(json.loads(text, parse_constant=_no_number))
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, _Wrong) else "it is not a JSON object as triscope writes it"
            raise RecipeError(
                f"This recipe cannot be read: {reason}. It is damaged, or another version of triscope made it."
            ) from error

    def to_exif(self) -> PIL.Image.Exif:
        """The recipe as the EXIF of a JPEG or WebP."""
        exif = PIL.Image.Exif()
        exif[Base.Software] = f"triscope {self.version}"
        exif.get_ifd(IFD.Exif)[Base.UserComment] = _ASCII + self.to_json().encode("ascii")
        return exif

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> "Recipe":
        """The recipe that an image carries: a PNG, JPEG or WebP. Raises RecipeError where there is none."""
        return _recipe_in(path, printable(path))

    @classmethod
    def of_bytes(cls, data: bytes) -> "Recipe":
        """The recipe that the content of such a file carries. Raises RecipeError where there is none."""
        return _recipe_in(io.BytesIO(data), "This image")


def _recipe_in(file: str | os.PathLike[str] | io.BytesIO, label: str) -> Recipe:
    try:
        with PIL.Image.open(file, formats=("PNG", "JPEG", "WEBP")) as image:
            image.load()
            text = getattr(image, "text", {}).get(KEY) or _comment(image)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise RecipeError(f"{label} cannot be read as a PNG, JPEG or WebP, so there is no recipe in it.") from error
    if text is None:
        raise RecipeError(f"{label} carries no recipe: triscope did not make it, or something has stripped it.")
    return Recipe.from_json(text)


def _comment(image: PIL.Image.Image) -> str | None:
    """The comment in an image's EXIF, where it looks like a recipe: cameras write comments too."""
    try:
        comment = image.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    except Exception:  # noqa: BLE001 - EXIF that is damaged fails in many ways, and holds no recipe
        return None
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII + b"{"):
        return None
    return comment.removeprefix(_ASCII).decode("ascii", errors="replace")


def public_source(source: Mapping[str, Any]) -> dict[str, Any]:
    """How a network was made, its files by their public paths."""
    files = {name: source[name] for name in ("name", "weights", "classes_file") if isinstance(source.get(name), str)}
    return {**source, **{name: public_path(path) for name, path in files.items()}}


class _Wrong(ValueError):
    """What is wrong with a recipe, as the end of a sentence."""


def _read(data: object) -> Recipe:
    known = _fields(data, "the recipe", {item.name for item in dataclasses.fields(Recipe)})
    networks = _items(known, "networks")
    if not networks:
        raise _Wrong("it names no network")
    style = known.get("style")
    if style is not None and style not in get_args(Style):
        raise _Wrong(f"style is {_shown(style)}, not one of {', '.join(get_args(Style))}")
    threads = known.get("threads", 1)
    if type(threads) is not int or threads not in THREADS:
        raise _Wrong(f"threads is {_shown(threads)}, not a number from {THREADS[0]} to {THREADS[-1]}")
    return Recipe(
        method=_text(known, "method"),
        networks=tuple(_network(note) for note in networks),
        images=tuple(_image(note) for note in _items(known, "images")),
        objective=_text_or_none(known, "objective"),
        directions=_texts(known.get("directions", {}), "directions"),
        options=_options(known.get("options", {})),
        style=style,
        precision=_text(known, "precision", "float32"),
        threads=threads,
        version=_text(known, "version", ""),
    )


def _network(data: object) -> NetworkNote:
    known = _fields(data, "a network", {"name", "source", "sha256"})
    source, digest = known.get("source"), _digest(known)
    if source is not None and not isinstance(source, dict):
        raise _Wrong(f"source is {_shown(source)}, not an object")
    for name in ("name", "weights", "code"):
        _text_or_none(source or {}, name)
    return NetworkNote(_text(known, "name"), source, lambda: digest)


def _image(data: object) -> ImageNote:
    known = _fields(data, "an image", {item.name for item in dataclasses.fields(ImageNote)})
    return ImageNote(_text(known, "name"), _text_or_none(known, "path"), _digest(known), _text(known, "part", ""))


def _options(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _Wrong(f"options is {_shown(data)}, not an object")
    for name, value in data.items():
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, str | int | float | None):
                raise _Wrong(f"the option {_shown(name)} is {_shown(value)}")
    return data


def _texts(data: object, name: str) -> dict[str, str]:
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise _Wrong(f"{name} is {_shown(data)}, not an object of texts")
    return data


def _fields(data: object, what: str, names: set[str]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _Wrong(f"{what} is {_shown(data)}, not an object")
    if unknown := sorted(data.keys() - names):
        raise _Wrong(f"{what} has a field {_shown(unknown[0])}")
    return data


def _items(known: dict[str, Any], name: str) -> list[Any]:
    value = known.get(name)
    if not isinstance(value, list):
        raise _Wrong(f"{name} is {_shown(value)}, not a list")
    return value


def _text(known: dict[str, Any], name: str, default: str | None = None) -> str:
    value = known.get(name, default)
    if not isinstance(value, str):
        raise _Wrong(f"{name} is {_shown(value)}, not a text")
    return value


def _text_or_none(known: dict[str, Any], name: str) -> str | None:
    return None if known.get(name) is None else _text(known, name)


def _digest(known: dict[str, Any]) -> str | None:
    value = _text_or_none(known, "sha256")
    if value is not None and _HASH.fullmatch(value) is None:
        raise _Wrong(f"sha256 is {_shown(value)}, not a hash of 64 digits")
    return value


def _no_number(word: str) -> float:
    raise _Wrong(f"it holds {word}, which is not a number")


def _shown(value: object, most: int = 40) -> str:
    """A value in an error's sentence, cut where it is long."""
    names = {dict: "an object", list: "a list", type(None): "nothing"}
    text = names.get(type(value)) or printable(repr(value))
    return text if len(text) <= most else f"{text[:most]}..."
