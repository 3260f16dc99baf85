"""Superpixels, and the score when only some of them are visible: shared by Shapley values and LIME.

A coalition says which superpixels of an image are visible; the others are filled. Its score is the value of a
cooperative game whose players are the superpixels; methods differ in which coalitions they evaluate and how they divide
the score.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from triscope.results import Heatmap
from triscope.results.batch import PerImage, joined_notes
from triscope.where.fills import Fill, Hide, hiding
from triscope.where.target import Changed, Target, in_batches

K = TypeVar("K")
S = TypeVar("S", bound="SegmentHeatmap")

Division: TypeAlias = Literal["slic", "grid"]
#: An image's number, which of its superpixels are visible, and the method's key of the coalition.
Coalition: TypeAlias = tuple[int, Tensor, K]


@dataclass(frozen=True, eq=False)
class SegmentHeatmap(Heatmap):
    """A heatmap with one value for each superpixel: every pixel shows its superpixel's.

    `segments` (B, 1, H, W) are the numbers of the superpixels, from 0.
    """

    segments: PerImage[Tensor] = field(kw_only=True)

    def contributions(self, image: int = 0) -> Tensor:
        """The value of each superpixel of that image: (n,). Shapley values sum to a difference in score."""
        labels = self.segments[image, 0].flatten()
        first = torch.stack([(labels == label).nonzero()[0, 0] for label in range(int(labels.max()) + 1)])
        return self.values[image, 0].flatten()[first]


@dataclass(frozen=True, eq=False)
class Game:
    """The superpixels of each image, and how those that are not visible are hidden."""

    target: Target
    labels: Tensor
    hide: Hide

    @classmethod
    def of(cls, target: Target, division: Division, count: int, fill: Fill) -> "Game":
        """Divide each image into about `count` superpixels."""
        labels = torch.stack([divided(image, division, count) for image in target.images])
        return cls(target, labels, hiding(target.images, fill))

    def players(self, image: int) -> int:
        """How many superpixels the image has."""
        return int(self.labels[image].max()) + 1

    def picture(self, image: int, visible: Tensor) -> Tensor:
        """The image (C, H, W) where only the superpixels with a true `visible` (n,) are shown."""
        return self.hide(image, ~visible[self.labels[image]])

    def ask(self, coalitions: Iterable[Coalition[K]], batch_size: int) -> Iterator[list[tuple[K, float]]]:
        """The keys and scores of coalitions in their order, as each batch is evaluated."""

        def copies() -> Iterator[Changed[K]]:
            for image, visible, key in coalitions:
                yield Changed(image, self.picture(image, visible), key)

        for some in in_batches(copies(), batch_size):
            scores = self.target.ask(some.pictures, some.images).tolist()
            yield list(zip(some.keys, scores, strict=True))

    def ends(self, image: int) -> tuple[float, float]:
        """The score of the filled image and of the image itself."""
        nothing = self.picture(image, torch.zeros(self.players(image), dtype=torch.bool))
        return float(self.target.ask(nothing[None], [image])), float(self.target.scores[image])

    def painted(self, values: Sequence[Tensor]) -> Tensor:
        """For each image one value for each superpixel (n,), at every pixel of it: (B, 1, H, W)."""
        like = self.target.images
        return torch.stack([one.to(like)[labels] for one, labels in zip(values, self.labels, strict=True)])

    def result(self, kind: type[S], values: Sequence[Tensor], notes: Sequence[str], **more: Tensor) -> S:
        """The heatmap of a value for each superpixel of each image, with a note for each image."""
        said = joined_notes([[note] for note in notes])
        return self.target.result(kind, self.painted(values), said, segments=self.labels, **more)


def divided(image: Tensor, division: Division, count: int) -> Tensor:
    """The superpixels of an image (C, H, W), about `count` of them: their numbers (1, H, W), from 0, without gaps.

    `slic` follows colours (Achanta et al., 2012, as scikit-image has it), `grid` is rectangles.
    """
    rows, cols = image.shape[-2:]
    if division == "grid":
        down = min(rows, max(1, round((count * rows / cols) ** 0.5)))
        across = min(cols, max(1, round(count / down)))
        labels = (torch.arange(rows) * down // rows)[:, None] * across + torch.arange(cols) * across // cols
    else:
        from skimage.segmentation import slic  # takes a moment to load

        pixels = image.double().cpu().permute(1, 2, 0).numpy()
        labels = torch.from_numpy(slic(pixels, count, compactness=10, start_label=0, channel_axis=-1))
    numbers: Tensor = labels.unique(return_inverse=True)[1]
    return numbers.view(1, rows, cols).to(image.device)
