"""What texture synthesis and style transfer share: terms of a preset, and an ascent from coarse to fine.

    score = - sum of weighted relative distances

Every level has half the size of the next, its targets taken from images of that size, and starts from what the level
below has made. Large structures are laid out where that is cheap, and the last level only adds detail.

What is changed is the image's spectrum in decorrelated colours, clamped to [0, 1] when it is drawn: the optimum is
the same, and L-BFGS is there sooner than on pixels.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.errors import ImageError, OptionError
from triscope.images import resize
from triscope.methods import Step
from triscope.network import ImageBatch, Network
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.distances import FeatureDistance
from triscope.objectives.priors import TotalVariation
from triscope.objectives.statistics import GramDistance, TextureDistance
from triscope.results import PerImage
from triscope.what.optimisation.ascent import optimise, regrown, with_notes
from triscope.what.optimisation.checkpoint import beside, saved_steps
from triscope.what.optimisation.lbfgs import Lbfgs
from triscope.what.optimisation.optimisers import Adam, Optimiser
from triscope.what.optimisation.parametrisation import Spectrum
from triscope.what.optimisation.spec import AscentSpec
from triscope.what.picture import SynthesisedImage
from triscope.what.style.memory import MemoryPlan
from triscope.what.style.options import Synthesis
from triscope.what.style.presets import StylePreset

_DECAY, _CHROMA = 0.7, 2.0  # of the spectrum that is changed
_COARSEST = 48  # pixels on the short side; below, deep layers have hardly any position


@dataclass(frozen=True, eq=False)
class StyleResult(SynthesisedImage):
    """An image (1, C, H, W) made to have a texture or style.

    `errors` (1, N) are the relative distances of each of N style layers, |G - G0|^2 / |G0|^2 for Gram matrices, and
    `layers` their names. Where styles have masks, each style has its own.
    `precision` is the number format of the network's pass.
    """

    errors: PerImage[Tensor] = field(kw_only=True)
    layers: tuple[str, ...] = field(kw_only=True)
    precision: str = field(kw_only=True)

    def summary(self) -> dict[str, Any]:
        """The scores, and the errors of the layers."""
        return {**super().summary(), "errors": self.errors.tolist()}


@dataclass(frozen=True)
class Term:
    """One term: the objective of a layer, and its weight."""

    weight: float
    distance: TextureDistance | FeatureDistance | TotalVariation


def style_terms(whole: TextureDistance, preset: StylePreset, share: float = 1.0) -> list[Term]:
    """A term for each style layer, weighed so that their sum is the preset's style loss, times `share`."""
    terms = []
    count = len(whole.targets)
    own = preset.weights if len(preset.weights) == count else (1.0,) * count
    for (need, target), weight in zip(whole.targets.items(), own, strict=True):
        one = replace(whole, targets={need: target})
        scale = 1 / count
        if preset.gram and isinstance(one, GramDistance):
            scale = preset.gram(target.shape[-1]) * float(one.energy(need))
        terms.append(Term(share * preset.style_weight * weight * scale, one))
    return terms


def content_term(look: Activations, layer: str, preset: StylePreset, weight: float) -> Term:
    """The content's term, weighed so that it is the preset's content loss."""
    one = FeatureDistance.from_activations(look, [layer])
    (target,) = one.targets.values()
    if preset.feature:
        channels, positions = target.shape[1], target[0, 0].numel()
        weight = weight * preset.feature(channels, positions) * float(target.double().square().sum())
    return Term(weight, one)


def roughness_term(weight: float, shape: torch.Size) -> Term:
    """The prior against roughness, for the sum over the pixels of an image (1, C, H, W)."""
    return Term(weight * shape.numel(), TotalVariation(2))


def asked_of(terms: Sequence[Term]) -> Objective:
    """Minus the weighted sum."""
    first, *rest = terms
    whole: Objective = -first.weight * first.distance
    for one in rest:
        whole = whole - one.weight * one.distance
    return whole


@dataclass(frozen=True)
class Level:
    """One size: (rows, columns), how many steps, and its objective, made when its turn comes."""

    size: tuple[int, int]
    steps: int
    terms: Callable[[], list[Term]]


@dataclass(frozen=True)
class Schedule:
    """How an image is made from coarse to fine; a tile's sides all double from one level to the next.

    `options` are the caller's, by name: a checkpoint of another job is refused in their words.
    """

    network: Network
    levels: Sequence[Level]
    memory: MemoryPlan
    synthesis: Synthesis
    options: Mapping[str, Any]
    tile: bool = False


def synthesise(plan: Schedule, start: Tensor) -> Generator[tuple[Step[SynthesisedImage], list[Term]]]:
    """The steps of all levels in turn, counted together, with the terms of each.

    A level takes over what the one below has changed, so that a start of full size keeps its detail.
    """
    total = sum(level.steps for level in plan.levels)
    done, picture = 0, start
    notes: tuple[str, ...] = ()
    for number, (level, steps) in enumerate(zip(plan.levels, _steps(plan), strict=True)):
        terms = level.terms()
        if start.shape[-1] > picture.shape[-1]:
            picture = regrown(picture, start, level.size)
        elif plan.tile and number:
            picture = doubled(picture)
        canvas = Spectrum(*level.size, plan.network.channels, decay=_DECAY, chroma=_CHROMA)
        rate = plan.synthesis.rate
        optimiser: Callable[[], Optimiser] = (
            partial(Lbfgs, rate or 1.0, plan.memory.history, canvas.confine, search=False)
            if plan.memory.optimiser == "lbfgs"
            else partial(Adam, rate or 0.02)
        )
        spec = AscentSpec(
            plan.network, asked_of(terms), canvas, optimiser=optimiser, steps=steps, seed=plan.synthesis.seed,
            checkpoint=beside(plan.synthesis.checkpoint, number), options=plan.options,
        )  # fmt: skip
        for step in optimise(spec, picture):
            made = with_notes(step.result, notes)
            yield Step(done + step.index, total, step.score, step.terms, made), terms
        picture, notes = made.values, made.notes
        done += steps


