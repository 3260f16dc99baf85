"""Feature inversion: the image that a layer's activations are enough to draw.

    d(x) = |phi(x) - phi0|^2 / |phi0|^2

phi0 are the layer's activations for a photo; nothing else of the photo is used. What is reconstructed is what the layer
keeps of it; the rest is lost.

    natural     maximise -log d(x) - tv * roughness(x), a spectrum in decorrelated colours, L-BFGS
    mahendran   minimise d(x) + priors(x): pixels, the alpha-norm (6), total variation (beta 2), and momentum that is
                forgotten when the rate falls

The logarithm lets the prior weigh less the closer the match: a layer that remembers much is matched closely, and one
that has forgotten is filled in smoothly.

`natural` starts from several noises. Images that a layer cannot tell apart differ in what it does not know, and that
comes from the noise; their mean has what they share, and is nearer to the photo than any of them. Half of the steps
are theirs, one after another; the other half starts from the mean. Where the first two hardly agree, as in deep layers,
a mean would be grey: then all other steps start from the first noise again.

**When it misleads.** What the layer forgot is filled in by the prior, and looks as if it had been remembered: a
smooth patch means "not known", not "smooth". A small error says that the layer cannot tell the two images apart,
not that they look alike.

**Reference.** A. Mahendran, A. Vedaldi, "Understanding deep image representations by inverting them", CVPR 2015; and
"Visualizing deep convolutional neural networks using natural pre-images", IJCV 2016.

**Differences from the paper.** Norms are means over pixels and not sums, so that a weight means the same at every size
(the paper scales by sigma, which grows with the image). Pixels lie in [0, 1]: the paper's B = 80 and V = B / 6.5 of
255 are our 0.314 and 0.048.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, takewhile, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal, Self

import torch
from torch import Tensor

from triscope import render
from triscope.errors import NetworkError, ObjectiveError, OptionError
from triscope.methods import (
    Checkpoint,
    Group,
    ImagesArg,
    LayersArg,
    NetworkArg,
    Range,
    Rate,
    Seed,
    Step,
    Steps,
    method,
)
from triscope.network import ImageBatch, Network
from triscope.network.stages import depths
from triscope.objectives.base import Need, Objective, terms_of
from triscope.objectives.distances import FeatureDistance, LogDistance
from triscope.objectives.priors import PNorm, TotalVariation
from triscope.render.caption import captioned
from triscope.results import Note, PerImage, joined_notes
from triscope.what.optimisation.ascent import noise, optimise, with_notes
from triscope.what.optimisation.checkpoint import beside, read_checkpoint, saved_steps
from triscope.what.optimisation.named import OPTIMISERS, OptimiserName
from triscope.what.optimisation.parametrisation import Fourier, Pixels
from triscope.what.optimisation.spec import AscentSpec, cosine
from triscope.what.picture import SynthesisedImage

_SHORTEST = 16  # steps from one noise; where there are fewer, there are fewer noises
_AGREED = 0.62  # correlation of images from different noises, from which on their mean is worth more than they are
_NOISE = 0.05  # strength of the first noise
_B, _V = 80 / 255, 80 / 255 / 6.5


@dataclass(frozen=True, eq=False)
class Inversion(SynthesisedImage):
    """Images (B, C, H, W) drawn from activations alone, and how far theirs are from the target.

    `scores` (B,) are minus the squared relative distance. `errors` (B, N) are |phi(x) - phi0| / |phi0| of each of N
    layers, `layers` their names. Where every stage was inverted, there is one image for each, and its own layer alone
    was matched: errors (B, 1), `stages` are the layers' names instead, and `photo` (C, H, W) is what they are of.
    """

    errors: PerImage[Tensor] = field(kw_only=True)
    layers: tuple[str, ...] = field(kw_only=True)
    stages: PerImage[tuple[str, ...]] = field(default=(), kw_only=True)
    photo: Tensor | None = field(default=None, kw_only=True)

    def __getitem__(self, index: int) -> Self:
        """The inversion of one photo, or of one stage."""
        one = super().__getitem__(index)
        return replace(one, layers=one.stages or one.layers, photo=None)

    def summary(self) -> dict[str, Any]:
        """The scores, and the errors of the layers."""
        return {**super().summary(), "errors": self.errors.tolist()}

    def montage(self) -> render.Montage:
        """The images; where every stage was inverted, after the photo, with the layer and its error under each."""
        if self.photo is None:
            return super().montage()
        said = zip(self.stages, self.errors[:, 0].tolist(), strict=True)
        words = ["the photo", *(f"{layer}  {100 * error:.1f}%" for layer, error in said)]
        shown = [self.visible(one) for one in (self.photo, *self.values)]
        return render.montage([captioned(one, text) for one, text in zip(shown, words, strict=True)], 4)


@dataclass(frozen=True)
class InversionPreset:
    """What is minimised, and how.

    canvas        parametrisation of the image: a Fourier spectrum in decorrelated colours (fourier), or pixels
    optimiser     adam, lbfgs (on each image separately), or momentum
    rate          step size of the optimiser
    tv            weight of the total variation prior, which smooths
    norm          weight of the prior against bright and dark pixels, the mean 6th power of their distance from grey
    starts        number of initial noise images; their results are averaged halfway, and the mean is optimised further;
                  fewer if there are few steps
    distance      what is minimised: the logarithm of the relative distance, or the relative distance itself
    schedule      how the step size decreases: along half a cosine, or to a tenth after each third of the steps
    """

    canvas: Literal["fourier", "pixels"] = "fourier"
    optimiser: OptimiserName = "lbfgs"
    rate: Rate = None
    tv: Annotated[float, Range(0, 1e6)] = 50.0
    norm: Annotated[float, Range(0, 1e6)] = 0.0
    starts: Annotated[int, Range(1, 1000)] = 8
    distance: Literal["log", "relative"] = "log"
    schedule: Literal["cosine", "thirds"] = "cosine"


PRESETS = {
    "natural": InversionPreset(),
    "mahendran": InversionPreset(
        "pixels", "momentum", tv=1 / _V**2, norm=(0.5 / _B) ** 6, starts=1, distance="relative", schedule="thirds"
    ),
}


@method("what")
def invert(
    network: NetworkArg,
    images: ImagesArg,
    layer: LayersArg | None = None,
    *,
    preset: Annotated[InversionPreset, Group(PRESETS)] = PRESETS["natural"],
    every_stage: bool = False,
    steps: Steps = 500,
    octaves: Annotated[int, Range(1, 8)] = 1,
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
) -> Generator[Step[Inversion]]:
    """An image reconstructed from a layer's activations alone (Mahendran and Vedaldi, 2015).

    Values (B, C, H, W) in [0, 1], with the relative error of the activations. Several layers are matched together.
    Raises ObjectiveError if all activations of a layer are zero for the image.

    preset        natural, or the paper's objective and optimiser (mahendran); it sets the defaults of the options from
                  canvas to schedule
    every_stage   make one image for each of a few layers that represent the network, from the first to the last
    steps         number of steps for each image
    octaves       number of image sizes to optimise at, from coarse to fine, all shown to the network at the last
    seed          random seed of the initial noise
    """
    if every_stage == (layer is not None):
        raise OptionError("invert takes either a layer or every_stage; `triscope layers` lists the layers.")
    if every_stage and len(images) > 1:
        raise OptionError(f"every_stage shows one image at a time; {len(images)} were given.")
    stages = [(name,) for name in depths(network)] if every_stage else [layer or ()]
    done: list[Inversion] = []
    lost: list[str] = []
    for number, layers in enumerate(stages):
        place = beside(checkpoint, number) if every_stage else Path(checkpoint) if checkpoint else None
        options = {**vars(preset), "layer": layer, "every_stage": every_stage, "steps": steps, "octaves": octaves}
        options["images"] = [source.name for source in images.sources]
        try:
            plan = _plan(network, images, layers, preset, seed)
            plan = replace(plan, steps=steps, octaves=octaves, seed=seed, checkpoint=place, options=options)
            for step in _ascended(plan, len(images), preset.starts):
                found = _inversion(network, step.result, plan.asked, seed)
                joined = _row([*done, found], lost, images.images[0]) if every_stage else found
                yield Step(number * steps + step.index, len(stages) * steps, step.score, step.terms, joined)
        except (NetworkError, ObjectiveError) as error:
            lost.append(f"{', '.join(layers)} was left out. {error}")
            if len(lost) == len(stages):
                raise
        else:
            done.append(found)
    if lost:  # the last step may have been that of a stage that failed, or may not name it
        total, row = len(stages) * steps, _row(done, lost, images.images[0])
        yield Step(total, total, float(done[-1].scores.mean()), {}, row)


def _plan(
    network: Network, images: ImageBatch, layers: Sequence[str], settings: InversionPreset, seed: int
) -> AscentSpec:
    for name in layers:
        if name not in ("input", "output"):
            network.layer(name)
    with torch.no_grad():
        look = network.look(images.images, layers, seed=seed)
    silent = [name for name in layers if not look[Need(name)].flatten(1).any(1).all()]
    if silent:
        raise ObjectiveError(
            f"{silent[0]} of {network.name} has only zeros for this image: there is nothing to reconstruct."
        )
    asked = -(LogDistance if settings.distance == "log" else FeatureDistance).from_activations(look, layers)
    rows, cols = images.images.shape[-2:]
    drawn = (Fourier if settings.canvas == "fourier" else Pixels)(rows, cols, network.channels)
    optimiser = OPTIMISERS[settings.optimiser].maker(settings.rate, drawn.confine)
    priors: Objective | None = None
    for weight, prior in ((settings.tv, TotalVariation(2)), (settings.norm, PNorm(6))):
        if weight:
            priors = -weight * prior if priors is None else priors - weight * prior
    return AscentSpec(
        network, asked, drawn, priors=priors, optimiser=optimiser,
        pace=cosine if settings.schedule == "cosine" else _drops, upscale_to_final=True, beyond=settings.starts,
    )  # fmt: skip


def _ascended(plan: AscentSpec, pictures: int, starts: int) -> Generator[Step[SynthesisedImage]]:
    """The steps of so many images: from noise, or, each by itself, from what comes of several noises."""
    several = min(starts, plan.steps // (2 * _SHORTEST))
    # A job that was started with fewer steps, from one noise, is resumed as it was started.
    plain = saved_steps(plan.checkpoint) is not None and saved_steps(beside(plan.checkpoint, "start0")) is None
    if several < 2:
        _require_plain(plan if pictures == 1 else _alone(plan, 0), starts)
    if several < 2 or plain:
        yield from optimise(plan, noise(plan, pictures, _NOISE, alike=True))
    elif pictures == 1:
        yield from _from_several(plan, several)
    else:
        yield from _beside([_from_several(_alone(plan, number), several) for number in range(pictures)])


def _require_plain(plan: AscentSpec, starts: int) -> None:
    """Raise OptionError where a job was begun from several noises, and is to go on from one."""
    place = beside(plan.checkpoint, "start0")
    if place is not None:
        fewer = starts > 1  # then it is the steps that are too few for several
        read_checkpoint(place, plan.identity(noise(plan, strength=_NOISE)), plan.options, 0 if fewer else plan.steps)


def _alone(plan: AscentSpec, number: int) -> AscentSpec:
    """The part of a job for several images that makes one of them."""
    ((weight, distance),) = terms_of(plan.asked)
    assert isinstance(distance, FeatureDistance)
    return replace(plan, asked=weight * distance.of(number), checkpoint=beside(plan.checkpoint, f"picture{number}"))


def _beside(jobs: Sequence[Generator[Step[SynthesisedImage]]]) -> Generator[Step[SynthesisedImage]]:
    """The steps of several jobs of one length as those of one; they may have been resumed at different steps."""
    latest: list[Step[SynthesisedImage]] = []
    for row in zip_longest(*jobs):
        latest = [new or old for new, old in zip(row, latest, strict=True)] if latest else list(row)
        results = [step.result for step in latest]
        joined = replace(
            results[0],
            values=torch.cat([one.values for one in results]),
            scores=torch.cat([one.scores for one in results]),
            parts=torch.cat([one.parts for one in results if one.parts is not None]),
            notes=joined_notes([one.notes for one in results]),
        )
        yield Step(
            min(step.index for step in latest),
            latest[0].total,
            fmean(step.score for step in latest),
            {name: fmean(step.terms[name] for step in latest if step.terms) for name in latest[0].terms},
            joined,
        )


def _from_several(plan: AscentSpec, several: int) -> Generator[Step[SynthesisedImage]]:
    """The steps of one image, from what comes of several noises."""
    counts = _begun(plan) or [plan.steps // (2 * several)] * several
    done = 0
    notes: tuple[str, ...] = ()
    reached: list[Tensor] = []
    for number, steps in enumerate(counts):
        place = beside(plan.checkpoint, f"start{number}")
        early = replace(plan, steps=steps, seed=plan.seed + number, checkpoint=place)
        for step in optimise(early, noise(early, strength=_NOISE)):
            made = with_notes(step.result, notes)
            yield replace(step, index=done + step.index, total=plan.steps, result=made)
        done, notes = done + early.steps, made.notes
        reached.append(made.values)
        if number == 1 and _agreement(torch.cat(reached)) < _AGREED:
            start, octaves = noise(plan, strength=_NOISE), plan.octaves
            break
    else:
        start, octaves = torch.cat(reached).mean(0, keepdim=True), 1
    late = replace(plan, steps=plan.steps - done, octaves=octaves)
    for step in optimise(late, start):
        yield replace(step, index=done + step.index, total=plan.steps, result=with_notes(step.result, notes))


def _begun(plan: AscentSpec) -> list[int]:
    """How many steps each noise had, where the second half was begun before: a resumed job keeps them."""
    if saved_steps(plan.checkpoint) is None:
        return []
    saved = (saved_steps(beside(plan.checkpoint, f"start{number}")) for number in count())
    return [steps for steps in takewhile(bool, saved) if steps]


def _agreement(versions: Tensor) -> float:
    """How much versions (N, C, H, W) of an image are alike: their mean correlation, by what varies in their mean."""
    number = len(versions)
    kept = float(versions.mean(dim=0).var((1, 2)).sum() / versions.var((2, 3)).sum(1).mean())
    return (number * kept - 1) / (number - 1)


def _drops(done: float) -> float:
    """The paper's rates: a tenth of it after each third."""
    return 0.1 ** int(3 * done)


