"""What a method returns: numbers that can be drawn, saved, and made again.

    Result              values, recipe; save, [i]
    ├── Drawn           can be drawn: save as PNG, notebook display
    │   ├── Heatmap     where: signed values over what was seen
    │   ├── Grid        many small pictures: filters, activation maps
    │   └── Picture     pixels
    └── Ranking         the best of many, with their scores

`values` are raw. They are normalised only when drawn, and the scale is stated. A PNG carries its recipe as text, so
that `triscope redo x.png` makes it again.
"""

import csv
import dataclasses
import io
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
import PIL.Image
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from triscope import render
from triscope.errors import OptionError, RecipeError
from triscope.images import printable, to_pil

Style: TypeAlias = Literal["heat", "overlay", "side-by-side"]

_KEY = "triscope"


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
                text = getattr(image, "text", {}).get(_KEY)
        except (OSError, SyntaxError, ValueError) as error:
            raise RecipeError(f"{printable(path)} cannot be read as a PNG, so there is no recipe in it.") from error
        if text is None:
            raise RecipeError(
                f"{printable(path)} carries no recipe: triscope did not make it, or something has stripped it."
            )
        return cls.from_json(text)


@dataclass(frozen=True, eq=False)
class Result(ABC):
    """Numbers, and the recipe that made them."""

    values: Tensor
    recipe: Recipe = field(default=Recipe("", ()), kw_only=True)

    @abstractmethod
    def encode(self, suffix: str) -> bytes | None:
        """The result as a file of this kind (".png"), or None where it has no such form."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file of the kind its ending names; returns the path. What was there is replaced.

        Raises OptionError for endings that this kind of result does not have.
        """
        path = Path(path)
        data = self.encode(path.suffix.lower())
        if data is None:
            known = ", ".join(
                suffix
                for suffix in (".html", ".png", ".npy", ".json", ".csv", ".parquet")
                if self.encode(suffix) is not None
            )
            raise OptionError(f"A {type(self).__name__} is saved as {known}, not as {printable(path.name)}.")
        write_file(path, data)
        return path

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Self:
        """The result of one image of the batch."""
        index = range(len(self))[index]
        one: dict[str, Any] = {
            item.name: value[index : index + 1]
            for item in dataclasses.fields(self)
            if isinstance(value := getattr(self, item.name), Tensor | tuple)
            and len(value) == len(self)
            and item.name != "notes"
        }
        images = self.recipe.images
        recipe = dataclasses.replace(
            self.recipe,
            images=images[index : index + 1] if len(images) == len(self) else images,
            objective=_one_of(self.recipe.objective, index),
        )
        return dataclasses.replace(self, **one, recipe=recipe)


@dataclass(frozen=True, eq=False)
class Drawn(Result):
    """A result that can be drawn. It is saved as .png, with its recipe, or as .npy, the raw values."""

    @abstractmethod
    def draw(self) -> Tensor:
        """The picture (3, H, W) in [0, 1] that `save` writes; several results make a mosaic."""

    def png(self) -> bytes:
        """The picture as a PNG that carries the recipe. The same result gives the same bytes."""
        info = PngInfo()
        info.add_text(_KEY, self.recipe.to_json())
        buffer = io.BytesIO()
        to_pil(self.draw()).save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()

    def encode(self, suffix: str) -> bytes | None:
        """As .png or .npy."""
        if suffix == ".npy":
            buffer = io.BytesIO()
            np.save(buffer, self.values.detach().cpu().numpy())
            return buffer.getvalue()
        return self.png() if suffix == ".png" else None

    def _repr_png_(self) -> bytes:
        return self.png()


