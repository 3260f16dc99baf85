"""The result of `judge`: a table of maps by numbers for each image, with means and confidence intervals."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor

from triscope.errors import OptionError
from triscope.metrics.baselines import BASELINES
from triscope.metrics.intervals import interval
from triscope.results import PerImage, Result

Number: TypeAlias = Literal[
    "insertion", "deletion", "road", "infidelity", "sensitivity_n", "class", "randomisation", "max_sensitivity",
    "pointing", "energy",
]  # fmt: skip
#: The numbers, and whether higher is better.
NUMBERS: dict[Number, bool] = {
    "insertion": True, "deletion": False, "road": True, "infidelity": False, "sensitivity_n": True, "class": False,
    "randomisation": False, "max_sensitivity": False, "pointing": True, "energy": True,
}  # fmt: skip
USUAL: tuple[Number, ...] = ("insertion", "deletion", "class")
_CLASS_BLIND = 0.9  # correlation with the map of another class above which a map does not depend on the class


@dataclass(frozen=True, eq=False)
class Judgement(Result):
    """The numbers of several maps, `values` (images, rows, columns); NaN where a number does not apply.

    `rows` name the methods and baselines, `columns` the numbers. `image` (images, C, H, W) are the preprocessed images,
    and `scores` (images,) the values of `objective` for them. The images of a collection are not kept: `image` is
    (images, C, 0, 0). Saved as .csv (a line per image and map) or .json.
    """

    rows: tuple[str, ...]
    columns: tuple[Number, ...]
    names: PerImage[tuple[str, ...]]
    image: PerImage[Tensor]
    scores: PerImage[Tensor]
    objective: PerImage[Any]
    kind: ClassVar[str] = "judgement"
    endings: ClassVar[tuple[str, ...]] = (".csv", ".json")
    usual_form: ClassVar[str] = ".csv"
    written: ClassVar[bool] = False

    def means(self) -> Tensor:
        """The means over images: (rows, columns)."""
        return self.values.nanmean(0)

    def intervals(self) -> Tensor:
        """Half the width of the 95 % confidence interval of each mean: (rows, columns), by Student's t over the images.

        NaN where fewer than two images have the number.
        """
        return interval(self.values)

    def sentence(self, row: str) -> str:
        """A row's means in words. Raises OptionError for an unknown row."""
        if row not in self.rows:
            raise OptionError(f"{row} was not judged; {', '.join(self.rows)} were.")
        place = self.rows.index(row)
        means = dict(zip(self.columns, self.means()[place].tolist(), strict=True))
        others = [index for index, name in enumerate(self.rows) if name in BASELINES]
        parts = []
        for column in ("insertion", "deletion"):
            if column in means and others:
                best = self.means()[others, self.columns.index(column)]
                limit = float(best.max() if NUMBERS[column] else best.min())
                beats = means[column] > limit if NUMBERS[column] else means[column] < limit
                parts.append(
                    f"{column} {means[column]:.2f} ({'beats' if beats else 'does not beat'} the baselines' {limit:.2f})"
                )
            elif column in means:
                parts.append(f"{column} {means[column]:.2f}")
        if not math.isnan(means.get("class", math.nan)):
            parts.append(
                "hardly depends on the class: do not read it as an explanation of the class"
                if self.is_class_blind(row)
                else f"correlation with the map of another class {means['class']:.2f}"
            )
        return "; ".join(parts)

    def is_class_blind(self, row: str) -> bool:
        """Whether the mean correlation with the map of another class is above 0.9; False without that number."""
        if "class" not in self.columns:
            return False
        return float(self.means()[self.rows.index(row), self.columns.index("class")]) > _CLASS_BLIND

    def summary(self) -> dict[str, Any]:
        """The number of images, and the means by row and column."""
        table = {
            row: dict(zip(self.columns, means, strict=True))
            for row, means in zip(self.rows, _json(self.means()), strict=True)
        }
        return {"images": len(self), "table": table, **super().summary()}

    def text(self) -> str:
        """The table of means, with confidence intervals where there are several images."""
        means, intervals = self.means(), self.intervals()
        arrows = {column: "higher is better" if NUMBERS[column] else "lower is better" for column in self.columns}
        wide = max(map(len, self.rows)) + 2
        lines = [" " * wide + "".join(f"{column:>20}" for column in self.columns)]
        lines.append(" " * wide + "".join(f"{arrows[column]:>20}" for column in self.columns))
        for place, row in enumerate(self.rows):
            cells = [
                _cell(float(means[place, column]), float(intervals[place, column]) if len(self) > 1 else None)
                for column in range(len(self.columns))
            ]
            lines.append(f"{row:<{wide}}" + "".join(f"{cell:>20}" for cell in cells))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """A table (.csv), or the numbers with the recipe (.json)."""
        return {".csv": self._csv, ".json": self._as_json}

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(("image", "map", *self.columns))
        for name, image in zip(self.names, _json(self.values), strict=True):
            writer.writerows((name, row, *numbers) for row, numbers in zip(self.rows, image, strict=True))
        return text.getvalue().encode()

    def _as_json(self) -> bytes:
        facts = {"images": self.names, "rows": self.rows, "columns": self.columns, "values": _json(self.values)}
        return json.dumps({**facts, "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()


def _cell(mean: float, half: float | None) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"


def _json(values: Tensor) -> Any:
    """Numbers as nested lists for JSON; NaN becomes None."""
    if values.ndim == 0:
        return None if bool(values.isnan()) else float(values)
    return [_json(one) for one in values]
