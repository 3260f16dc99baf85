"""Judging attributions: many methods on some images, each with the numbers that say whether to believe its map.

Beside the methods stand maps that know nothing of the network (random, a centred Gaussian, edges). Over several images,
each number is a mean with a 95 % interval.

**When it misleads.** No single number decides: see the pages of `triscope.metrics.faithfulness` and `sanity` for what
each of them can be fooled by. A map that beats the others on insertion and hardly changes with the class explains the
image, not the class.

**References.** Those of the numbers, in `triscope.metrics`.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.methods import ImageInput, Method, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.metrics import faithfulness, sanity
from triscope.metrics.baselines import BASELINES, baseline
from triscope.metrics.maps import evidence
from triscope.metrics.perturbed import Subject
from triscope.network import ImageBatch, Network
from triscope.objectives.base import Need, Objective
from triscope.objectives.units import TOP_CLASS, Logit
from triscope.results import Heatmap, PerImage, Result
from triscope.where.by_name import heatmap_methods
from triscope.where.target import Target

Number: TypeAlias = Literal[
    "insertion", "deletion", "road", "infidelity", "sensitivity_n", "class", "randomisation", "max_sensitivity"
]
#: The numbers, and whether a larger one is better.
NUMBERS: dict[Number, bool] = {
    "insertion": True, "deletion": False, "road": True, "infidelity": False, "sensitivity_n": True, "class": False,
    "randomisation": False, "max_sensitivity": False,
}  # fmt: skip
USUAL: tuple[Number, ...] = ("insertion", "deletion", "class")
_CLASS_BLIND = 0.9


@dataclass(frozen=True, eq=False)
class Judgement(Result):
    """The numbers (images, rows, columns) of several maps, NaN where one does not apply.

    `rows` name the methods and baselines, `columns` the numbers. `image` (images, C, H, W) is what the network saw,
    `scores` (images,) what it answers, and `objective` what was asked. Saved as .csv (each image by itself) or .json.
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
        """The means over images (rows, columns)."""
        return self.values.nanmean(0)

    def intervals(self) -> Tensor:
        """Half the width of the 95 % interval of each mean (rows, columns): 1.96 standard errors."""
        known = (~self.values.isnan()).sum(0).clamp_min(1)
        spread = (self.values - self.means()).square().nansum(0) / (known - 1).clamp_min(1)
        return 1.96 * (spread / known).sqrt()

    def sentence(self, row: str) -> str:
        """What the numbers of a row come to, for a reader who knows none of them."""
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
            blind = means["class"] > _CLASS_BLIND
            parts.append(
                "hardly depends on the class: do not read it as an explanation of the class"
                if blind
                else f"correlation with the map of another class {means['class']:.2f}"
            )
        return "; ".join(parts)

    def summary(self) -> dict[str, Any]:
        """The means, by row and column."""
        table = {
            row: dict(zip(self.columns, means, strict=True))
            for row, means in zip(self.rows, _json(self.means()), strict=True)
        }
        return {"images": len(self), "table": table, **super().summary()}

    def text(self) -> str:
        """The table of means, with intervals where there are several images."""
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
        """A table, or numbers with the recipe."""
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


@method("where")
def judge(
    network: NetworkArg,
    images: Annotated[ImageBatch, ImageInput(many=True, together=True, help="a picture: a file, or - for stdin")],
    objective: ObjectiveArg = TOP_CLASS,
    *,
    methods: Sequence[str] | None = None,
    numbers: Sequence[Number] = USUAL,
    baselines: bool = True,
    steps: Annotated[int, Range(2, 1000)] = 28,
    seed: Seed = 0,
) -> Generator[Step[Judgement]]:
    """Numbers beside the maps of several methods that say whether to believe them.

    Values (images, maps, numbers). A step is one map of one image; stopped early, what is known stays. Raises
    OptionError for a method that there is not.

    methods      the methods to judge; those that answer at once, if left out
    numbers      insertion, deletion, road, infidelity, sensitivity_n, class, randomisation, max_sensitivity
    baselines    judge a random map, a centred Gaussian and the edges of the image, too
    steps        number of steps of an insertion or deletion curve
    """
    verbs = heatmap_methods(methods)
    rows = (*verbs, *(BASELINES if baselines else ()))
    values = torch.full((len(images), len(rows), len(numbers)), math.nan, dtype=torch.float64)
    names = tuple(source.name for source in images.sources)
    target = Target.of(network, images, objective)
    total, done = len(images) * len(rows), 0
    for place in range(len(images)):
        one = _Judge(network, _only(images, place), target.objective.of(place), numbers, steps, seed)
        for row, name in enumerate(rows):
            values[place, row] = torch.tensor(one.of(verbs[name]) if name in verbs else one.of_baseline(name))
            done += 1
            asked = _first(target.objective, place + 1)
            known = values[: place + 1].to(images.images.dtype)
            some = slice(place + 1)
            found = Judgement(known, rows, tuple(numbers), names[some], images.images[some], target.scores[some], asked)
            yield Step(done, total, math.nan, {}, found)


