"""Maps as a judge sees them: one value for each pixel, its order, and how alike two maps are."""

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.results import Heatmap


def evidence(heat: Heatmap) -> Tensor:
    """How much each pixel speaks for the score: (B, H, W) on the pixels of the image, float64.

    One channel is taken as it is, with its sign. Of several, such as the colours of a gradient, it is the sum of their
    magnitudes. Coarser maps are enlarged.
    """
    values = heat.values.double()
    flat = values[:, 0] if values.shape[1] == 1 else values.abs().sum(1)
    size = heat.image.shape[-2:]
    if flat.shape[-2:] == size:
        return flat
    return F.interpolate(flat[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def ranking(values: Tensor) -> Tensor:
    """The pixels of a map (H, W) by how much they speak for the score, the strongest first: (H * W,).

    Equal values keep their order in the image, so that the same map is always ranked the same.
    """
    return values.flatten().argsort(descending=True, stable=True)


def ranks(values: Tensor) -> Tensor:
    """The rank of each of the values (N,), from 0; equal ones share their mean rank."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    means: Tensor = counts.cumsum(0).double() - (counts.double() + 1) / 2
    return means[inverse]


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's correlation of two maps of one size; 0 where one of them is constant."""
    pairs = torch.stack([ranks(first.flatten()), ranks(second.flatten())])
    if not bool((pairs.amax(1) > pairs.amin(1)).all()):
        return 0.0
    return float(torch.corrcoef(pairs)[0, 1])


def correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's correlation of two vectors; 0 where one of them is constant."""
    pairs = torch.stack([first.flatten().double(), second.flatten().double()])
    if not bool((pairs.amax(1) - pairs.amin(1) > 1e-12 * pairs.abs().amax(1).clamp_min(1e-30)).all()):
        return 0.0
    return float(torch.corrcoef(pairs)[0, 1])
