"""Feature inversion: the picture that a layer's activations are enough to draw.

    d(x) = |phi(x) - phi0|^2 / |phi0|^2

phi0 is what the layer said of a photo; nothing else of the photo is used. What comes back is what the layer knows of
it; what does not, it has forgotten.

    natural     maximise -log d(x) - tv * roughness(x), a spectrum in decorrelated colours, L-BFGS
    mahendran   minimise d(x) + priors(x): pixels, the alpha-norm (6), total variation (beta 2), and momentum that is
                forgotten when the rate falls

The logarithm lets the prior weigh less the closer the match: a layer that remembers much is matched closely, and one
that has forgotten is filled in smoothly.

`natural` starts from several noises. Pictures that a layer cannot tell apart differ in what it does not know, and that
comes from the noise; their mean has what they share, and is nearer to the photo than any of them. Half of the steps
are theirs, one after another; the other half starts from the mean. Where the first two hardly agree, as in deep layers,
a mean would be grey: then all other steps start from the first noise again.

**When it misleads.** What the layer forgot is filled in by the prior, and looks as if it had been remembered: a
smooth patch means "not known", not "smooth". A small error says that the layer cannot tell the two pictures apart,
not that they look alike.

**Reference.** A. Mahendran, A. Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015; and
"Visualizing deep convolutional neural networks using natural pre-images", IJCV 2016.

**Where ours departs.** Norms are means over pixels and not sums, so that a weight means the same at every size (the
paper scales by sigma, which grows with the picture). Pixels lie in [0, 1]: the paper's B = 80 and V = B / 6.5 of 255
are our 0.314 and 0.048.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, Self

import torch
from torch import Tensor

from triscope import render
from triscope.errors import ObjectiveError, OptionError
from triscope.methods import Range, Step, method
from triscope.network import Fit, Network, Seen
from triscope.network.stages import depths
from triscope.objectives.base import Activations, Need, Objective, terms_of
from triscope.objectives.distances import FeatureDistance
from triscope.objectives.priors import PNorm, TotalVariation
from triscope.render.caption import captioned
from triscope.results import Note, PerImage, joined_notes
from triscope.what.optimisation.ascent import climb, noise
from triscope.what.optimisation.optimisers import Adam, Lbfgs, Momentum, Optimiser
from triscope.what.optimisation.parametrisation import Fourier, Pixels
from triscope.what.optimisation.spec import Climb, cosine
from triscope.what.picture import Imagined

_CLOSE = 1e-10
_SHORTEST = 16  # steps from one noise; where there are fewer, there are fewer noises
_AGREED = 0.62  # correlation of pictures from different noises, from which on their mean is worth more than they are
_NOISE = 0.05  # strength of the first noise
_B, _V = 80 / 255, 80 / 255 / 6.5


@dataclass(frozen=True, eq=False)
class Inversion(Imagined):
    """Pictures (B, C, H, W) drawn from activations alone, and how far theirs are from the target.

    `scores` (B,) are minus the squared relative distance. `errors` (B, N) are |phi(x) - phi0| / |phi0| of each of N
    layers, `layers` their names. Where every stage was inverted, there is one picture for each, and its own layer alone
    was matched: errors (B, 1), and `stages` are the layers' names instead.
    """

    errors: PerImage[Tensor] = field(kw_only=True)
    layers: tuple[str, ...] = field(kw_only=True)
    stages: PerImage[tuple[str, ...]] = field(default=(), kw_only=True)

    def __getitem__(self, index: int) -> Self:
        """The inversion of one photo, or of one stage."""
        one = super().__getitem__(index)
        return replace(one, layers=one.stages or one.layers)

    def draw(self) -> Tensor:
        """The pictures; where every stage was inverted, in one row, with the layer and its error under each."""
        if not self.stages:
            return super().draw()
        shown = [one.expand(3, -1, -1) for one in self.values]
        words = [
            f"{layer}  {100 * float(error):.1f}%" for layer, error in zip(self.stages, self.errors[:, 0], strict=True)
        ]
        return render.grid([captioned(one, text) for one, text in zip(shown, words, strict=True)], len(shown))


@method("what")
def invert(
    network: Network,
    images: Seen,
    layer: str | None = None,
    *,
    preset: Literal["natural", "mahendran"] = "natural",
    every_stage: bool = False,
    steps: Annotated[int, Range(1, 100_000)] = 500,
    canvas: Literal["fourier", "pixels"] | None = None,
    optimiser: Literal["adam", "lbfgs", "momentum"] | None = None,
    rate: Annotated[float | None, Range(0, 1e6)] = None,
    tv: Annotated[float | None, Range(0, 1e6)] = None,
    starts: Annotated[int | None, Range(1, 1000)] = None,
    octaves: Annotated[int, Range(1, 8)] = 1,
    seed: Annotated[int, Range(0, 2**62)] = 0,
    fit: Fit = "crop",
    checkpoint: str | None = None,
) -> Generator[Step[Inversion]]:
    """The picture that a layer's activations are enough to draw (Mahendran and Vedaldi, 2015).

    Values (B, C, H, W) in [0, 1], with the relative error of the activations. Several layers, with commas between
    them, are matched together. Raises ObjectiveError where a layer is silent on the picture.

    preset        natural, or mahendran: the paper's objective and optimiser
    every_stage   one picture for each of the layers that stand for the network, from the first to the last
    steps         how many steps; for every stage, how many each
    canvas        what is changed: a spectrum in decorrelated colours, or pixels
    optimiser     adam, lbfgs (each picture by itself), or momentum
    rate          how far a step goes
    tv            weight of the prior against roughness
    starts        from how many noises, whose mean the second half of the steps goes on from; fewer where steps are few
    octaves       how many sizes, from coarse to fine, all shown to the network at the last
    seed          of the noise it starts from
    fit           crop (the network's own preprocessing), pad (all of the picture, on grey) or keep (its own size)
    checkpoint    file to save the job to; it goes on from there if the file exists
    """
    if every_stage == (layer is not None):
        raise OptionError("invert takes either a layer or every_stage; `triscope layers` lists the layers.")
    if every_stage and len(images) > 1:
        raise OptionError(f"every_stage shows one picture at a time; {len(images)} were given.")
    settings = _settings(preset, canvas, optimiser, rate, tv, starts)
    names = depths(network) if every_stage else [str(layer)]
    done: list[Inversion] = []
    for number, name in enumerate(names):
        plan = _plan(network, images, name.split(","), settings)
        place = Path(f"{checkpoint}.{number}" if every_stage else checkpoint) if checkpoint else None
        plan = replace(plan, steps=steps, octaves=octaves, seed=seed, checkpoint=place)
        for step in _climbed(plan, len(images), settings.starts):
            found = _inversion(network, step.result, plan.asked)
            joined = _row([*done, found]) if every_stage else found
            yield Step(number * steps + step.index, len(names) * steps, step.score, step.terms, joined)
        done.append(found)


@dataclass(frozen=True, repr=False, eq=False)
class LogDistance(FeatureDistance):
    """The logarithm of the distance: (B,). Its gradient does not fade as the match gets close."""

    def __call__(self, activations: Activations) -> Tensor:
        """The logarithm, no less than log 1e-10: (B,)."""
        return (super().__call__(activations) + _CLOSE).log()


@dataclass(frozen=True)
class _Settings:
    canvas: str
    optimiser: str
    rate: float
    tv: float
    starts: int
    norm: float
    paper: bool


def _settings(
    preset: str, canvas: str | None, optimiser: str | None, rate: float | None, tv: float | None, starts: int | None
) -> _Settings:
    if preset == "mahendran":
        chosen = _Settings("pixels", "momentum", 0.01, 1 / _V**2, 1, (0.5 / _B) ** 6, paper=True)
    else:
        chosen = _Settings("fourier", "lbfgs", 1.0, 50.0, 8, 0.0, paper=False)
    given = {"canvas": canvas, "optimiser": optimiser, "rate": rate, "tv": tv, "starts": starts}
    if rate is None and optimiser is not None:
        given["rate"] = {"lbfgs": 1.0, "adam": 0.05, "momentum": 0.01}[optimiser]
    return replace(chosen, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _plan(network: Network, images: Seen, layers: Sequence[str], settings: _Settings) -> Climb:
    for name in layers:
        if name not in ("input", "output"):
            network.layer(name)
    with torch.no_grad():
        look = network.look(images.images, layers)
    silent = [name for name in layers if not look[Need(name)].flatten(1).any(1).all()]
    if silent:
        raise ObjectiveError(f"{silent[0]} of {network.name} is silent on this picture: there is nothing to draw from.")
    asked = -(FeatureDistance if settings.paper else LogDistance).from_activations(look, layers)
    rows, cols = images.images.shape[-2:]
    drawn = (Fourier if settings.canvas == "fourier" else Pixels)(rows, cols, network.channels)
    makers: dict[str, Callable[[], Optimiser]] = {
        "adam": partial(Adam, settings.rate),
        "momentum": partial(Momentum, settings.rate),
        "lbfgs": partial(Lbfgs, settings.rate, confine=drawn.confine),
    }
    priors: Objective | None = None
    for weight, prior in ((settings.tv, TotalVariation(2)), (settings.norm, PNorm(6))):
        if weight:
            priors = -weight * prior if priors is None else priors - weight * prior
    label = repr([[source.sha256 for source in images.sources], float(look[Need(layers[0])].double().sum())])
    return Climb(
        network, asked, drawn, priors=priors, optimiser=makers[settings.optimiser],
        pace=_drops if settings.paper else cosine, whole=True, label=label,
    )  # fmt: skip


def _climbed(plan: Climb, count: int, starts: int) -> Generator[Step[Imagined]]:
    """The steps of `count` pictures: from noise, or, each by itself, from what comes of several noises."""
    several = min(starts, plan.steps // (2 * _SHORTEST))
    if several < 2:
        yield from climb(plan, noise(plan, count, _NOISE, alike=True))
    elif count == 1:
        yield from _from_several(plan, several)
    else:
        yield from _beside([_from_several(_alone(plan, number), several) for number in range(count)])


def _alone(plan: Climb, number: int) -> Climb:
    """The part of a job for several pictures that makes one of them."""
    ((weight, distance),) = terms_of(plan.asked)
    assert isinstance(distance, FeatureDistance)
    place = Path(f"{plan.checkpoint}.picture{number}") if plan.checkpoint else None
    return replace(plan, asked=weight * distance.of(number), checkpoint=place)


def _beside(jobs: Sequence[Generator[Step[Imagined]]]) -> Generator[Step[Imagined]]:
    """The steps of several jobs of one length as those of one; they may have been resumed at different steps."""
    latest: list[Step[Imagined]] = []
    for row in zip_longest(*jobs):
        latest = [new or old for new, old in zip(row, latest, strict=True)] if latest else list(row)
        results = [step.result for step in latest]
        joined = replace(
            results[0],
            values=torch.cat([one.values for one in results]),
            scores=torch.cat([one.scores for one in results]),
            notes=joined_notes([one.notes for one in results]),
        )
        yield Step(
            min(step.index for step in latest),
            latest[0].total,
            fmean(step.score for step in latest),
            {name: fmean(step.terms[name] for step in latest if step.terms) for name in latest[0].terms},
            joined,
        )


def _from_several(plan: Climb, several: int) -> Generator[Step[Imagined]]:
    """The steps of one picture, from what comes of several noises."""
    each = plan.steps // (2 * several)
    reached: list[Tensor] = []
    for number in range(several):
        place = Path(f"{plan.checkpoint}.start{number}") if plan.checkpoint else None
        early = replace(plan, steps=each, seed=plan.seed + number, checkpoint=place)
        for step in climb(early, noise(early, strength=_NOISE)):
            yield replace(step, index=number * each + step.index, total=plan.steps)
        reached.append(step.result.values)
        if number == 1 and _agreement(torch.cat(reached)) < _AGREED:
            start, octaves = noise(plan, strength=_NOISE), plan.octaves
            break
    else:
        start, octaves = torch.cat(reached).mean(0, keepdim=True), 1
    done = len(reached) * each
    late = replace(plan, steps=plan.steps - done, octaves=octaves)
    for step in climb(late, start):
        yield replace(step, index=done + step.index, total=plan.steps)


def _agreement(versions: Tensor) -> float:
    """How much versions (N, C, H, W) of a picture are alike: their mean correlation, by what varies in their mean."""
    count = len(versions)
    kept = float(versions.mean(dim=0).var((1, 2)).sum() / versions.var((2, 3)).sum(1).mean())
    return (count * kept - 1) / (count - 1)


def _drops(done: float) -> float:
    """The paper's rates: a tenth of it after each third."""
    return 0.1 ** int(3 * done)


def _inversion(network: Network, made: Imagined, asked: Objective) -> Inversion:
    ((_, distance),) = terms_of(asked)
    assert isinstance(distance, FeatureDistance)
    scores = made.scores
    if isinstance(distance, LogDistance):
        scores = -((-scores).exp() - _CLOSE).clamp_min(0)
    if len(distance.targets) == 1:
        errors = (-scores).clamp_min(0).sqrt()[:, None]
    else:
        with torch.no_grad():
            errors = distance.errors(network.look(made.values.to(network.dtype), distance.needs))
    layers = tuple(need.layer for need in distance.targets)
    return Inversion(made.values, scores=scores, objective=None, notes=made.notes, errors=errors, layers=layers)


def _row(stages: Sequence[Inversion]) -> Inversion:
    return replace(
        stages[-1],
        values=torch.cat([one.values for one in stages]),
        scores=torch.cat([one.scores for one in stages]),
        errors=torch.cat([one.errors[:, :1] for one in stages]),
        notes=tuple(Note(note, (number,), 1) for number, one in enumerate(stages) for note in one.notes),
        layers=(),
        stages=tuple(one.layers[0] for one in stages),
    )