class _Judge:
    """The numbers of one image."""

    def __init__(
        self,
        network: Network,
        image: ImageBatch,
        objective: Objective,
        numbers: Sequence[Number],
        steps: int,
        seed: int,
    ) -> None:
        self.network, self.image, self.seed = network, image, seed
        self.objective = objective
        self.numbers, self.steps = numbers, steps
        self.subject = Subject.of(network, image.images[0], self.objective)
        self.other = self._other_class()

    def of(self, verb: Method[Heatmap]) -> list[float]:
        """The numbers of a method's map."""
        explain = partial(self._explain, verb)
        values = explain(self.network, self.image.images[0])
        return [self._number(number, values, explain, verb) for number in self.numbers]

    def of_baseline(self, name: str) -> list[float]:
        """The numbers of a map that knows nothing of the network."""
        values = baseline(name, self.image.images[0], self.seed)
        return [self._number(number, values, None, None) for number in self.numbers]

    def _number(
        self, number: Number, values: Tensor, explain: sanity.Explain | None, verb: Method[Heatmap] | None
    ) -> float:
        measures: dict[Number, Callable[[], float]] = {
            "insertion": partial(faithfulness.insertion, self.subject, values, steps=self.steps),
            "deletion": partial(faithfulness.deletion, self.subject, values, steps=self.steps),
            "road": partial(faithfulness.road, self.subject, values, seed=self.seed),
            "infidelity": partial(faithfulness.infidelity, self.subject, values, seed=self.seed),
            "sensitivity_n": partial(faithfulness.sensitivity_n, self.subject, values, seed=self.seed),
        }
        if number in measures:
            return measures[number]()
        if explain is None or verb is None:
            return math.nan
        return self._sanity(number, values, explain, verb)

    def _sanity(self, number: Number, values: Tensor, explain: sanity.Explain, verb: Method[Heatmap]) -> float:
        image = self.image.images[0]
        if number == "class":
            if self.other is None:
                return math.nan
            other = evidence(verb(self.network, self.image, self.other))[0].cpu()
            return sanity.class_correlation(values, other)
        if number == "randomisation":
            return sanity.randomisation(explain, self.network, image, values, seed=self.seed)
        return sanity.max_sensitivity(explain, self.network, image, values, seed=self.seed)

    def _explain(self, verb: Method[Heatmap], network: Network, image: Tensor) -> Tensor:
        batch = ImageBatch(image[None], self.image.boxes, self.image.sources)
        return evidence(verb(network, batch, self.objective))[0].cpu()

    def _other_class(self) -> Logit | None:
        """The best class but the one that is asked, where a class is asked."""
        if not isinstance(self.objective, Logit) or not isinstance(self.objective.classes, int):
            return None
        with torch.no_grad():
            output = self.network.look(self.image.images, ["output"])[Need("output")][0].clone()
        if output.ndim != 1 or len(output) < 2:
            return None
        output[self.objective.classes] = -math.inf
        return Logit(int(output.argmax()))


def _only(images: ImageBatch, place: int) -> ImageBatch:
    one = slice(place, place + 1)
    return ImageBatch(images.images[one], images.boxes[one], images.sources[one])


def _first(objective: Objective, count: int) -> Objective:
    """What is asked of the first `count` images."""
    if isinstance(objective, Logit) and isinstance(objective.classes, tuple):
        return Logit(objective.classes[:count], objective.form)
    return objective


def _cell(mean: float, half: float | None) -> str:
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" if half is None else f"{mean:.3f} ± {half:.3f}"


def _json(values: Tensor) -> Any:
    """Numbers as JSON has them; NaN becomes null."""
    if values.ndim == 0:
        return None if bool(values.isnan()) else float(values)
    return [_json(one) for one in values]
