"""Results that can be drawn."""

import dataclasses
import io
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from triscope import render
from triscope.errors import OptionError
from triscope.images import printable, to_pil
from triscope.results import drawing as drawings
from triscope.results.base import Result
from triscope.results.batch import PerImage
from triscope.results.notebook import shown
from triscope.results.recipe import KEY, Style

_QUALITY = 92  # of JPEG and WebP, of 100
_MOST_EXIF = 65_500  # bytes that a JPEG has room for


@dataclass(frozen=True, eq=False)
class Drawn(Result):
    """A result that can be drawn. It is saved as an image, with its recipe, or as .npy, the raw values."""

    kind: ClassVar[str] = "image"
    endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".webp", ".npy")

    #: The channels of the network's images that are shown, as (red, green, blue), or one in grey; None: the usual.
    show: tuple[int, ...] | None = field(default=None, kw_only=True)

    def visible(self, picture: Tensor) -> Tensor:
        """An image of the network's channels (C, H, W) as colours (3, H, W)."""
        return render.visible(picture, self.show)

    @abstractmethod
    def draw(self) -> Tensor:
        """The image (3, H, W) in [0, 1] that `save` writes; several results make a mosaic."""

    def montage(self) -> render.Montage:
        """The image (3, H, W) as its parts, and where they lie on it."""
        whole = self.draw()
        return render.Montage(whole.shape[-2], whole.shape[-1], (render.Tile(whole),))

    def png(self) -> bytes:
        """The image as a PNG that carries the recipe. The same result gives the same bytes."""
        info = PngInfo()
        info.add_text(KEY, self.recipe.to_json())
        buffer = io.BytesIO()
        to_pil(self.draw()).save(buffer, "PNG", pnginfo=info)
        return buffer.getvalue()

    def jpeg(self) -> bytes:
        """The image as a JPEG of high quality, its colours at full size, that carries the recipe.

        Raises OptionError where the recipe is too long for one.
        """
        return self._photo("JPEG", subsampling=0)

    def webp(self) -> bytes:
        """The image as a WebP of high quality that carries the recipe."""
        return self._photo("WEBP")

    def _photo(self, form: str, **how: Any) -> bytes:
        exif = self.recipe.to_exif()
        if form == "JPEG" and len(exif.tobytes()) > _MOST_EXIF:
            raise OptionError("The recipe of this image is longer than a JPEG can carry; save it as .png or .webp.")
        buffer = io.BytesIO()
        to_pil(self.draw()).save(buffer, form, quality=_QUALITY, exif=exif, **how)
        return buffer.getvalue()

    def npy(self) -> bytes:
        """The raw values as NumPy writes them."""
        buffer = io.BytesIO()
        np.save(buffer, self.values.detach().cpu().numpy())
        return buffer.getvalue()

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """An image with its recipe, or the raw values."""
        return {
            ".png": self.png, ".jpg": self.jpeg, ".jpeg": self.jpeg, ".webp": self.webp, ".npy": self.npy,
        }  # fmt: skip

    def drawing(self) -> drawings.Drawing | None:
        """What the scripts of pages draw it from, besides its PNG; None where the PNG is enough."""
        return None

    def photos(self) -> list[Tensor]:
        """The photos (3, H, W) under the maps of its `drawing`."""
        return []

    def _repr_png_(self) -> bytes | None:
        """The image, for notebooks; None where the drawing in a frame has it, so that they are half as large."""
        return self.png() if self._in_a_frame() is None else None

    def _repr_html_(self) -> str | None:
        """The drawing in a frame of its own, for notebooks."""
        found = self._in_a_frame()
        return None if found is None else shown(found, self.png(), repr(self).strip("<>"), self.photos())

    def _in_a_frame(self) -> drawings.Drawing | None:
        return self.drawing() if self.drawable else None


