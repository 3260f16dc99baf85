"""Maps side by side: several methods on one image, several units by one method; and the difference of two networks.

    compare       a figure: one row for each unit, one column for each method, one colour scale for each method
    difference    the map of one network minus that of another

Maps of different methods are in different units and cannot share a colour scale. So each method has its own, stated
beside its name, for all units: what is paler there is weaker.

**When it misleads.** The eye prefers sharp maps and those that agree with it. Neither says which is right; `judge` puts
numbers beside them. Of two checkpoints, all weights have changed: a difference shows where the maps differ, not why.
"""

import dataclasses
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from triscope import render
from triscope.errors import NetworkError, ObjectiveError, OptionError
from triscope.methods import ImagesArg, NetworkArg, NetworkInput, ObjectiveArg, Step, method
from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.objectives.directions import to_text
from triscope.objectives.parsing import as_objective
from triscope.objectives.units import TOP_CLASS
from triscope.render.caption import captioned
from triscope.results import Drawn, Heatmap, PerImage, joined_notes
from triscope.results.drawing import Drawing, level_sheet, one_map
from triscope.where.by_name import heatmap_methods, map_of
from triscope.where.smoothing import one_channel
from triscope.where.target import Target, in_words

_PERCENTILE = 99.5
_WIDE = 2.4  # how many times as wide as high the maps of a single unit are together


