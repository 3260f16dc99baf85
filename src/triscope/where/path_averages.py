"""The gradient averaged along the path from a baseline to the image, times their difference.

    integrated gradients    (x - b) * mean over a in [0, 1] of dS/dx (b + a (x - b))         b a baseline
    expected gradients      the mean of that over many baselines, one random a for each

The gradient at the image alone vanishes where the unit is saturated; along the path it does not. The values of
integrated gradients sum to S(x) - S(b), whatever the network (completeness); the result states the error of a finite
number of steps.

**When it misleads.** Pixels that equal the baseline get nothing: with a black baseline, black pixels. The path leads
through images unlike any photo. Maps are noisy like gradients, though less.

**References.** M. Sundararajan, A. Taly, Q. Yan, "Axiomatic attribution for deep networks", ICML 2017. G. Erion et al.,
"Improving performance of deep learning models with axiomatic attribution priors and expected gradients", Nature Machine
Intelligence 2021. P. Sturmfels, S. Lundberg, S.-I. Lee, "Visualizing the impact of feature attribution baselines",
Distill 2020.

**Differences from the paper.** Pixels are taken before normalisation, so that the path is a straight line in [0, 1]; as
normalisation is affine, values are the same. The points of expected gradients are stratified: one in each of as many
equal parts of the path, in random order.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args

import numpy as np
import torch
from torch import Tensor

from triscope.errors import OptionError
from triscope.images import resize
from triscope.methods import (
    BatchSize,
    Group,
    ImageInput,
    ImagesArg,
    NetworkArg,
    ObjectiveArg,
    Range,
    Seed,
    Step,
    method,
)
from triscope.network import ImageBatch
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.results.batch import PerImage, joined_notes
from triscope.where.fills import Plain, filled, noise
from triscope.where.target import Changed, Sums, Target, in_batches

Rule: TypeAlias = Literal["gauss-legendre", "trapezoid"]
Colours: TypeAlias = Literal["sum", "keep"]

BASELINE = ImageInput(
    part="baseline",
    words=(*get_args(Plain), "random"),
    help=f"the baseline: {', '.join(get_args(Plain))}, random, or an image",
)
_REFERENCES = ImageInput(many=True, part="reference", help="a baseline image; may be repeated")
_FIRST, _MOST = 16, 1024  # steps, if their number is automatic


@dataclass(frozen=True)
class Quadrature:
    """How the integral along the path is computed.

    steps         number of points on the path at which the gradient is computed, or auto: as many as the tolerance
                  needs, up to 1024
    tolerance     for automatic steps: the error allowed, as a fraction of the difference in score
    rule          integration rule: which points are used, and with what weights
    """

    steps: Annotated[int, Range(2, 4096)] | Literal["auto"] = 32
    tolerance: Annotated[float, Range(1e-6, 1)] = 0.01
    rule: Rule = "gauss-legendre"

    @property
    def adaptive(self) -> bool:
        """Whether the number of points follows from the tolerance."""
        return self.steps == "auto"


@dataclass(frozen=True, eq=False)
class PathHeatmap(Heatmap):
    """A heatmap whose values should add up.

    `differences` (B,) are the scores less those of the baseline, to which the values of each image should sum; `errors`
    (B,) are the relative errors of the sums.
    """

    differences: PerImage[Tensor] = field(kw_only=True)
    errors: PerImage[Tensor] = field(kw_only=True)

    def summary(self) -> dict[str, Any]:
        """The differences and errors, too."""
        return super().summary() | {"difference": self.differences.tolist(), "error": self.errors.tolist()}


@method("where")
def integrated_gradients(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    baseline: Annotated[ImageBatch | str, BASELINE] = "black",
    baselines: Annotated[int, Range(1, 100)] = 5,
    quadrature: Annotated[Quadrature, Group()] = Quadrature(),
    channels: Colours = "sum",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[PathHeatmap]]:
    """What each pixel adds to the score: gradients averaged along the path from a baseline (Sundararajan et al., 2017).

    Values (B, 1, H, W), signed, or (B, C, H, W) with `channels="keep"`, in units of the score. They sum to the
    difference between the scores of the image and the baseline, up to an error that the result states. The baseline is
    black, grey, mean, blur, random, or an image.

    baselines     number of random baselines to average, if the baseline is random
    channels      sum over the colour channels, or keep them separate
    """
    target = Target.of(network, images, objective)
    starts = starts_of(target.images, baseline, baselines, seed)
    differences = target.scores - _mean_score(target, starts)
    found = torch.zeros_like(target.images)
    left, count = list(range(len(target))), _FIRST if quadrature.adaptive else int(quadrature.steps)
    while left:
        for done, total, values in _integrated(target, starts, _points(quadrature.rule, count), left, batch_size):
            found = found.index_copy(0, torch.tensor(left, device=found.device), values)
            result = summed(target, found, differences, channels, f"with {count} steps")
            yield Step(done, total, float(target.scores.mean()), {"error": float(result.errors.max())}, result)
        more = quadrature.adaptive and count < _MOST
        left = [image for image in left if more and result.errors[image] > quadrature.tolerance]
        count *= 2


@method("where")
def expected_gradients(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    references: Annotated[ImageBatch, _REFERENCES] | None = None,
    samples: Annotated[int, Range(1, 100_000)] = 64,
    channels: Colours = "sum",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[PathHeatmap]]:
    """Integrated gradients averaged over many baseline images (Erion et al., 2021).

    Values (B, 1, H, W), signed, or (B, C, H, W) with `channels="keep"`, in units of the score. They sum approximately
    to the score minus the mean score of the references. References are resized to the images' size.

    samples       number of gradients to average, each at a random point between a reference and the image
    channels      sum over the colour channels, or keep them separate
    """
    target = Target.of(network, images, objective)
    if references is None:
        raise OptionError(
            "Expected gradients need references, the baseline images: references=[...], or --reference "
            "FILE, several times."
        )
    starts = _like(references, target.images)[:, None].expand(-1, len(target), -1, -1, -1)
    order, places = _draws(len(starts), samples, seed)
    differences = target.scores - _mean_score(target, starts[sorted(set(order))])
    sums = Sums(len(target), target.images)

    def copies() -> Iterator[Changed[int]]:
        for start, place in zip(order, places, strict=True):
            for image, picture in enumerate(target.images):
                yield Changed(image, starts[start, image].lerp(picture, place), start)

    done = 0
    for some in in_batches(copies(), batch_size):
        _, gradients = target.differentiate(some.pictures, some.images)
        ways = target.images[list(some.images)] - starts[list(some.keys), list(some.images)]
        sums.add(some.images, torch.ones(len(ways)), gradients * ways)
        done += len(ways)
        result = summed(target, sums.means(), differences, channels, f"with {samples} samples")
        total = samples * len(target)
        yield Step(done, total, float(target.scores.mean()), {"error": float(result.errors.max())}, result)


def _integrated(
    target: Target, starts: Tensor, points: Sequence[tuple[float, float]], images: Sequence[int], batch_size: int
) -> Iterator[tuple[int, int, Tensor]]:
    """How many gradients are done, of how many, and the integral for those images so far: (n, C, H, W)."""
    sums = Sums(len(starts) * len(images), target.images)

    def copies() -> Iterator[Changed[tuple[int, float]]]:
        for place, weight in points:
            for number, start in enumerate(starts):
                for row, image in enumerate(images):
                    picture = start[image].lerp(target.images[image], place)
                    yield Changed(image, picture, (number * len(images) + row, weight))

    done, total = 0, len(points) * len(starts) * len(images)
    chosen = list(images)
    ways = target.images[chosen] - starts[:, chosen]
    for some in in_batches(copies(), batch_size):
        _, gradients = target.differentiate(some.pictures, some.images)
        sums.add([row for row, _ in some.keys], torch.tensor([weight for _, weight in some.keys]), gradients)
        done += len(gradients)
        yield done, total, (sums.means().view_as(ways) * ways).mean(0)


def _points(rule: Rule, count: int) -> list[tuple[float, float]]:
    """The points in [0, 1] at which gradients are computed, and the weight of each; in an order that spreads them."""
    if rule == "trapezoid":
        places = np.linspace(0, 1, count)
        weights = np.full(count, 1 / (count - 1))
        weights[[0, -1]] /= 2
    else:
        places, weights = np.polynomial.legendre.leggauss(count)
        places, weights = (places + 1) / 2, weights / 2
    # In bit-reversed order, so that a job that is stopped has points from all parts of the path.
    order = sorted(range(count), key=lambda number: f"{number:016b}"[::-1])
    return [(float(places[number]), float(weights[number])) for number in order]


def starts_of(images: Tensor, baseline: ImageBatch | str, count: int, seed: int) -> Tensor:
    """The baselines of each of `images` (B, C, H, W): (n, B, C, H, W)."""
    if isinstance(baseline, ImageBatch):
        return _like(baseline, images).expand_as(images)[None]
    if baseline == "random":
        return noise(images, count, seed)[:, None].expand(-1, *images.shape)
    return filled(images, cast("Plain", baseline))[None]


def _like(seen: ImageBatch, images: Tensor) -> Tensor:
    """Images, resized to the size of `images`."""
    rows, cols = images.shape[-2:]
    return resize(seen.images, (rows, cols))


def _mean_score(target: Target, starts: Tensor) -> Tensor:
    """The mean score of the baselines (n, B, C, H, W), each by the objective of its image: (B,)."""
    return torch.stack([target.ask(start, range(len(target))) for start in starts]).mean(0)


def _draws(references: int, samples: int, seed: int) -> tuple[list[int], list[float]]:
    """For each sample a reference, all of them equally often, and a point on the path, all parts equally often."""
    generator = torch.Generator().manual_seed(seed)
    rounds = [torch.randperm(references, generator=generator) for _ in range(-(-samples // references))]
    places = (torch.randperm(samples, generator=generator) + torch.rand(samples, generator=generator)) / samples
    return torch.cat(rounds)[:samples].tolist(), places.tolist()


def summed(target: Target, values: Tensor, differences: Tensor, channels: Colours, how: str) -> PathHeatmap:
    """The result of `values` (B, C, H, W) that should sum to `differences` (B,); `how` says how they were made."""
    gaps = (differences - values.sum((1, 2, 3))).abs()
    errors = gaps / differences.abs().clamp_min(torch.finfo(gaps.dtype).tiny)
    notes = [[f"The values sum to the difference in score to within {float(one):.2%} of it, {how}."] for one in errors]
    shown = values.sum(1, keepdim=True) if channels == "sum" else values
    return target.result(PathHeatmap, shown, joined_notes(notes), differences=differences, errors=errors)
