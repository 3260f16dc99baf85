"""The vectors of one column of a store, as searches read them: whole ones from a copy that is mapped, projected ones in
memory. Vectors are read only when a search needs them.
"""

import os
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.which.database.arrow import Rows
from triscope.which.database.durable import read_ahead, writing
from triscope.which.database.location import cache_folder
from triscope.which.database.projections import Projection
from triscope.which.database.schema import Column
from triscope.which.database.stored_projections import projected_name, rest_name
from triscope.which.store import GOOD

if TYPE_CHECKING:
    from triscope.which.store import Store

COARSE = 64  # components that are looked at first,
COARSE_FROM = 20_000  # in collections larger than this
LARGE = 200_000  # images: with more, whole vectors are scanned, or cells are looked into
_IN_MEMORY = 64 << 20  # copies of the vectors that are larger than this lie in a file, and in memory only as its cache
_SCANNED = 1 << 20  # numbers that a scan looks at in one product: they stay in the processor's cache
_BATCH = 2048


class StoredVectors:
    """The vectors of the images that have one, at one version of a store, by one column."""

    def __init__(self, store: "Store", column: Column) -> None:
        self.store = store
        self.column = column
        self.rows = store.table.rows_where(GOOD)
        self.projection: Projection | None = store.projection(column)
        self.mean = self.projection.mean if self.projection else self._measure_mean()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def large(self) -> bool:
        """Whether there are so many that whole vectors are scanned, or cells are looked into."""
        return len(self) > LARGE

    @property
    def copies(self) -> tuple[Path, str]:
        """The folder of the files that searches keep, and how their names begin."""
        return cache_folder(self.store.path), f"{self.column.name}.{self.store.table.version}"

    def stored(self, rows: NDArray[np.int64]) -> Tensor:
        """The stored vectors of some rows, float32; of many images from a copy that is mapped."""
        if len(self) <= COARSE_FROM:
            return self.store.vectors(self.column, rows)
        return self.mapped.index_select(0, torch.from_numpy(np.searchsorted(self.rows, rows))).float()

    def blocks(self, places: Tensor | None = None) -> Iterator[Tensor]:
        """The mapped vectors, of all or of those at some places, float32: blocks (n, D), each in place of the last."""
        many = max(1, _SCANNED // self.column.length)
        block = torch.empty(many, self.column.length)
        split = torch.split(self.mapped if places is None else places, many)
        rows = split if places is None else (self.mapped.index_select(0, some) for some in split)
        return (block[: len(some)].copy_(some) for some in rows)

    @cached_property
    def mapped(self) -> Tensor:
        """The vectors as they are stored (N, D), in their own precision, in a file of the cache that is mapped."""
        kind: torch.dtype = getattr(torch, self.column.dtype)
        return self._file(self.column.dtype, lambda vectors: vectors.to(kind))

    @cached_property
    def short(self) -> Tensor:
        """The projected vectors (N, R), bfloat16."""
        assert self.projection is not None  # called only where there is one
        name = projected_name(self.column)
        matrix = torch.empty(len(self), len(self.projection.directions), dtype=torch.bfloat16)
        start = 0
        for batch in self.store.table.stream([name], GOOD, 8192):
            matrix[start : start + len(batch["row"])] = torch.from_numpy(np.array(batch[name]))
            start += len(batch["row"])
        return matrix

    @cached_property
    def coarse(self) -> Tensor:
        """The projected vectors along the strongest directions alone (N, 64), bfloat16."""
        return self.short[:, :COARSE].contiguous()

    @cached_property
    def lengths(self) -> Tensor:
        """How far each image is from the mean (N,), float32."""
        if self.large:
            return torch.cat([(block - self.mean).norm(dim=1) for block in self.blocks()])
        if self.projection is None:
            parts = [(_vectors(batch, self.column) - self.mean).norm(dim=1) for batch in self._stream()]
            return torch.cat([torch.empty(0), *parts])
        rest = torch.from_numpy(
            np.concatenate([np.empty(0, np.float32), self.store.table.column(rest_name(self.column), GOOD)])
        )
        shown = torch.cat([block.float().square().sum(1) for block in torch.split(self.short, _BATCH)])
        return (rest.square() + shown).sqrt()

    @cached_property
    def whole(self) -> Tensor:
        """The vectors from the mean (N, D), bfloat16; large ones in a file of the store's cache that is mapped."""

        def made(vectors: Tensor) -> Tensor:
            return (vectors - self.mean).bfloat16()

        if 2 * len(self) * self.column.length > _IN_MEMORY:
            return self._file("bfloat16", made)
        parts = [made(_vectors(batch, self.column)) for batch in self._stream()]
        return torch.cat([torch.empty(0, self.column.length, dtype=torch.bfloat16), *parts])

    def _file(self, kind: str, made: Callable[[Tensor], Tensor]) -> Tensor:
        """The vectors (N, D) as `made` makes them, in a file that is mapped; it is written where it is not there."""
        size, dtype = len(self) * self.column.length, getattr(torch, kind)
        folder, name = self.copies
        path = folder / f"{name}.{kind}"
        if not path.exists() or path.stat().st_size != size * dtype.itemsize:
            with writing(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                for old in path.parent.glob(f"{self.column.name}.*.{kind}"):
                    old.unlink(missing_ok=True)
                temporary = path.with_suffix(f".{kind}.part{os.getpid()}")
                with temporary.open("wb") as file:
                    for batch in self._stream():
                        file.write(made(_vectors(batch, self.column)).view(torch.uint8).numpy().tobytes())
                temporary.replace(path)
        read_ahead(path)
        flat = torch.from_file(str(path), shared=False, size=size, dtype=dtype)
        return flat.view(len(self), self.column.length)

    def _stream(self) -> Iterator[Rows]:
        return self.store.table.stream(
            [self.column.name], GOOD, max(1, min(_BATCH, (32 << 20) // (4 * self.column.length)))
        )

    def _measure_mean(self) -> Tensor:
        total = torch.zeros(self.column.length, dtype=torch.float64)
        for batch in self._stream():
            total += _vectors(batch, self.column).double().sum(0)
        return (total / max(len(self.rows), 1)).float()


def _vectors(batch: Rows, column: Column) -> Tensor:
    return torch.from_numpy(np.array(batch[column.name], np.float32))
