"""Segmentation from a map: the object of a class, cut out without any training on outlines.

    the smoothed map      top 5 %: object; top 25 %: probably; lowest 30 %: background; the rest probably background
    GrabCut               in turn, colour models of both, and the cut between them along edges
    the mask              the largest connected part

**When it misleads.** The map says what the class is recognised by, often a head and not a body; colours decide the
rest. Where object and background have the same colours, the outline means nothing.

**References.** K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks", ICLR workshop 2014, section
3.2. C. Rother, V. Kolmogorov, A. Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
SIGGRAPH 2004.

**Differences from the paper.** The paper takes the map as it is; ours smooths it first, since the maxima of a gradient
are scattered. The paper's colour models are made once, of the 5 % and the 30 %; GrabCut improves them in rounds.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from triscope import render
from triscope.errors import OptionError
from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, Range, method
from triscope.objectives.units import TOP_CLASS
from triscope.results import Drawn, PerImage, joined_notes
from triscope.results.batch import notes_of
from triscope.where.by_name import heatmap_methods
from triscope.where.comparison import one_channel_map
from triscope.where.fills import blurred

_BLUR = 1 / 56  # standard deviation of the smoothing, as a fraction of the shorter side
_LIKELY = 0.75
_INSIDE = (1, 3)  # OpenCV's numbers for what is and what may be inside


@dataclass(frozen=True, eq=False)
class Segmentation(Drawn):
    """A mask (B, 1, H, W), 1 inside and 0 outside, over `image` (B, 1 or 3, H, W).

    `seeds` (B, 1, H, W) are what the map says: 2 inside, 1 probably, -1 probably outside, -2 outside. `scores`,
    `objective` and `asked` are those of the map.
    """

    image: PerImage[Tensor]
    boxes: PerImage[tuple[Any, ...]]
    seeds: PerImage[Tensor]
    scores: PerImage[Tensor]
    objective: PerImage[Any]
    asked: PerImage[tuple[str, ...]]

    @property
    def share(self) -> Tensor:
        """The part of each image that lies inside: (B,)."""
        return self.values.mean((1, 2, 3))

    def summary(self) -> dict[str, Any]:
        """The objective, and how much of the image lies inside."""
        facts = {"asked": list(self.asked), "scores": self.scores.tolist(), "share": self.share.tolist()}
        return super().summary() | facts

    def draw(self) -> Tensor:
        """The image and the mask beside each other: outside the mask the image is pale."""
        rows = []
        for picture, mask in zip(self.image.float(), self.values.float(), strict=True):
            colour = self.visible(picture)
            pale = colour.mean(0, keepdim=True).expand(3, -1, -1) * 0.3 + 0.7
            rows.append(render.side_by_side(colour, torch.lerp(pale, colour, mask), mask.expand(3, -1, -1)))
        return render.grid(rows, 1)


@method("where")
def segment(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    method: str = "saliency",
    foreground: Annotated[float, Range(0.75, 1)] = 0.95,
    background: Annotated[float, Range(0, 0.75)] = 0.3,
    rounds: Annotated[int, Range(1, 100)] = 5,
) -> Segmentation:
    """The object of a class, cut out by GrabCut, which starts where a heatmap is strongest (Simonyan et al., 2014).

    Values (B, 1, H, W): 1 inside, 0 outside. Raises OptionError if OpenCV is not installed.

    method        the method that makes the heatmap, with its default options
    foreground    pixels at or above this quantile of the smoothed map count as the object
    background    pixels at or below this quantile count as background
    rounds        number of GrabCut iterations
    """
    (verb,) = heatmap_methods([method], option="method").values()
    heat = verb(network, images, objective)
    smooth = blurred(one_channel_map(heat)[:, None], max(min(heat.image.shape[-2:]) * _BLUR, 0.5))[:, 0]
    seeds = torch.stack([_seeds(one, foreground, background) for one in smooth])
    masks = [_cut(image, seed, rounds) for image, seed in zip(heat.image, seeds, strict=True)]
    notes = joined_notes([[*notes_of(heat.notes, number), *_said(one)] for number, one in enumerate(seeds)])
    return Segmentation(
        torch.stack(masks)[:, None].to(heat.values),
        image=heat.image,
        boxes=heat.boxes,
        seeds=seeds[:, None].to(heat.values),
        scores=heat.scores,
        objective=heat.objective,
        asked=heat.asked,
        notes=notes,
    )


def _seeds(values: Tensor, foreground: float, background: float) -> Tensor:
    """2 and 1 for what is and what may be inside, -2 and -1 for outside (H, W); all 0 where the map is constant."""
    if values.min() == values.max():
        return torch.zeros_like(values, dtype=torch.int8)
    low, middle, high = (torch.quantile(values.double(), share) for share in (background, _LIKELY, foreground))
    seeds = torch.where(values > middle, 1, -1)
    seeds = torch.where(values <= low, -2, seeds)
    return torch.where((values >= high) & (values > low), 2, seeds).to(torch.int8)


def _said(seeds: Tensor) -> list[str]:
    return [] if seeds.any() else ["The map is the same everywhere, so that nothing could be cut out."]


def _cut(image: Tensor, seeds: Tensor, rounds: int) -> Tensor:
    """The mask (H, W) of an image (C, H, W) that its seeds make."""
    if not seeds.any():
        return torch.zeros_like(seeds)
    try:
        import cv2
    except ImportError as error:
        raise OptionError(
            "Cutting out is done by OpenCV, which is not installed: pip install 'triscope[segments]'."
        ) from error
    kinds = {2: cv2.GC_FGD, 1: cv2.GC_PR_FGD, -1: cv2.GC_PR_BGD, -2: cv2.GC_BGD}
    mask = np.zeros(tuple(seeds.shape), np.uint8)
    for seed, kind in kinds.items():
        mask[(seeds == seed).cpu().numpy()] = kind
    pixels = (render.visible(image).float() * 255).round().byte().cpu().permute(1, 2, 0).flip(2).contiguous().numpy()

    def cut() -> np.ndarray[Any, Any]:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        inside = np.isin(cv2.grabCut(pixels, mask, (0, 0, 1, 1), *models, rounds, cv2.GC_INIT_WITH_MASK)[0], _INSIDE)
        count, labels, facts, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
        return labels == 1 + facts[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else inside

    # OpenCV has a random generator per thread, seeded alike in each: a new thread repeats the cut and touches no other.
    with ThreadPoolExecutor(1) as alone:
        return torch.from_numpy(alone.submit(cut).result()).to(seeds)