def _inversion(network: Network, made: SynthesisedImage, asked: Objective, seed: int) -> Inversion:
    ((_, distance),) = terms_of(asked)
    assert isinstance(distance, FeatureDistance)
    scores = made.scores
    if isinstance(distance, LogDistance):
        scores = -LogDistance.relative(-scores)
    if len(distance.targets) == 1:
        errors = (-scores).clamp_min(0).sqrt()[:, None]
    else:
        with torch.no_grad():
            errors = distance.errors(network.look(made.values.to(network.dtype), distance.needs, seed=seed))
    layers = tuple(need.layer for need in distance.targets)
    return Inversion(made.values, scores=scores, objective=None, notes=made.notes, errors=errors, layers=layers)


def _row(stages: Sequence[Inversion], lost: Sequence[str], photo: Tensor) -> Inversion:
    """The stages of a photo (C, H, W) side by side; `lost` says which failed."""
    return replace(
        stages[-1],
        photo=photo,
        values=torch.cat([one.values for one in stages]),
        scores=torch.cat([one.scores for one in stages]),
        errors=torch.cat([one.errors[:, :1] for one in stages]),
        notes=(*(Note(note, (number,), 1) for number, one in enumerate(stages) for note in one.notes), *lost),
        layers=(),
        stages=tuple(one.layers[0] for one in stages),
    )
