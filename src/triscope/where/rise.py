"""RISE: which pixels tend to be visible where the score is high, over many random masks.

    value at a pixel = 1 / (p N) * sum over N masks of  (S(x * mask) - mean S) * mask         p = E mask

A mask is a coarse grid of random cells, on or off, enlarged smoothly and shifted at random.

**When it misleads.** It is an estimate: with few masks the map is mostly the masks' own noise, which looks like blobs.
Hidden pixels fade to the fill and are not removed. A small object needs smaller cells, and these more masks.

**Reference.** V. Petsiuk, A. Das, K. Saenko, "RISE: randomized input sampling for explanation of black-box models",
BMVC 2018.

**Differences from the paper.** The mean score of all masked images is subtracted, so that zero means no difference;
this is the paper's map up to a constant, and less noisy, as pixels that happen to be visible more often gain nothing by
it. The paper's score is the probability of a class; ours is any objective (`prob:tabby`).
"""

from collections.abc import Generator, Iterator
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.methods import BatchSize, ImagesArg, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.fills import Plain, filled
from triscope.where.target import Changed, Target, in_batches


@method("where")
def rise(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    masks: Annotated[int, Range(1, 1_000_000)] = 1000,
    cells: Annotated[int, Range(1, 1000)] = 7,
    visible: Annotated[float, Range(0.01, 0.99)] = 0.5,
    fill: Plain = "black",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[Heatmap]]:
    """The mean of many random masks, each weighted by the score of the masked image (Petsiuk et al., 2018).

    Values (B, 1, H, W), signed, in units of the score: how much higher it is when the pixel is visible than on average.
    All images of a batch share the masks.

    masks         number of masks; the noise of the map falls with the square root of this number
    cells         number of cells of a mask in each direction
    visible       mean fraction of the cells that are visible
    fill          what masked pixels fade to: grey, black, the image's mean colour, or a blurred copy of the image
    """
    target = Target.of(network, images, objective)
    hidden = filled(target.images, fill)
    rows, cols = target.images.shape[-2:]

    def copies() -> Iterator[Changed[Tensor]]:
        for drawn in random_masks(masks, (rows, cols), cells, visible, seed):
            mask = drawn.to(target.images)
            for image in range(len(target)):
                yield Changed(image, torch.lerp(hidden[image], target.images[image], mask), mask)

    seen = _Correlation(len(target), target.images[:1, 0], visible)
    done, total = 0, masks * len(target)
    for some in in_batches(copies(), batch_size):
        seen.add(some.images, target.ask(some.pictures, some.images), torch.stack(some.keys))
        done += len(some.images)
        yield Step(done, total, float(target.scores.mean()), {}, target.heatmap(seen.values()))


def random_masks(count: int, size: tuple[int, int], cells: int, visible: float, seed: int) -> Iterator[Tensor]:
    """`count` masks (1, H, W) in [0, 1]: cells that are on with probability `visible`, enlarged and shifted."""
    generator = torch.Generator().manual_seed(seed)
    steps = [-(-side // cells) for side in size]
    for _ in range(count):
        grid = (torch.rand(1, 1, cells + 1, cells + 1, generator=generator) < visible).float()
        large = F.interpolate(grid, [(cells + 1) * step for step in steps], mode="bilinear", align_corners=False)
        top, left = (int(torch.randint(step, (), generator=generator)) for step in steps)
        yield large[0, :, top : top + size[0], left : left + size[1]].clamp(0, 1)


class _Correlation:
    """Sums over masks, of scores, and of both, for each image."""

    def __init__(self, count: int, like: Tensor, visible: float) -> None:
        self.visible = visible
        self.masks = like.new_zeros(count, *like.shape)
        self.products = like.new_zeros(count, *like.shape)
        self.scores = like.new_zeros(count)
        self.counts = like.new_zeros(count)

    def add(self, images: tuple[int, ...], scores: Tensor, masks: Tensor) -> None:
        index = torch.tensor(images, device=masks.device)
        self.masks.index_add_(0, index, masks)
        self.products.index_add_(0, index, masks * scores.view(-1, 1, 1, 1))
        self.scores.index_add_(0, index, scores)
        self.counts.index_add_(0, index, torch.ones_like(scores))

    def values(self) -> Tensor:
        """(B, 1, H, W); zero for an image without any score yet."""
        counts = self.counts.clamp_min(1).view(-1, 1, 1, 1)
        mean = self.scores.view(-1, 1, 1, 1) / counts
        return (self.products - mean * self.masks) / (self.visible * counts)