@dataclass(frozen=True, eq=False)
class Heatmap(Drawn):
    """Where: raw values (B, C, H, W) over `image` (B, 1 or 3, H, W), what the network saw.

    `boxes` say where that lies in each original picture; `scores` (B,) is the objective's answer; `asked` names the
    unit of each image in words; `notes` are sentences about the result that a reader should know. C is 1, or 3 where
    the colour of the gradient is kept.
    """

    image: Tensor
    boxes: tuple[Any, ...]
    scores: Tensor
    objective: Any
    asked: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, index: int) -> Self:
        """The result of one image of the batch, with what was asked of that image."""
        one = super().__getitem__(index)
        objective = self.objective.of(range(len(self))[index])
        recipe = dataclasses.replace(one.recipe, objective=str(objective))
        return dataclasses.replace(one, objective=objective, recipe=recipe)

    @property
    def signed(self) -> bool:
        """Whether any value is negative."""
        return bool((self.values < 0).any())

    @property
    def scale(self) -> float:
        """The magnitude that is drawn in full colour: the 99.5th percentile of what is not zero.

        (An inner neuron sees only a part of the image, and zeros elsewhere would make that part too bright.)
        """
        return render.scale_of(self.values[self.values != 0], 99.5)

    def overlay(self) -> "Picture":
        """The map over the picture, as clear as it is weak."""
        return self.styled("overlay")

    def side_by_side(self) -> "Picture":
        """The picture, and the map beside it."""
        return self.styled("side-by-side")

    def styled(self, style: Style) -> "Picture":
        """The map as pixels: by itself (`heat`), over the picture (`overlay`), or beside it (`side-by-side`)."""
        if style not in get_args(Style):
            raise OptionError(f"A heatmap is drawn as {', '.join(get_args(Style))}, not {style!r}.")
        maps = (_heat(values.float(), self.scale, self.signed) for values in self.values)
        shown = [
            _styled(heat, values, self.scale, _colour(image.float()), style)
            for heat, values, image in zip(maps, self.values, self.image, strict=True)
        ]
        return Picture(torch.stack(shown), recipe=dataclasses.replace(self.recipe, style=style))

    def draw(self) -> Tensor:
        """The map in colours, (3, H, W); several make a mosaic.

        One channel: red raises the score, blue lowers it; dark to light where nothing is negative. Three channels: grey
        is zero.
        """
        return render.grid([_heat(values.float(), self.scale, self.signed) for values in self.values])


@dataclass(frozen=True, eq=False)
class Picture(Drawn):
    """Pixels: (B, 1 or 3, H, W) in [0, 1]."""

    def draw(self) -> Tensor:
        """The pictures, as a mosaic where there are several."""
        return render.grid([_colour(pixels) for pixels in self.values])


@dataclass(frozen=True, eq=False)
class Grid(Drawn):
    """Many small pictures of one thing: `values` are raw, `pictures` (3, h, w) are how they are drawn.

    `titles` name them, `note` says how they are scaled.
    """

    pictures: tuple[Tensor, ...]
    titles: tuple[str, ...]
    note: str
    columns: int | None = None

    def draw(self) -> Tensor:
        """The mosaic, on white."""
        return render.grid(self.pictures, self.columns)


@dataclass(frozen=True, eq=False)
class Ranking(Result):
    """The best of many: scores (B, k), best first, and for each the index and the name of what has it."""

    indices: Tensor
    names: tuple[tuple[str, ...], ...]

    def rows(self) -> list[list[dict[str, Any]]]:
        """For each image, its entries: index, name, score."""
        return [
            [{"index": index, "name": name, "score": score} for index, name, score in zip(*columns, strict=True)]
            for columns in zip(self.indices.tolist(), self.names, self.values.tolist(), strict=True)
        ]

    def encode(self, suffix: str) -> bytes | None:
        """As .json, with the recipe, or as .csv."""
        if suffix == ".json":
            return json.dumps({"images": self.rows(), "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()
        if suffix == ".csv":
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerow(("image", "rank", "index", "name", "score"))
            for image, rows in enumerate(self.rows()):
                writer.writerows((image, rank + 1, *row.values()) for rank, row in enumerate(rows))
            return text.getvalue().encode()
        return None

    def __str__(self) -> str:
        return "\n\n".join(
            "\n".join(f"{row['score']:7.4f}  {row['index']:>5}  {row['name']}" for row in rows) for rows in self.rows()
        )


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises OptionError where the folder does not take it."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".triscope-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error


def _styled(heat: Tensor, values: Tensor, scale: float, image: Tensor, style: Style) -> Tensor:
    if style == "heat":
        return heat
    if style == "side-by-side":
        return render.side_by_side(image, render.resize(heat, image.shape[-2], image.shape[-1]))
    strength = (values.float().abs().amax(0) / scale).clamp(0, 1)
    pale = image.mean(0, keepdim=True).expand(3, -1, -1) * 0.6 + 0.4
    return render.overlay(pale, heat, 0.9 * strength.sqrt())


def _heat(values: Tensor, scale: float, signed: bool) -> Tensor:
    if len(values) == 3:
        return (0.5 + values / (2 * scale)).clamp(0, 1)
    values = values.sum(0) if len(values) > 1 else values[0]
    return render.signed(values, scale) if signed else render.unsigned(values, scale)


def _colour(pixels: Tensor) -> Tensor:
    return pixels.expand(3, -1, -1) if len(pixels) == 1 else pixels


def _one_of(objective: str | None, index: int) -> str | None:
    """The part of "281|285" that asks about image `index`; see triscope.objectives.text."""
    if objective is None or "|" not in objective:
        return objective
    prefix, colon, classes = objective.rpartition(":")
    return prefix + colon + classes.split("|")[index]


def _constant(value: str | None) -> Callable[[], str | None]:
    return lambda: value


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
