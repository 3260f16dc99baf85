"""Pooling: what is asked of a layer where not every position is asked for itself."""

from typing import Any

import torch
from torch import Tensor

from triscope.autograd import applied
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
    total: int | Tensor = rows.shape[1]
    if weights is not None:
        rows = _wide(rows)
        each = weights.flatten(1)[:, :, None].to(rows)
        rows, total = rows * each.sqrt(), each.sum()
    return applied(_Products, rows) / total


class _Products(torch.autograd.Function):
    """(B, M, C) -> (B, C, C), R^T R in float32 at least.

    The way back is one product in the features' own precision, which is where it leads, instead of two and their sum
    in float32: a sixth of a step of style transfer on VGG-19 is saved. Only the features themselves are kept for it.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        wide = _wide(rows)
        return wide.mT @ wide

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        product: Tensor = rows @ (gradient + gradient.mT).to(rows)
        return product


def _wide(rows: Tensor) -> Tensor:
    return rows.float() if rows.itemsize < 4 else rows
