"""The highest of many scores, in any order."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def highest(scores: Tensor, count: int) -> Tensor:
    """The places of the `count` highest of some scores (..., N), or of all where there are fewer, in any order."""
    if count >= scores.shape[-1]:
        return torch.arange(scores.shape[-1]).expand(scores.shape)
    # NumPy's selection, which is many times as quick as torch's topk.
    return torch.from_numpy(np.argpartition(scores.numpy(), -count, axis=-1)[..., -count:])


class Best:
    """The places of the `count` highest scores for each of Q queries, of scores that come block by block.

    After a few blocks hardly a score is among the highest so far, and one comparison is all that most of them take.
    """

    def __init__(self, queries: int, count: int) -> None:
        self._count = count
        self._scores: NDArray[np.float32] = np.empty((queries, 0), np.float32)
        self._places: NDArray[np.int64] = np.empty((queries, 0), np.int64)
        self._least: NDArray[np.float32] = np.full((queries, 1), -np.inf, np.float32)

    def add(self, scores: Tensor, places: Tensor) -> None:
        """Take in scores (Q, n), float32, with their places (n,); those of -inf are ignored."""
        values = scores.contiguous().numpy()
        higher = np.flatnonzero(values > self._least)
        who, where = np.divmod(higher, values.shape[1])
        many = np.bincount(who, minlength=len(values))
        column = np.arange(len(higher)) - np.repeat(many.cumsum() - many, many)
        more = np.full((len(values), many.max(initial=0)), -np.inf, np.float32)
        at = np.zeros(more.shape, np.int64)
        more[who, column] = values.ravel()[higher]
        at[who, column] = places.numpy()[where]
        self._scores = np.concatenate([self._scores, more], 1)
        self._places = np.concatenate([self._places, at], 1)
        if self._scores.shape[1] > self._count:
            order = np.argpartition(self._scores, -self._count, axis=1)[:, -self._count :]
            self._scores = np.take_along_axis(self._scores, order, 1)
            self._places = np.take_along_axis(self._places, order, 1)
            self._least = self._scores.min(1, keepdims=True)

    def places(self) -> list[NDArray[np.int64]]:
        """The places for each query: `count`, or all where there are fewer."""
        return [places[scores > -np.inf] for places, scores in zip(self._places, self._scores, strict=True)]
