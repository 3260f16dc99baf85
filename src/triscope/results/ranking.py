"""Results that name the best of many."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from triscope.images import printable
from triscope.results.base import Result
from triscope.results.batch import PerImage
from triscope.results.drawing import Drawing
from triscope.results.notebook import page_of, table


@dataclass(frozen=True, eq=False)
class Ranking(Result):
    """The best of many: scores (B, k), best first, and the index and the name of each."""

    kind: ClassVar[str] = "ranking"
    endings: ClassVar[tuple[str, ...]] = (".json", ".csv")

    indices: PerImage[Tensor]
    names: PerImage[tuple[tuple[str, ...], ...]]
    usual_form: ClassVar[str] = ".json"
    written: ClassVar[bool] = False

    def summary(self) -> dict[str, Any]:
        """The entries of the first image."""
        return {"classes": self.rows()[0]}

    def text(self) -> str:
        """A table."""
        return str(self)

    @property
    def brief(self) -> str:
        """The first entry of one image; of several, how many there are."""
        first = f"{self.names[0][0]} {float(self.values[0, 0]):.3g}" if len(self) == 1 else f"{len(self)} images"
        return f"{first}, {self.values.shape[1]} entries each" if len(self) > 1 else first

    def drawing(self) -> Drawing | None:
        """The shares of each image, as bars; None where scores are no shares."""
        if bool(((self.values < 0) | (self.values > 1)).any()):
            return None
        rows = [[row | {"name": printable(row["name"])} for row in rows] for rows in self.rows()]
        return {"kind": "bars", "name": self.kind, "titles": [printable(one) for one in self._images], "rows": rows}

    def _repr_html_(self) -> str:
        """Bars for each image, in a frame of their own; a table where no script runs, or scores are no shares."""
        heads = ("score", "index", "name")
        tables = [[(f"{row['score']:.4f}", row["index"], row["name"]) for row in rows] for rows in self.rows()]
        told = "".join(table(heads, rows, image) for image, rows in zip(self._images, tables, strict=True))
        drawing = self.drawing()
        return told if drawing is None else page_of(drawing, told, repr(self).strip("<>"))

    def rows(self) -> list[list[dict[str, Any]]]:
        """For each image, its entries: index, name, score."""
        return [
            [{"index": index, "name": name, "score": score} for index, name, score in zip(*columns, strict=True)]
            for columns in zip(self.indices.tolist(), self.names, self.values.tolist(), strict=True)
        ]

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """Entries with the recipe, or a table."""
        return {".json": self._json, ".csv": self._csv}

    def _json(self) -> bytes:
        return json.dumps({"images": self.rows(), "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(("image", "rank", "index", "name", "score"))
        for image, rows in zip(self._images, self.rows(), strict=True):
            writer.writerows((image, rank + 1, *row.values()) for rank, row in enumerate(rows))
        return text.getvalue().encode()

    @property
    def _images(self) -> list[str]:
        """What each image is called: its name, or else its number in the batch."""
        known = self.recipe.images
        return (
            [note.name for note in known] if len(known) == len(self) else [str(number) for number in range(len(self))]
        )

    def __str__(self) -> str:
        tables = [
            "\n".join(f"{row['score']:7.4f}  {row['index']:>5}  {row['name']}" for row in rows) for rows in self.rows()
        ]
        if len(tables) == 1:
            return tables[0]
        return "\n\n".join(f"{image}\n{table}" for image, table in zip(self._images, tables, strict=True))
