"""Nearest neighbours of many vectors at once: one pass for all of them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.errors import StoreError
from triscope.which.database.schema import Kind
from triscope.which.search.vector_index import Metric, space
from triscope.which.store import Store


def nearest(
    store: Store,
    vectors: Tensor | NDArray[Any],
    layer: str | None = None,
    *,
    k: int = 10,
    metric: Metric = "cosine",
    pool: Kind = "mean",
    where: str | None = None,
    exact: bool = False,
) -> tuple[NDArray[np.int64], Tensor]:
    """The rows (Q, k) of the images nearest to each of `vectors` (Q, D), best first, and their scores (Q, k).

    It is what `neighbors` finds for each, without images, in one pass for all; so among more than 200,000 images
    some may be missed where only the nearest cells are looked into, and `exact` looks at every one. k is fewer where
    fewer meet `where`. Raises StoreError where the layer is not kept, the vectors are of another length or hold what is
    no number, or `where` is no condition.
    """
    column = store.find(layer or store.columns[0].layer, pool)
    asked = torch.as_tensor(vectors).detach().float().cpu()
    if asked.ndim != 2 or asked.shape[1] != column.length:
        raise StoreError(f"Vectors of {column.layer} are (Q, {column.length}); these are {tuple(asked.shape)}.")
    if not asked.isfinite().all():
        raise StoreError("Some of these vectors hold values that are not finite numbers; leave those vectors out.")
    if k < 1:
        raise StoreError(f"k, the number of neighbours, is at least 1, not {k}.")
    hits = space(store, column).search_all(asked, k, metric, where=where, exact=exact)
    if not hits:
        return np.empty((0, k), np.int64), torch.empty(0, k)
    return np.stack([hit.rows for hit in hits]), torch.stack([hit.scores for hit in hits])
