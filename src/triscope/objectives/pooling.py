"""Pooling: what is asked of a layer where not every position is asked for itself."""

import torch
from torch import Tensor

from triscope.objectives.base import Pool


def pooled(values: Tensor, pool: Pool) -> Tensor:
    """Maps (B, C, h, w) pooled over their positions: (B, C), or (B, C, C) for `gram`. Vectors stay as they are.

    Means and Gram matrices are made in float32 at least: half precision loses the sums over many positions.
    """
    if pool == "none" or values.ndim == 2:
        return values
    if pool == "gram":
        return gram(values)
    return mean(values) if pool == "mean" else values.amax((2, 3))


def mean(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over positions of (B, C, h, w) features, weighted by `weights` (1, 1, h, w) where given: (B, C)."""
    kind = torch.float32 if features.itemsize < 4 else features.dtype
    if weights is None:
        return features.mean((2, 3), dtype=kind)
    return (features * weights).sum((2, 3), dtype=kind) / weights.sum(dtype=kind)


def gram(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Channel products of (B, C, h, w) features, averaged over positions: (B, C, C), F F^T / (h w).

    With `weights` (1, 1, h, w), a weighted average.
    """
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # no copy where channels lie last
    rows = rows.float() if rows.itemsize < 4 else rows
    if weights is None:
        return rows.transpose(1, 2) @ rows / rows.shape[1]
    each = weights.flatten(1)[:, :, None].to(rows)
    return rows.transpose(1, 2) @ (each * rows) / each.sum()
