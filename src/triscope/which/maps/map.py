"""What `pca` and `tsne` return: a place in the plane for every image of a store, drawn with the images on it."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope import render
from triscope.errors import OptionError, StoreError, nearest
from triscope.images import read_image
from triscope.network import Images
from triscope.results import Drawn
from triscope.results.notebook import frame
from triscope.which.database.freed import give_back
from triscope.which.database.schema import Column
from triscope.which.maps.coloring import coloring, shown
from triscope.which.maps.grid_assignment import cells
from triscope.which.maps.kept import are_numbers, once
from triscope.which.maps.reduction import Coordinates
from triscope.which.search.neighbors import embed
from triscope.which.store import Store

if TYPE_CHECKING:
    from triscope.which.maps.page import Shown

Form: TypeAlias = Literal["map", "mosaic"]

#: How many images a page or an image shows; the others are points.
SHOWN = 20_000
_NEIGHBORS = 8
_MARGIN = 0.03
_GROUP = 128  # columns of distances that are compared at once
_GREY = (0.75, 0.75, 0.75)

#: Where new vectors (M, R), seen along the components, lie on a map: (M, 2).
Placing: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Map(Drawn):
    """A place (N, 2) of (x, y), y up, for each of the images `rows` of a store.

    `title` and `captions` say how it was made and how to read it. `kept` is the share of the variance that each
    principal component keeps. `form` says whether `draw` makes the map or a mosaic, on a square of `size` pixels;
    `color_by` which metadata its frames are coloured by. Saved as .html (a page with the images on it), as an image,
    .csv, .parquet or .npy.
    """

    kind: ClassVar[str] = "map"
    endings: ClassVar[tuple[str, ...]] = (".html", *Drawn.endings, ".csv", ".parquet")

    store: Store
    column: Column
    found: Coordinates
    title: str
    captions: tuple[str, ...]
    placing: Placing
    form: Form = "map"
    size: int = 2048
    color_by: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    usual_form: ClassVar[str] = ".html"
    asked_forms: ClassVar[Mapping[str, str]] = {
        "html": "write an HTML page with the images, to zoom, search and point at  [default]",
        "png": "write an image",
        "csv": "write a CSV table: row, name, x, y, metadata",
        "parquet": "write this table with the images as Parquet, for embedding-atlas and others",
    }

    def summary(self) -> dict[str, Any]:
        """How many images there are, and how to read the map."""
        return {"pictures": len(self), "captions": self.captions, **self.facts}

    @property
    def details(self) -> tuple[str, ...]:
        """The captions."""
        return self.captions

    @property
    def brief(self) -> str:
        """The method, and the number of images."""
        return f"{self.title}, {len(self)} images"

    def _repr_html_(self) -> str | None:
        """The page, for notebooks; a mosaic is shown as the image that it is."""
        return frame(self.forms[".html"](), self.title) if self.form == "map" else None

    def __getitem__(self, index: int) -> Self:
        """Raises OptionError: a map is one image, whose places mean nothing alone. `rows`, `names` and `values` have
        them.
        """
        raise OptionError("A map is one image, and no batch; rows, names and values say which image lies where.")

    @property
    def rows(self) -> NDArray[np.int64]:
        """The images' rows in the store (N,)."""
        return self.found.rows

    @property
    def kept(self) -> Tensor:
        """The part of all variance that each principal component keeps (R,)."""
        return self.found.kept

    @property
    def names(self) -> tuple[str, ...]:
        """The images' names."""
        return self.store.names(self.rows)

    @cached_property
    def known(self) -> dict[str, list[Any]]:
        """The metadata of each image: its folder, the predicted class, and the collection's fields."""
        names = [name for name in self.store.fields if name not in ("name", "width", "height", "size")]
        taken = self.store.table.take(self.rows, names)
        return {name: np.asarray(taken[name], object).tolist() for name in names}

    @cached_property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """The metadata that varies, as texts: the fields a page offers to colour by."""
        texts = {name: tuple(map(shown, values)) for name, values in self.known.items()}
        return {name: values for name, values in texts.items() if len(set(values)) > 1 or name == self.color_by}

    def transform(self, images: Images | Sequence[Any]) -> Tensor:
        """Where other images would lie on this map: (M, 2). The map itself stays as it is."""
        several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        vectors = torch.stack([embed(self.store, self.column, image)[0] for image in several])
        projected, _ = self.found.projection(vectors)
        return self.placing(projected)

    def neighbors(self, k: int = _NEIGHBORS) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The k images nearest to each along the principal components, as places in `rows` (N, k), and how far they
        are; -1 where there are not as many.
        """
        return _nearest(self.found.values, k)

    def mosaic(self) -> "Map":
        """The same, drawn as a mosaic: every image in a cell near its place."""
        return replace(self, form="mosaic")

    def montage(self) -> render.Montage:
        """The images on the map, or in the mosaic; those that there is no room for are grey dots."""
        kept = self.shown
        places = unit(self.values)
        tiles = []
        if self.form == "mosaic":
            grid, (rows, cols) = cells(places[kept])
            side = max(1, self.size // max(rows, cols))
            corners = grid * side + (np.array([self.size, self.size]) - side * np.array([rows, cols])) // 2
        else:
            side = int(np.clip(self.size / (1.6 * sqrt(max(len(kept), 1))), 12, 128))
            corners = np.rint(places[kept][:, ::-1] * (self.size - side)).astype(np.int64)
            dot = torch.tensor(_GREY)[:, None, None]
            across, down = np.rint(np.delete(places, kept, 0) * (self.size - 1)).astype(np.int64).T
            tiles = [render.Tile(dot, top, left) for top, left in zip(down.tolist(), across.tolist(), strict=True)]
        colours = self._colours()
        frame = max(1, side // 16) if colours else 0
        pictures = self.store.table.take(self.rows[kept], ["thumbnail"])["thumbnail"]
        for place, data, (top, left) in zip(kept.tolist(), pictures, corners.tolist(), strict=True):
            tile = render.square(read_image(data)[0], side)
            if colours:
                edge = torch.tensor(colours[place])[:, None, None]
                tile = torch.cat([edge.expand(3, frame, side), tile[:, frame:-frame], edge.expand(3, frame, side)], 1)
                tile[:, :, :frame] = edge
                tile[:, :, -frame:] = edge
            tiles.append(render.Tile(tile, top, left))
        return render.Montage(self.size, self.size, tuple(tiles))

    def draw(self) -> Tensor:
        """The images on the map, or in the mosaic, on white: (3, size, size) in [0, 1]."""
        return self.montage().paint()

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """A page with the images on it, an image, the raw values, or a table with or without the images."""
        return {".html": self._page, **super().forms, ".csv": self._csv, ".parquet": self._parquet}

    def _colours(self) -> list[tuple[float, ...]]:
        if self.color_by is None:
            return []
        check_field(self, self.color_by)
        colors = coloring(self.known[self.color_by]).colors
        return [tuple(part / 255 for part in bytes.fromhex(color.removeprefix("#"))) for color in colors]

    def _table(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"row": self.rows.tolist(), "name": list(self.names)}
        columns |= dict(zip("xy", self.values.T.tolist(), strict=True))
        return columns | self.known

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        columns = self._table()
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue().encode()

    def _parquet(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet

        columns = self._table()
        thumbnails = self.store.table.take(self.rows, ["thumbnail"])["thumbnail"]
        columns["image"] = [
            {"bytes": bytes(data), "path": name} for data, name in zip(thumbnails, columns["name"], strict=True)
        ]
        table = pa.table({name: pa.array(values) for name, values in columns.items()})
        recipe = {b"triscope": json.dumps(json.loads(self.recipe.to_json())).encode()}
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table.replace_schema_metadata(recipe), buffer)
        return buffer.getvalue()

    def _near(self, some: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The images nearest to each of some, for the page; those of a large store are kept with it."""

        def make() -> dict[str, Tensor]:
            indices, scores = _nearest(self.found.values[some], _NEIGHBORS)
            return {"indices": torch.from_numpy(indices), "scores": torch.from_numpy(scores)}

        def fits(known: Mapping[str, Tensor]) -> bool:
            indices, scores = known["indices"], known["scores"]
            shape = len(some), _NEIGHBORS
            plain = are_numbers(indices, shape, torch.int32) and are_numbers(scores, shape)
            return plain and bool(((indices >= -1) & (indices < len(some))).all())

        key = {"method": "near", "column": self.column.name, "pictures": len(some)}
        known = once(self.store, key, make, fits)
        return known["indices"].numpy(), known["scores"].numpy()

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """The places in `rows` of the images that a page shows, ascending; the others are points."""
        return sample(len(self.rows), SHOWN)

    def _page(self) -> bytes:
        from triscope.which.maps.page import page

        made = page(self.page_content())
        give_back()
        return made

    def page_content(self) -> "Shown":
        """What its page shows."""
        from triscope.which.maps.page import Shown
        from triscope.which.maps.page.sprites import sprites_of

        kept = self.shown
        rest = np.setdiff1d(np.arange(len(self.rows)), kept)
        places = unit(self.values)
        grid, shape = cells(places[kept])
        nearest_, far = self._near(kept)
        captions = self.captions
        if len(rest):
            captions += (f"{len(kept):,} images, chosen at random, are shown; the other {len(rest):,} are points.",)
        fields = {name: tuple(self.known[name][place] for place in kept) for name in self.fields}
        rows = self.rows[kept]
        return Shown(
            title=self.title,
            captions=captions,
            names=self.store.names(rows),
            thumbnails=sprites_of(self.store, rows),
            places=places[kept],
            cells=grid,
            grid=shape,
            neighbors=nearest_,
            scores=far,
            fields=fields,
            rest=places[rest],
            color_by=self.color_by,
            rows=tuple(rows.tolist()),
        )


