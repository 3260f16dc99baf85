"""A map averaged over noisy copies of the image: SmoothGrad, its square, its variance, and the same for any method.

    mean        mean of M(x + e)            e normal, its spread a part of the image's range
    squared     mean of M(x + e)^2
    variance    mean of M(x + e)^2 - (mean of M(x + e))^2

M is the gradient, or the map of another method.

**When it misleads.** The map describes the network around the image, not at it: with much noise, on images unlike any
that it has seen. Squares lose the sign, and the variance (VarGrad) is large where the gradient varies, which is not the
same as important.

**References.** D. Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017. J. Adebayo et al., "Local
explanation methods for deep neural networks lack sensitivity to parameter values", ICLR workshop 2018 (VarGrad). S.
Hooker et al., "A benchmark for interpretability methods in deep neural networks", NeurIPS 2019 (SmoothGrad-squared).

**Differences from the paper.** The paper takes the magnitude of the mean gradient for drawing; ours takes the colour of
largest magnitude, as saliency does. All images of a batch get the same noise, so that an image has the same map in any
batch. Noisy pixels are not clipped to [0, 1].
"""

from collections.abc import Callable, Generator, Iterator
from typing import Annotated, Any, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.methods import BatchSize, ImagesArg, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.network import ImageBatch, Images, Network
from triscope.objectives.parsing import ObjectiveLike, resolve
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.target import Changed, Sums, Target, in_batches

Statistic: TypeAlias = Literal["mean", "squared", "variance"]


@method("where")
def smooth_grad(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    samples: Annotated[int, Range(1, 100_000)] = 32,
    noise: Annotated[float, Range(0, 10)] = 0.15,
    statistic: Statistic = "mean",
    channels: Literal["max", "sum", "signed"] = "max",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[Heatmap]]:
    """The gradient averaged over noisy copies of the image (Smilkov et al., 2017).

    Values (B, 1, H, W), per unit of pixel value, or of its square. Without an objective, the top class of each image is
    used, also for its noisy copies.

    samples       number of noisy copies
    noise         standard deviation of the noise, as a fraction of the range of the image's values
    statistic     what is computed from the gradients: their mean, the mean of their squares, or their variance
                  (VarGrad)
    channels      how the colour channels are combined: maximum magnitude, sum of magnitudes, or signed sum
    """
    target = Target.of(network, images, objective)
    averages = _Averages(target.images)

    def copies() -> Iterator[Changed[None]]:
        for noisy in noisy_copies(target.images, samples, noise, seed):
            for image, picture in enumerate(noisy):
                yield Changed(image, picture, None)

    done, total = 0, samples * len(target)
    for some in in_batches(copies(), batch_size):
        _, gradients = target.differentiate(some.pictures, some.images)
        averages.add(some.images, gradients)
        done += len(gradients)
        values = one_channel(averages.get(statistic), channels)
        yield Step(done, total, float(target.scores.mean()), {}, target.heatmap(values))


def smooth(
    around: Callable[..., Heatmap],
    *,
    samples: int = 32,
    noise: float = 0.15,
    statistic: Statistic = "mean",
    seed: int = 0,
) -> Callable[..., Heatmap]:
    """Another method, averaged over noisy copies of the image: `ts.smooth(ts.grad_cam)(network, images, "tabby")`.

    The function that is returned takes the method's arguments, and returns a heatmap of the same shape. The top class
    is determined on the image without noise. `redo` cannot repeat the result.
    """

    def smoothed(network: Network, images: Images, objective: ObjectiveLike = None, **options: Any) -> Heatmap:
        seen = network.prepare(images, options.get("fit", "crop"))
        target = Target.of(network, seen, resolve(objective, network))
        averages = None
        for noisy in noisy_copies(target.images, samples, noise, seed):
            one = around(network, ImageBatch(noisy, seen.boxes, seen.sources), target.objective, **options)
            averages = averages or _Averages(one.values)
            averages.add(range(len(one)), one.values)
        assert averages is not None
        name = getattr(around, "name", getattr(around, "__name__", "a method"))
        return target.heatmap(averages.get(statistic), [f"The {statistic} of {name} over {samples} noisy copies."])

    return smoothed


def noisy_copies(images: Tensor, samples: int, spread: float, seed: int) -> Iterator[Tensor]:
    """`samples` copies of `images` (B, C, H, W), each with the same noise, scaled to the range of each image."""
    generator = torch.Generator().manual_seed(seed)
    scale = spread * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    for _ in range(samples):
        drawn = torch.randn(images.shape[1:], generator=generator, dtype=torch.float64)
        yield images + scale * drawn.to(images)


def one_channel(values: Tensor, channels: Literal["max", "sum", "signed"]) -> Tensor:
    """Colours (B, C, H, W) as one number, (B, 1, H, W): the largest magnitude, their sum, or the signed sum."""
    if channels == "signed":
        return values.sum(1, keepdim=True)
    return values.abs().amax(1, keepdim=True) if channels == "max" else values.abs().sum(1, keepdim=True)


class _Averages:
    """Means of maps and of their squares."""

    def __init__(self, like: Tensor) -> None:
        self._plain, self._square = Sums(len(like), like), Sums(len(like), like)

    def add(self, images: Any, maps: Tensor) -> None:
        ones = torch.ones(len(maps))
        self._plain.add(images, ones, maps)
        self._square.add(images, ones, maps.square())

    def get(self, statistic: Statistic) -> Tensor:
        if statistic == "mean":
            return self._plain.means()
        square = self._square.means()
        return square if statistic == "squared" else (square - self._plain.means().square()).clamp_min(0)
