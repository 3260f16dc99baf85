"""A quick map of a large collection: the PCA plane of a sample, until that of all images is computed.

The directions are principal components of at most 512 vectors, drawn at random; every image that a page shows is seen
along them. That reads a part of a store once, where the components of all of it take several rounds.
"""

import numpy as np
import torch

from triscope.which.database.projections import fit
from triscope.which.maps.kept import WORTH
from triscope.which.maps.map import SHOWN, Map, sample
from triscope.which.maps.pca import plane, stored_column
from triscope.which.maps.reduction import Coordinates, is_known
from triscope.which.store import GOOD, Store

_FEW = 512
_BLOCK_BYTES = 32 << 20


def rough_map(store: Store, layer: str | None) -> Map | None:
    """The images of a store that a page shows, on the plane of a few of them; None where the components of all are at
    hand, or soon found.

    Values (N, 2). Raises StoreError where the layer is not kept, or the store has no image.
    """
    column = stored_column(store, layer)
    if len(store) < WORTH or is_known(store, column):
        return None
    rows = store.table.rows_where(GOOD)
    rows = rows[sample(len(rows), SHOWN)]
    few = np.sort(np.random.default_rng(0).choice(len(rows), min(_FEW, len(rows)), replace=False))
    vectors = store.vectors(column, rows[few])
    found = fit(vectors, 2)
    step = max(1, _BLOCK_BYTES // (4 * column.length))
    blocks = (store.vectors(column, rows[start : start + step]) for start in range(0, len(rows), step))
    values = torch.cat([found(block)[0] for block in blocks])
    total = float(vectors.var(0).sum())
    kept = found.variance / total if total else torch.zeros_like(found.variance)
    said = f"A quick map, computed from a random sample of {len(few):,} images; the exact one follows."
    return Map(
        plane(values), store, column, Coordinates(rows, values, found, kept), f"PCA of {column.layer}", (said,), plane,
        notes=(said,),
    )  # fmt: skip