def check_field(made: Map, name: str) -> tuple[str, ...]:
    """The values of a field as texts. Raises StoreError where the images have none of that name."""
    if name not in made.known:
        near = nearest(name, made.known)
        raise StoreError(f"The images have no field {name!r} to colour by.{near} They have {', '.join(made.known)}.")
    return tuple(map(shown, made.known[name]))


def unit(values: Tensor) -> NDArray[np.float32]:
    """Places (N, 2) brought into the unit square with their shape kept, (x, y) with y down."""
    points = values.detach().double().cpu().numpy() * (1, -1)
    if not len(points):
        return np.empty((0, 2), np.float32)
    low, high = points.min(0), points.max(0)
    span = float((high - low).max())
    if span == 0:
        return np.full(points.shape, 0.5, np.float32)
    centred = (points - (low + high) / 2) / span * (1 - 2 * _MARGIN) + 0.5
    places: NDArray[np.float32] = centred.astype(np.float32)
    return places


def sample(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` images are shown, at most `most`, in order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _nearest(values: Tensor, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    count = len(values)
    indices = np.full((count, k), -1, np.int32)
    scores = np.zeros((count, k), np.float32)
    most = min(k, count - 1)
    if most < 1:
        return indices, scores
    squares = values.square().sum(1)
    for start in range(0, count, 1024):
        block = values[start : start + 1024]
        distances = torch.addmm(squares, block, values.T, alpha=-2)  # less the square of the image's own length
        places = torch.arange(len(block))
        distances[places, start + places] = torch.inf
        best, where = _smallest(distances, most)
        indices[start : start + len(block), :most] = where.numpy()
        own = block.square().sum(1, keepdim=True)
        scores[start : start + len(block), :most] = (best + own).clamp_(min=0).sqrt().numpy()
    return indices, scores


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row of (n, m), ascending, and where they are.

    They lie in the k groups of columns whose own smallest are smallest, so that only these are sorted.
    """
    wide = _GROUP
    grouped = torch.nn.functional.pad(values, (0, -values.shape[1] % wide), value=torch.inf)
    grouped = grouped.reshape(len(values), -1, wide)
    if grouped.shape[1] <= k:
        return values.topk(k, largest=False, sorted=True)
    groups = grouped.amin(2).topk(k, largest=False).indices.sort(1).values
    few = grouped.gather(1, groups[:, :, None].expand(-1, -1, wide)).flatten(1)
    best, places = few.topk(k, largest=False, sorted=True)
    return best, groups.gather(1, places // wide) * wide + places % wide
