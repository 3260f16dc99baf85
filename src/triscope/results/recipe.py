"""Recipes: what a result was made by and from, as text that a PNG carries."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import PIL.Image

from triscope.errors import RecipeError
from triscope.images import printable

Style: TypeAlias = Literal["heat", "overlay", "side-by-side"]

#: What the recipe is called among the texts of a PNG.
KEY = "triscope"


@dataclass(frozen=True)
class NetworkNote:
    """Which network was asked: its name, how `load` makes it (None where it was made in Python), and its weights."""

    name: str
    source: Mapping[str, Any] | None = None
    #: The hash of the weights; asked for when the recipe is written, because hashing takes longer than asking. It gives
    #: None where the weights have been trained on since.
    weights: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class ImageNote:
    """Which picture was looked at; `part` is what it was to a method that takes several kinds: content, style, ..."""

    name: str
    path: str | None = None
    sha256: str | None = None
    part: str = ""


@dataclass(frozen=True)
class Recipe:
    """All it takes to make a result again."""

    method: str
    networks: tuple[NetworkNote, ...]
    images: tuple[ImageNote, ...] = ()
    objective: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    style: Style | None = None
    precision: str = "float32"
    threads: int = 1
    version: str = ""

    def to_json(self) -> str:
        """One JSON object."""
        networks = [{"name": net.name, "source": net.source, "sha256": net.weights()} for net in self.networks]
        rest = {item.name: getattr(self, item.name) for item in dataclasses.fields(self) if item.name != "networks"}
        rest["images"] = [dataclasses.asdict(image) for image in self.images]
        return json.dumps({"networks": networks, **rest}, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote. Raises RecipeError where it is not one."""
        try:
            data = json.loads(text)
            notes = tuple(
                NetworkNote(net["name"], net["source"], _constant(net["sha256"])) for net in data.pop("networks")
            )
            images = tuple(ImageNote(**image) for image in data.pop("images"))
            return cls(networks=notes, images=images, **data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecipeError(
                "The recipe in this picture cannot be read; another version of triscope may have made it."
            ) from error

    @classmethod
    def of_png(cls, path: str | os.PathLike[str]) -> "Recipe":
        """The recipe that a PNG carries. Raises RecipeError where there is none."""
        try:
            with PIL.Image.open(path, formats=("PNG",)) as image:
                image.load()
                text = getattr(image, "text", {}).get(KEY)
        except (OSError, SyntaxError, ValueError) as error:
            raise RecipeError(f"{printable(path)} cannot be read as a PNG, so there is no recipe in it.") from error
        if text is None:
            raise RecipeError(
                f"{printable(path)} carries no recipe: triscope did not make it, or something has stripped it."
            )
        return cls.from_json(text)


def _constant(value: str | None) -> Callable[[], str | None]:
    return lambda: value