def _steps(plan: Schedule) -> list[int]:
    """How many steps each level has. One whose successor was begun before keeps its number: the steps that it lacks are
    the last level's.
    """
    asked = [level.steps for level in plan.levels]
    saved = [saved_steps(beside(plan.synthesis.checkpoint, number)) for number in range(len(asked))]
    kept = [before if after else None for before, after in pairwise([*saved, None])]
    counts = [before or now for before, now in zip(kept, asked, strict=True)]
    counts[-1] += sum(asked) - sum(counts)
    return counts


def level_sizes(size: tuple[int, int], octaves: int, others: Sequence[Tensor]) -> list[float]:
    """The factors of the levels, coarse to fine, the last 1; fewer than `octaves` where images would be too small."""
    short = min([*size, *(min(one.shape[-2:]) for one in others)])
    most = 1 + max(0, int(math.log2(short / _COARSEST))) if short > _COARSEST else 1
    return [2.0**-level for level in reversed(range(min(octaves, most)))]


def shares(steps: int, levels: int, last: float | None = None) -> list[int]:
    """How many steps each level has, coarse to fine, at least 1: as many in each, or a part `last` in the last."""
    if last is not None and levels > 1:
        end = max(1, round(last * steps))
        return [*shares(max(1, steps - end), levels - 1), end]
    ends = [round(steps * (number + 1) / levels) for number in range(levels)]
    return [max(1, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def doubled(tile: Tensor) -> Tensor:
    """A tile twice as large, whose border is interpolated with what lies beyond it: the other side."""
    reach = 4
    wider = F.pad(tile, (reach,) * 4, mode="circular")
    grown = resize(wider, (2 * wider.shape[-2], 2 * wider.shape[-1])).clamp(0, 1)
    return grown[..., 2 * reach : -2 * reach, 2 * reach : -2 * reach]


def shrunk(picture: Tensor, factor: float) -> Tensor:
    """An image resized by a factor."""
    height, width = picture.shape[-2:]
    return resize(picture, (max(1, round(height * factor)), max(1, round(width * factor)))).clamp(0, 1)


def fitted(picture: Tensor, side: int) -> Tensor:
    """An image with a long side of `side` pixels."""
    return shrunk(picture, side / max(picture.shape[-2:]))


def require_positions(network: Network, picture: Tensor, layers: Sequence[str]) -> None:
    """Raise OptionError where a layer has fewer than 2 x 2 positions on images of this size."""
    with torch.no_grad():
        look = network.look(torch.full_like(picture, 0.5), layers)
    for name in layers:
        rows, cols = look[Need(name)].shape[-2:]
        if rows * cols < 4:
            sizes = " x ".join(map(str, picture.shape[-2:]))
            raise OptionError(
                f"{name} of {network.name} has only {rows} x {cols} positions on an image of {sizes} pixels, too few "
                "for a texture; make the image larger, or name shallower layers."
            )


def is_plain(picture: Tensor) -> bool:
    """Whether an image (1, C, H, W) is one colour all over."""
    return float((picture.amax((2, 3)) - picture.amin((2, 3))).max()) < 1 / 255


def require_detail(seen: ImageBatch, word: str) -> None:
    """Raise ImageError where an image is one colour all over."""
    for picture, source in zip(seen.images, seen.sources, strict=True):
        if is_plain(picture[None]):
            raise ImageError(
                f"{source.name} is one colour all over, so there is no {word} in it to take; give another image."
            )


def style_result(
    step: Step[SynthesisedImage],
    terms: Sequence[Term],
    network: Network,
    *,
    notes: Sequence[str] = (),
    finish: Callable[[Tensor], Tensor] = torch.clone,
) -> Step[StyleResult]:
    """The step, its result with the error of each style layer."""
    assert step.result.parts is not None
    parts = zip(terms, step.result.parts[0].tolist(), strict=True)  # the image's own: `step.terms` are the step's
    styles = [(one, one.distance, part) for one, part in parts if isinstance(one.distance, TextureDistance)]
    weights = next(network.module.parameters(), torch.empty(0))
    result = StyleResult(
        finish(step.result.values),
        scores=step.result.scores,
        objective=None,
        notes=(*notes, *step.result.notes),
        errors=torch.tensor([[_error(step.result, one, part, network) for one, _, part in styles]]),
        layers=tuple(need.layer for _, distance, _ in styles for need in distance.targets),
        precision=str(weights.dtype).removeprefix("torch."),
    )
    return Step(step.index, step.total, step.score, step.terms, result)


def _error(made: SynthesisedImage, one: Term, part: float, network: Network) -> float:
    """The distance of a term, from what it adds to the score; computed if its weight is 0."""
    if one.weight:
        return -part / one.weight
    with torch.no_grad():
        return float(one.distance(network.look(made.values.to(network.dtype), one.distance.needs)))
