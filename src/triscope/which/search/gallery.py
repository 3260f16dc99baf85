"""What WHICH methods return: images of the collection, best first, each with its row, its name and its score."""

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from triscope import render
from triscope.network import Box
from triscope.results import Drawn, PerImage

_GAP = 12  # pixels between the query and what was found
_SMALLEST = 64  # pixels on the longer side of what is drawn


@dataclass(frozen=True, eq=False)
class Gallery(Drawn):
    """Images of a store, best first: `values` (k,) are their scores, `rows` (k,) their rows in the store.

    `images` (3, h, w) in [0, 1] are small copies, or what was cut out of them: then `boxes` say where that lies in
    what the network saw. `groups` (k,) say what belongs together. `query` is the image that was asked about, if there
    was one. `score` says what the values are.
    """

    kind: ClassVar[str] = "gallery"
    endings: ClassVar[tuple[str, ...]] = (*Drawn.endings, ".json", ".csv")

    rows: PerImage[tuple[int, ...]]
    names: PerImage[tuple[str, ...]]
    pictures: PerImage[tuple[Tensor, ...]]
    score: str
    boxes: PerImage[tuple[Box | None, ...]] = ()
    positions: PerImage[tuple[tuple[int, int] | None, ...]] = ()
    groups: PerImage[tuple[int, ...]] = ()
    query: Tensor | None = None
    objective: Any = None

    def entries(self) -> list[dict[str, Any]]:
        """One mapping for each image: rank, row, name, score, and where there is one its position and box."""
        found = []
        for place, (row, name, value) in enumerate(zip(self.rows, self.names, self.values.tolist(), strict=True)):
            entry: dict[str, Any] = {"rank": place + 1, "row": row, "name": name, "score": value}
            position = self.positions[place] if self.positions else None
            box = self.boxes[place] if self.boxes else None
            entry |= {"group": self.groups[place]} if self.groups else {}
            if position is not None:
                entry |= {"at": list(position)}
            if box is not None:
                entry |= {"box": dataclasses.astuple(box)}
            found.append(entry)
        return found

    def summary(self) -> dict[str, Any]:
        """What was found, and what the scores are."""
        return {"score": self.score, "found": self.entries(), **super().summary()}

    def text(self) -> str:
        """A table."""
        return str(self) if self.rows else "nothing was found"

    @property
    def drawable(self) -> bool:
        """Whether anything was found."""
        return bool(self.rows)

    def montage(self) -> render.Montage:
        """The images row by row, small ones enlarged, the query at their left."""
        if not self.pictures:
            raise ValueError("There is no image to draw: nothing was found.")
        found = render.montage([render.enlarge(picture, _factor(picture)) for picture in self.pictures])
        if self.query is None:
            return found
        rows, columns = self.query.shape[-2:]
        height, left = max(found.height, rows), columns + _GAP
        lower = (height - found.height) // 2
        moved = (tile._replace(top=tile.top + lower, left=tile.left + left) for tile in found.tiles)
        return render.Montage(height, left + found.width, (render.Tile(self.query, (height - rows) // 2), *moved))

    def draw(self) -> Tensor:
        """The images as a mosaic, small ones enlarged, the query at its left."""
        return self.montage().paint()

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """An image where there are some, the raw values, entries with the recipe, or a table."""
        drawn = super().forms if self.pictures else {".npy": self.npy}
        return {**drawn, ".json": self._json, ".csv": self._csv}

    def _json(self) -> bytes:
        facts = {"score": self.score, "found": self.entries(), "notes": list(self.notes)}
        return json.dumps({**facts, "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        columns = ("rank", "row", "name", "score", *(("group",) if self.groups else ()))
        writer.writerow(columns)
        writer.writerows([entry[column] for column in columns] for entry in self.entries())
        return text.getvalue().encode()

    def __str__(self) -> str:
        group = {True: "{group:>4}  ", False: ""}[bool(self.groups)]
        return "\n".join((group + "{score:9.4f}  {row:>6}  {name}").format(**entry) for entry in self.entries())


def _factor(picture: Tensor) -> int:
    """How many times as large a patch of a few pixels is drawn, so that it can be seen."""
    return max(1, _SMALLEST // max(picture.shape[-2:]))
