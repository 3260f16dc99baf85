"""The principal components of every image, from which maps are drawn, computed without all vectors in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.which.database.projections import Projection, fit_blocks, total_variance
from triscope.which.database.schema import Column
from triscope.which.maps.kept import are_numbers, is_kept, once
from triscope.which.store import GOOD, Store

RANK = 50
_SPARE, _ROUNDS = 50, 12
_BLOCK_BYTES = 32 << 20
_FLAT = 1e-12  # of the squared length of the mean: less variance than that is rounding


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The images of a store by one column: `rows` (N,), their principal components `values` (N, R), at most 50, and
    the part (R,) of all variance that each component keeps.
    """

    rows: NDArray[np.int64]
    values: Tensor
    projection: Projection
    kept: Tensor

    @property
    def flat(self) -> bool:
        """Whether all vectors are the same."""
        return not bool(self.kept.any())


def coordinates(store: Store, column: Column) -> Coordinates:
    """The principal components of a column, streamed; those of a large store are kept with it."""
    rows = store.table.rows_where(GOOD)
    rank = min(RANK, len(rows), column.length)

    def make() -> dict[str, Tensor]:
        found = _coordinates(store, column, rows)
        return {"values": found.values, "kept": found.kept, **vars(found.projection)}

    def fits(known: Mapping[str, Tensor]) -> bool:
        shapes = {"values": (len(rows), rank), "kept": (rank,), "mean": (column.length,),
                  "directions": (rank, column.length), "variance": (rank,)}  # fmt: skip
        return all(are_numbers(known[name], shape) for name, shape in shapes.items())

    known = once(store, _key(column), make, fits)
    projection = Projection(known["mean"], known["directions"], known["variance"])
    return Coordinates(rows, known["values"], projection, known["kept"])


def is_known(store: Store, column: Column) -> bool:
    """Whether the components of a column are kept with its store."""
    return is_kept(store, _key(column))


def _key(column: Column) -> dict[str, str]:
    return {"method": "components", "column": column.name}


def _coordinates(store: Store, column: Column, rows: NDArray[np.int64]) -> Coordinates:
    def blocks() -> Iterator[Tensor]:
        batch = max(1, min(2048, _BLOCK_BYTES // (4 * column.length)))
        for part in store.table.stream([column.name], GOOD, batch):
            if len(part["row"]):
                yield torch.from_numpy(np.array(part[column.name])).float().reshape(-1, column.length)

    found = fit_blocks(blocks, len(rows), column.length, RANK, spare=_SPARE, rounds=_ROUNDS)
    total = total_variance(blocks, found.mean, len(rows))
    if total <= _FLAT * max(float(found.mean.square().sum()), 1e-30):
        return Coordinates(rows, torch.zeros(len(rows), len(found.directions)), found, torch.zeros_like(found.variance))
    values = torch.cat([torch.empty(0, len(found.directions)), *(found(block)[0] for block in blocks())])
    return Coordinates(rows, values, _turned(found, values), found.variance / total)


def _turned(found: Projection, values: Tensor) -> Projection:
    """Each direction with the sign that makes its farthest image positive; the values are turned alike, in place."""
    farthest = values.gather(0, values.abs().argmax(0, keepdim=True))[0]
    signs = torch.where(farthest < 0, -1.0, 1.0)
    values *= signs
    return Projection(found.mean, found.directions * signs[:, None], found.variance)
