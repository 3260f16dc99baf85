"""Maps as the metrics read them: one value per pixel, the order of pixels, and correlations of two maps."""

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.results import Heatmap


def evidence(heat: Heatmap) -> Tensor:
    """One value per pixel of the image, the larger the more it supports the score: (B, H, W), float64.

    A single channel keeps its sign. Several channels, such as the colours of a gradient, become the sum of their
    magnitudes. Coarser maps are enlarged bilinearly.
    """
    values = heat.values.double()
    flat = values[:, 0] if values.shape[1] == 1 else values.abs().sum(1)
    size = heat.image.shape[-2:]
    if flat.shape[-2:] == size:
        return flat
    return F.interpolate(flat[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def ranking(values: Tensor) -> Tensor:
    """The indices of the pixels of a map (H, W), the highest value first: (H * W,).

    Equal values keep their order in the image, so that the ranking of a map is deterministic.
    """
    return values.flatten().argsort(descending=True, stable=True)


def ranks(values: Tensor) -> Tensor:
    """The rank of each of the values (N,), from 0; equal values get their mean rank."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    means: Tensor = counts.cumsum(0).double() - (counts.double() + 1) / 2
    return means[inverse]


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's correlation of two maps of the same size; 0 where one of them is constant."""
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
