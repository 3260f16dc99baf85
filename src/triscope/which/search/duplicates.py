"""Duplicates: groups of images that a layer can hardly tell apart, such as copies of other sizes and qualities.

Two images are linked where their cosine is at least `least`; what is linked, directly or through others, is a group.
Pairs are looked for block by block in the projections: what those leave out of a cosine is bounded by the lengths they
leave out (Cauchy and Schwarz), so that no pair is missed, and the exact cosine of the few that remain decides. Never is
there a matrix of all pairs.

**When it misleads.** Links chain: in a burst of photos the first and the last may differ. A deep layer may find two
images of one thing alike that no person would take for copies; `layer="input"` is stricter about the pixels.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.methods import Range, method
from triscope.which.search.gallery import Gallery
from triscope.which.search.vector_index import Space, space
from triscope.which.store import StoreArg, StoredLayerArg

_BLOCK = 1024
_ROUNDING = 0.01  # of a cosine of bfloat16 vectors


@method("which")
def duplicates(
    store: StoreArg,
    layer: StoredLayerArg | None = None,
    *,
    least: Annotated[float, Range(0.5, 1.0)] = 0.97,
    pool: Literal["mean", "max"] = "mean",
) -> Gallery:
    """Groups of images that are nearly the same in a layer's feature space.

    Values (N,): the cosine similarity of each image to the first of its group.

    Groups are listed in the order of their first row and numbered from 1. Without a layer, the first one that the store
    keeps is used. Raises StoreError if the store does not keep the layer.

    least   minimum cosine similarity of two images that are linked
    pool    for a layer with activation maps: use the mean or the maximum over positions
    """
    column = store.find(layer or store.columns[0].layer, pool)
    found = space(store, column)
    members = _groups(len(found), _pairs(found, least))
    rows = [int(found.rows[place]) for group in members for place in group]
    scores = [
        found.scores(store.vectors(column, [found.rows[group[0]]])[0] - found.mean, found.rows[group], "cosine")
        for group in members
    ]
    return Gallery(
        torch.cat([torch.empty(0), *scores]),
        rows=tuple(rows),
        names=store.names(rows),
        pictures=store.thumbnails(rows),
        score=f"cosine in {column} to the first of the group",
        groups=tuple(number for number, group in enumerate(members, 1) for _ in group),
    )


def _pairs(found: Space, least: float) -> Iterator[tuple[int, int]]:
    """The places of all pairs whose cosine is at least `least`, each once."""
    matrix = found.whole if found.projection is None else found.short
    lengths = found.lengths.clamp(min=found.still)
    # What a projection leaves out of each vector, as a share of its length.
    hidden = (1 - (matrix.float().norm(dim=1) / lengths).square()).clamp(0, 1).sqrt()
    for first in range(0, len(found), _BLOCK):
        for second in range(first, len(found), _BLOCK):
            one, other = slice(first, first + _BLOCK), slice(second, second + _BLOCK)
            cosines = (matrix[one] / lengths[one, None]) @ (matrix[other] / lengths[other, None]).T
            possible = cosines + hidden[one, None] * hidden[other] >= least - _ROUNDING
            left, right = possible.nonzero().T
            ahead = left + first < right + second
            yield from _exact(found, left[ahead] + first, right[ahead] + second, least)


def _exact(found: Space, left: Tensor, right: Tensor, least: float) -> Iterator[tuple[int, int]]:
    """Those of the pairs whose stored vectors have that cosine."""
    for start in range(0, len(left), _BLOCK):
        some, others = left[start : start + _BLOCK], right[start : start + _BLOCK]
        cosines = found.cosines(found.rows[some.numpy()], found.rows[others.numpy()])
        for place in (cosines >= least).nonzero().flatten().tolist():
            yield int(some[place]), int(others[place])


def _groups(count: int, pairs: Iterator[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """What pairs link, by union and find: groups of two or more places, ascending."""
    parent = np.arange(count)

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    roots = np.array([root(place) for place in range(count)], np.int64)
    sizes = np.bincount(roots, minlength=count)
    return [np.flatnonzero(roots == first) for first in np.flatnonzero(sizes > 1)]