@dataclass(frozen=True, eq=False)
class Heatmap(Drawn):
    """Where: raw values (B, C, H, W) over `image` (B, channels, H, W), what the network saw.

    `boxes` say where that lies in each original image; `scores` (B,) is the objective's answer; `asked` names the
    unit of each image in words. C is 1, or that of the image where the colour of the gradient is kept.
    """

    kind: ClassVar[str] = "heatmap"

    image: PerImage[Tensor]
    boxes: PerImage[tuple[Any, ...]]
    scores: PerImage[Tensor]
    objective: PerImage[Any]
    asked: PerImage[tuple[str, ...]]

    def summary(self) -> dict[str, Any]:
        """The units, the scores, and the scale."""
        return {
            "asked": list(self.asked),
            "unit": str(self.objective),
            "score": self.scores.tolist(),
            "scale": self.scale,
            **super().summary(),
        }

    @property
    def details(self) -> tuple[str, ...]:
        """The score, and the scale."""
        return (f"{self.asked[0]}: score {self.scores[0]:.4g}, the strongest colour stands for {self.scale:.3g}",)

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

    @property
    def brief(self) -> str:
        """The unit, the score and the size, of one image; of several, how many there are."""
        size = " x ".join(map(str, self.values.shape[-2:]))
        if len(self) != 1:
            return f"{len(self)} images of {size}"
        return f"{self.asked[0]}, score {float(self.scores[0]):.4g}, {size}"

    def drawing(self) -> drawings.Drawing:
        """Its maps, whose numbers are read from the colours of the PNG."""
        read = "colours" if self.values.shape[1] == 1 else "rgb"
        says = [f"{asked}: score {score:.4g}" for asked, score in zip(self.asked, self.scores.tolist(), strict=True)]
        maps = [
            drawings.one_map(asked, said, tile, self.scale, signed=self.signed, read=read)
            for asked, said, tile in zip(self.asked, says, self.montage().tiles, strict=True)
        ]
        size = list(self.values.shape[-2:])
        return {"kind": "maps", "name": self.recipe.method or self.kind, "size": size, "style": "heat", "maps": maps}

    def photos(self) -> list[Tensor]:
        """What the network saw, in colours."""
        return [self.visible(image.float()) for image in self.image]

    def overlay(self) -> "Picture":
        """The map over the image, as clear as it is weak."""
        return self.styled("overlay")

    def side_by_side(self) -> "Picture":
        """The image, and the map beside it."""
        return self.styled("side-by-side")

    def styled(self, style: Style) -> "Picture":
        """The map as pixels: by itself (`heat`), over the image (`overlay`), or beside it (`side-by-side`)."""
        if style not in get_args(Style):
            raise OptionError(f"A heatmap is drawn as {', '.join(get_args(Style))}, not {style!r}.")
        shown = [
            _styled(self._heat(values.float()), values, self.scale, self.visible(image.float()), style)
            for values, image in zip(self.values, self.image, strict=True)
        ]
        return Picture(torch.stack(shown), recipe=dataclasses.replace(self.recipe, style=style))

    def montage(self) -> render.Montage:
        """Each map in colours."""
        return render.montage([self._heat(values.float()) for values in self.values])

    def draw(self) -> Tensor:
        """The map in colours, (3, H, W); several make a mosaic.

        One channel: red raises the score, blue lowers it; dark to light where nothing is negative. Several channels:
        grey is zero.
        """
        return self.montage().paint()

    def _heat(self, values: Tensor) -> Tensor:
        if len(values) > 1:
            return self.visible((0.5 + values / (2 * self.scale)).clamp(0, 1))
        return render.signed(values[0], self.scale) if self.signed else render.unsigned(values[0], self.scale)


@dataclass(frozen=True, eq=False)
class Picture(Drawn):
    """Pixels: (B, C, H, W) in [0, 1], of the network's channels, or in colours."""

    def montage(self) -> render.Montage:
        """Each image by itself."""
        return render.montage([self.visible(pixels) for pixels in self.values])

    def draw(self) -> Tensor:
        """The images, as a mosaic where there are several."""
        return self.montage().paint()


@dataclass(frozen=True, eq=False)
class Grid(Drawn):
    """Many small images of one thing: `values` are raw, `images` (3, h, w) are how they are drawn.

    `titles` name them, `note` says how they are scaled; `scale` is what the strongest colour stands for, where that is
    the same in all of them. A vector is drawn as one image; `units` say which channels its numbers are of.
    """

    pictures: PerImage[tuple[Tensor, ...]]
    titles: PerImage[tuple[str, ...]]
    note: str
    columns: int | None = None
    scale: float | None = None
    units: tuple[int, ...] = ()

    def summary(self) -> dict[str, Any]:
        """How the images are scaled."""
        return {"note": self.note}

    @property
    def brief(self) -> str:
        """How many small images, and of what size: "192 of 27 x 27"."""
        return f"{len(self)} of {' x '.join(map(str, self.values.shape[1:]))}"

    def __getitem__(self, index: int) -> Self:
        """One of the small images. Raises OptionError where there is not one for each of the `values`."""
        if len(self.pictures) != len(self):
            raise OptionError(
                f"These {len(self)} are drawn as {len(self.pictures)} images, so that none of them can be taken out; "
                "`values` has their numbers."
            )
        return super().__getitem__(index)

    def drawing(self) -> drawings.Drawing | None:
        """Its images with the numbers of each, where there is one for each of the `values`; or those of a vector."""
        values, tiles = self.values, self.montage().tiles
        told = {
            "kind": "tiles",
            "name": self.recipe.method or self.kind,
            "says": self.note,
            "layer": "",
            "count": len(values),
            "scale": self.scale or 1.0,
            "signed": bool((values < 0).any()),
            "read": self.scale is not None,
        }
        if values.ndim == 1 and len(tiles) == 1 and len(self.units) == len(values):
            columns = min(64, len(values))
            side = tiles[0].picture.shape[-1] // columns
            vector = {"name": f"{printable(self.titles[0])}:", "numbers": self.units, "side": side, "columns": columns}
            return {**told, "height": 1, "width": 1, "max": drawings.rounded(values), "vector": vector}
        several = len(values) == len(tiles) == len(self.titles)
        if values.ndim < 3 or not several or (values.ndim == 4 and values.shape[1] not in (1, 3)):
            return None
        titles, places = [printable(title) for title in self.titles], [drawings.place(tile) for tile in tiles]
        size = {"height": values.shape[-2], "width": values.shape[-1], "titles": titles, "places": places}
        return {**told, **size, **drawings.statistics(values)}

    def montage(self) -> render.Montage:
        """The images, row by row."""
        return render.montage(self.pictures, self.columns)

    def draw(self) -> Tensor:
        """The mosaic, on white."""
        return self.montage().paint()


def _styled(heat: Tensor, values: Tensor, scale: float, image: Tensor, style: Style) -> Tensor:
    if style == "heat":
        return heat
    if style == "side-by-side":
        return render.side_by_side(image, render.resize(heat, image.shape[-2], image.shape[-1]))
    strength = (values.float().abs().amax(0) / scale).clamp(0, 1)
    pale = image.mean(0, keepdim=True).expand(3, -1, -1) * 0.6 + 0.4
    return render.overlay(pale, heat, 0.9 * strength.sqrt())