@dataclass(frozen=True, eq=False)
class HeatmapTable(Drawn):
    """Maps by unit and method: values (B, units, methods, H, W) over `image` (B, 1 or 3, H, W).

    `methods` name the columns, `asked` the units of each image; `answers` (B, units) are their scores, and
    `scores` (B,) those of the first, which is `objective`. `further` are the other units that are named directions.
    """

    image: PerImage[Tensor]
    boxes: PerImage[tuple[Any, ...]]
    scores: PerImage[Tensor]
    objective: PerImage[Any]
    asked: PerImage[tuple[tuple[str, ...], ...]]
    answers: PerImage[Tensor]
    methods: tuple[str, ...]
    further: tuple[Objective, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The units, their scores, and the scale of each method."""
        scales = [dict(zip(self.methods, _scales(values), strict=True)) for values in self.values]
        facts = {"asked": [list(units) for units in self.asked], "scores": self.answers.tolist(), "scales": scales}
        return super().summary() | facts

    def montage(self) -> render.Montage:
        """A row for each unit, the image first, and a column for each method; a single unit wraps into rows."""
        cells = [cell for number in range(len(self)) for cell in self._cells(number)]
        single = len(cells) == 1 + len(self.methods)
        return render.montage(cells, None if single else 1 + len(self.methods), aspect=_WIDE)

    def draw(self) -> Tensor:
        """The figure: each unit, the image first, then the map of each method, each method at one scale."""
        return self.montage().paint()

    def drawing(self) -> Drawing | None:
        """The maps of one image over the photo; values come as grey levels, since colours are blended with it."""
        if len(self) > 1:
            return None
        scales = _scales(self.values[0])
        told = [
            (
                f"{name.replace('_', ' ')}{f' of {unit}' if len(self.asked[0]) > 1 else ''}",
                f"{unit}: score {float(score):.4g}",
                scale,
                values,
            )
            for unit, score, maps in zip(self.asked[0], self.answers[0], self.values[0], strict=True)
            for name, scale, values in zip(self.methods, scales, maps, strict=True)
        ]
        sheet, tiles = level_sheet([values for *_, values in told], [scale for *_, scale, _ in told])
        maps = [
            one_map(title, says, tile, scale, signed=bool((values < 0).any()), read="levels")
            for (title, says, scale, values), tile in zip(told, tiles, strict=True)
        ]
        size = list(self.values.shape[-2:])
        return {"kind": "maps", "name": "compare", "size": size, "style": "overlay", "maps": maps, "levels": sheet}

    def photos(self) -> list[Tensor]:
        """The images as the network sees them."""
        return [self.visible(self.image[0].float())]

    def _cells(self, number: int) -> list[render.Tile]:
        picture = self.visible(self.image[number].float())
        cells = []
        for unit, score, maps in zip(self.asked[number], self.answers[number], self.values[number], strict=True):
            cells.append(captioned(picture, f"{unit}  {float(score):.3g}"))
            for name, scale, values in zip(self.methods, _scales(self.values[number]), maps, strict=True):
                drawn = _over(picture, values.float(), scale)
                cells.append(captioned(drawn, f"{name.replace('_', ' ')}  {scale:.2g}"))
        return cells


@method("where")
def compare(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    methods: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> Generator[Step[HeatmapTable]]:
    """Several methods on one image, for one unit or several, in one figure.

    Values (B, units, methods, H, W). Colour channels are reduced to the one of largest magnitude. A method that does
    not work on the network is left out with a note. Raises OptionError for an unknown method.

    methods    the methods to compare, each with its default options  [default: eight common ones]
    units      more units to explain, one row each
    """
    verbs = heatmap_methods(methods)
    target = Target.of(network, images, objective)
    questions = [target.objective, *(as_objective(text).bind(network) for text in units or ())]
    answers = [target.scores, *(Target.of(network, images, one).scores for one in questions[1:])]
    names = [in_words(network, one, len(target)) for one in questions]
    columns: dict[str, Tensor] = {}
    lost: list[str] = []
    for number, (name, verb) in enumerate(verbs.items(), 1):
        try:
            maps = [one_channel_map(map_of(verb, network, images, one)) for one in questions]
        except NetworkError as error:
            lost.append(f"{name} was left out. {error}")
            if len(lost) == len(verbs):
                raise
            continue
        columns[name] = torch.stack(maps, 1)
        result = HeatmapTable(
            torch.stack(list(columns.values()), 2),
            image=target.images,
            boxes=images.boxes,
            scores=target.scores,
            objective=target.objective,
            asked=tuple(zip(*names, strict=True)),
            answers=torch.stack(answers, 1),
            methods=tuple(columns),
            further=tuple(one for one in questions[1:] if to_text(one)),
            notes=tuple(lost),
        )
        yield Step(number, len(verbs), float(target.scores.mean()), {}, result)
    if lost and columns:  # the last step may have been that of a method that was left out
        yield Step(
            len(verbs), len(verbs), float(target.scores.mean()), {}, dataclasses.replace(result, notes=tuple(lost))
        )


@method("where")
def difference(
    network: Annotated[Network | Sequence[Network], NetworkInput(many=True)],
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    method: str = "saliency",
    relative: bool = False,
) -> Heatmap:
    """Where two networks, or two checkpoints of one network, differ: the map of the first minus that of the second.

    Values (B, 1, H, W), signed, in the unit of the method's map; red where the first network's is larger. Without an
    objective, the first network's top class is used for both. Scores are the first network's. Raises OptionError unless
    there are two networks, and ObjectiveError if their classes differ.

    method      the method whose maps are compared, with its default options
    relative    first divide each map by its own scale (its 99.5th percentile), for networks whose scores differ in
                scale
    """
    first, second = _two(network)
    (verb,) = heatmap_methods([method], option="method").values()
    target = Target.of(first, images, objective)
    asked = _same_question(target.objective, first, second)
    heats = [verb(first, images, target.objective), verb(second, images, asked)]
    maps = [one_channel_map(heat)[:, None] for heat in heats]
    if relative:
        maps = [torch.stack([one / render.scale_of(one[one != 0], _PERCENTILE) for one in each]) for each in maps]
    said = f"{verb.name.replace('_', ' ')} of {first.name} minus that of {second.name}, which scores"
    notes = joined_notes([[f"{said} {score:.4g}."] for score in heats[1].scores.tolist()])
    return target.heatmap(maps[0] - maps[1], notes)


def one_channel_map(heat: Heatmap) -> Tensor:
    """The map as one number per pixel (B, H, W): its value, or of several channels the largest magnitude."""
    values = heat.values
    return (values if values.shape[1] == 1 else one_channel(values, "max"))[:, 0]


def _scales(values: Tensor) -> list[float]:
    """For each method of (units, methods, H, W), the value of full colour: one scale for all units."""
    return [render.scale_of(maps[maps != 0], _PERCENTILE) for maps in values.unbind(1)]


def _over(picture: Tensor, values: Tensor, scale: float) -> Tensor:
    """A map (H, W) over the image (3, H, W), more transparent where it is weaker."""
    signed = bool((values < 0).any())
    heat = render.signed(values, scale) if signed else render.unsigned(values, scale)
    pale = picture.mean(0, keepdim=True).expand(3, -1, -1) * 0.6 + 0.4
    return render.overlay(pale, heat, 0.9 * (values.abs() / scale).clamp(0, 1).sqrt())


def _two(network: Network | Sequence[Network]) -> tuple[Network, Network]:
    several = [network] if isinstance(network, Network) else list(network)
    if len(several) != 2:
        raise OptionError(
            f"difference compares two networks, not {len(several)}; give both in a list, or the second with "
            "--beside NAME."
        )
    return several[0], several[1]


def _same_question(objective: Objective, first: Network, second: Network) -> Objective:
    """The objective for the second network. Raises ObjectiveError where its classes differ."""
    reads_classes = any(need.layer == "output" for need in objective.needs)
    if reads_classes and first.classes and second.classes and first.classes != second.classes:
        raise ObjectiveError(
            f"{first.name} and {second.name} have different classes, so one class cannot be compared; use an "
            "inner unit that both have."
        )
    return objective.bind(second)
