"""One column of a store as a space to search in: a quick scan for candidates, and their exact scores from the stored
vectors.

Vectors are seen from the collection's mean. Features behind a ReLU are all positive, so that seen from zero everything
points the same way and every cosine is near 1; seen from the mean, directions tell pictures apart.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triscope.which.database.arrow import Rows
from triscope.which.database.durable import read_ahead, writing
from triscope.which.database.location import cache_folder
from triscope.which.database.projections import Projection
from triscope.which.database.schema import Column
from triscope.which.database.stored_projections import projected_name, rest_name
from triscope.which.search.cells import Cells, highest
from triscope.which.search.tally import ScanTally
from triscope.which.store import GOOD

if TYPE_CHECKING:
    from triscope.which.store import Store

Metric: TypeAlias = Literal["cosine", "euclidean"]

_IN_MEMORY = 64 << 20  # copies of the vectors that are larger than this lie in a file, and in memory only as its cache
_COARSE = 64  # components that are looked at first,
_COARSE_FROM = 20_000  # in collections larger than this
_LARGE = 200_000  # pictures; with more, cells are worth while: those nearest to a query are looked into,
_SHARE = 0.08  # which hold this share of the pictures,
_BY_CELLS = 300  # and give so many candidates, or more
_PAID = 32_000  # pictures: after one scan for each so many, scans have cost as much as making the cells does
_SCANNED = 1 << 20  # numbers that a scan looks at in one product: they stay in the processor's cache
_AT_ONCE = 65_536
_BATCH = 2048
_SAME = 1e-6  # of the mean's own length: vectors this close to the mean have no direction


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found, best first: row numbers and scores (cosines, or distances).

    `how` is a sentence about how they were found where some may have been missed; "" where every picture was looked at.
    """

    rows: NDArray[np.int64]
    scores: Tensor
    how: str = ""


class Space:
    """The pictures of a store that have a vector, at one version of the store, by one column."""

    def __init__(self, store: "Store", column: Column) -> None:
        self.store = store
        self.column = column
        self.rows = store.table.rows_where(GOOD)
        self.projection: Projection | None = store.projection(column)
        self.mean = self.projection.mean if self.projection else self._measure_mean()
        self._last: tuple[str, Tensor] | None = None
        self._scans = ScanTally(*self._kept)
        #: A vector no farther from the mean than this has no direction.
        self.still = max(_SAME * float(self.mean.norm()), torch.finfo(torch.float32).tiny)

    def __len__(self) -> int:
        return len(self.rows)

    def search(
        self,
        vector: Tensor,
        k: int,
        metric: Metric,
        *,
        where: str | None = None,
        exact: bool = False,
        without: Sequence[int] | NDArray[np.int64] = (),
    ) -> Hits:
        """The k pictures nearest to `vector` (D,), but for the rows `without`.

        `exact` scans whole vectors for candidates, and not projections.
        """
        query = vector.float() - self.mean
        count = k + len(without) + max(6 * k, 60)
        near = self._near(query, count) if metric == "cosine" and where is None and not exact else None
        rows, how = near or (self._candidates(query, count, metric, where, exact=exact), "")
        return self._exactly(query, rows[~np.isin(rows, without)], k, metric, how)

    def search_all(self, vectors: Tensor, k: int, metric: Metric, *, where: str | None = None) -> list[Hits]:
        """What `search` finds for each of `vectors` (Q, D), in one pass over the collection."""
        queries = vectors.float() - self.mean
        count = k + max(6 * k, 60)
        matrix = self.whole if self.projection is None else self.short
        asked = queries if self.projection is None else queries @ self.projection.directions.T
        allowed = torch.arange(len(self)) if where is None else self._allowed(where)
        best, places = [torch.empty(len(queries), 0)], [torch.empty(len(queries), 0, dtype=torch.int64)]
        split = torch.split(allowed, _AT_ONCE)
        parts = torch.split(matrix, _AT_ONCE) if where is None else (matrix.index_select(0, some) for some in split)
        for some, rows in zip(split, parts, strict=True):
            guess = self._ranked((rows @ asked.to(matrix.dtype).T).float().T, self.lengths[some], metric)
            order = highest(guess, count)
            best.append(guess.gather(1, order))
            places.append(some[order])
        found = torch.cat(places, 1).gather(1, highest(torch.cat(best, 1), count))
        pairs = zip(queries, self.rows[found.numpy()], strict=True)
        return [self._exactly(query, rows, k, metric) for query, rows in pairs]

    def _exactly(self, query: Tensor, rows: NDArray[np.int64], k: int, metric: Metric, how: str = "") -> Hits:
        """The k best of some rows by their exact scores."""
        rows = np.sort(rows)  # equal scores come in the order of the rows
        scores = self.scores(query, rows, metric)
        order = scores.sort(descending=metric == "cosine", stable=True).indices[:k]
        return Hits(rows[order.numpy()], scores[order], how)

    def _near(self, query: Tensor, count: int) -> tuple[NDArray[np.int64], str] | None:
        """Candidates by an index or by cells, where there are some, with the sentence that says so."""
        if self.projection is None:
            return None
        sure = "exact looks at every one."
        if self._indexed:
            short = self.projection.directions @ query
            rows = self.store.table.near(projected_name(self.column), short.numpy(), count, None)
            return rows, f"Found by the index among {len(self):,} images; {sure}"
        pays = len(self) > _LARGE and self._cells is None and int(self._scans) * _PAID >= len(self)
        if pays:
            self.make_cells()
        if self._cells is None:
            return None
        strongest = self.projection.directions[:_COARSE] @ query
        places = self._cells.near(strongest, _SHARE, max(count, _BY_CELLS))
        made = "Cells were made by this search, so that later ones are quick. " if pays else ""
        how = f"{made}Found among the {_SHARE:.0%} of {len(self):,} images that lie nearest; {sure}"
        return self.rows[places.numpy()], how

    @cached_property
    def _cells(self) -> Cells | None:
        """Those that are kept; they are looked for once."""
        return Cells.recall(*self._kept, len(self), _COARSE) if len(self) > _LARGE else None

    def make_cells(self) -> None:
        """Make the cells by the strongest components, and keep them in the store's cache for later processes."""
        assert self.projection is not None  # made only where there is one
        strongest = self.projection.directions[:_COARSE].T
        directions = [F.normalize((block - self.mean) @ strongest).bfloat16() for block in self._blocks()]
        self._cells = Cells.of(torch.cat(directions))
        self._cells.keep(*self._kept)
        self._scans.clear()

    @property
    def _kept(self) -> tuple[Path, str]:
        return cache_folder(self.store.path), f"{self.column.name}.{self.store.table.version}"

    def _candidates(
        self, query: Tensor, count: int, metric: Metric, where: str | None, *, exact: bool
    ) -> NDArray[np.int64]:
        """The rows among which the nearest are, the best guess of `count`; `query` is seen from the mean."""
        allowed = None if where is None else self._allowed(where)
        if len(self) > _LARGE:
            return self._scan(query, count, metric, allowed)
        if self.projection is None or exact:
            return self._best(self.whole, query, count, metric, allowed)
        short = self.projection.directions @ query
        some = len(self) if allowed is None else len(allowed)
        if some > _COARSE_FROM:  # the strongest components sort out most rows, the others are asked about the rest
            allowed = self._narrowed(short[:_COARSE], max(some // 256, 16 * count), metric, allowed)
        return self._best(self.short, short, count, metric, allowed)

    def _scan(self, query: Tensor, count: int, metric: Metric, allowed: Tensor | None) -> NDArray[np.int64]:
        """The rows with the `count` best scores by the stored vectors, of all or of those at some places."""
        if allowed is None:
            self._scans.add()
        places = torch.arange(len(self)) if allowed is None else allowed
        products = torch.cat([torch.empty(0), *(torch.mv(block, query) for block in self._blocks(allowed))])
        guess = self._ranked(products - self.mean @ query, self.lengths[places], metric)
        picked: NDArray[np.int64] = self.rows[places[highest(guess, count)].numpy()]
        return picked

    def _blocks(self, places: Tensor | None = None) -> Iterator[Tensor]:
        """The mapped vectors, of all or of those at some places, float32: blocks (n, D), each in place of the last."""
        many = max(1, _SCANNED // self.column.length)
        block = torch.empty(many, self.column.length)
        split = torch.split(self.mapped if places is None else places, many)
        rows = split if places is None else (self.mapped.index_select(0, some) for some in split)
        return (block[: len(some)].copy_(some) for some in rows)

    def _narrowed(self, query: Tensor, count: int, metric: Metric, allowed: Tensor | None) -> Tensor:
        """The places of the best `count` by the strongest components, ascending."""
        coarse = self.coarse if allowed is None else self.coarse.index_select(0, allowed)
        lengths = self.lengths if allowed is None else self.lengths[allowed]
        best = highest(self._guess(coarse, query, lengths, metric), count).sort().values
        return best if allowed is None else allowed[best]

    def _best(
        self, matrix: Tensor, query: Tensor, count: int, metric: Metric, allowed: Tensor | None
    ) -> NDArray[np.int64]:
        """The rows with the `count` highest guesses, of all or of those at some places."""
        some = matrix if allowed is None else matrix.index_select(0, allowed)
        lengths = self.lengths if allowed is None else self.lengths[allowed]
        best = highest(self._guess(some, query, lengths, metric), count)
        picked: NDArray[np.int64] = self.rows[(best if allowed is None else allowed[best]).numpy()]
        return picked

    def _allowed(self, where: str) -> Tensor:
        """The places of the rows that meet a condition, ascending; those of the last one are kept."""
        if self._last is None or self._last[0] != where:
            rows = self.store.table.rows_where(self.store.condition(where))
            self._last = where, torch.from_numpy(np.searchsorted(self.rows, rows))
        return self._last[1]

    @cached_property
    def _indexed(self) -> bool:
        return self.store.table.indexed(projected_name(self.column))

    def scores(self, query: Tensor, rows: NDArray[np.int64], metric: Metric) -> Tensor:
        """The exact scores of some rows, from the stored vectors; `query` is seen from the mean."""
        vectors = self._stored(rows) - self.mean
        if metric == "euclidean":
            distances: Tensor = (vectors - query).norm(dim=1)
            return distances
        return self._cosines(vectors, query[None])

    def cosines(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Tensor:
        """The exact cosines of pairs of rows, from the stored vectors: (N,)."""
        one, other = (self._stored(some) - self.mean for some in (rows, others))
        return self._cosines(one, other)

    def _cosines(self, one: Tensor, other: Tensor) -> Tensor:
        lengths, others = one.norm(dim=1), other.norm(dim=1)
        cosines: Tensor = (one * other).sum(1) / (lengths * others).clamp(min=torch.finfo(torch.float32).tiny)
        # What stands at the mean has no direction: it is like its own kind, and unlike all else.
        still, stills = lengths <= self.still, others <= self.still
        return cosines.clamp(-1, 1).masked_fill(still | stills, 0).masked_fill(still & stills, 1)

    def _guess(self, matrix: Tensor, query: Tensor, lengths: Tensor, metric: Metric) -> Tensor:
        """Higher is nearer. What the projection leaves out of two vectors is taken to be at right angles."""
        return self._ranked(torch.mv(matrix, query.to(matrix.dtype)).float(), lengths, metric)

    def _ranked(self, products: Tensor, lengths: Tensor, metric: Metric) -> Tensor:
        if metric == "euclidean":
            return 2 * products - lengths.square()
        return products / lengths.clamp(min=self.still)

    def _stored(self, rows: NDArray[np.int64]) -> Tensor:
        """The stored vectors of some rows, float32; of many pictures from a copy that is mapped."""
        if len(self) <= _COARSE_FROM:
            return self.store.vectors(self.column, rows)
        return self.mapped.index_select(0, torch.from_numpy(np.searchsorted(self.rows, rows))).float()

    @cached_property
    def mapped(self) -> Tensor:
        """The vectors as they are stored (N, D), in their own precision, in a file of the cache that is mapped."""
        kind: torch.dtype = getattr(torch, self.column.dtype)
        return self._file(self.column.dtype, lambda vectors: vectors.to(kind))

    @cached_property
    def short(self) -> Tensor:
        """The projected vectors (N, R), bfloat16."""
        assert self.projection is not None  # asked only where there is one
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
        return self.short[:, :_COARSE].contiguous()

    @cached_property
    def lengths(self) -> Tensor:
        """How far each picture is from the mean (N,), float32."""
        if len(self) > _LARGE:
            return torch.cat([(block - self.mean).norm(dim=1) for block in self._blocks()])
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
        folder, name = self._kept
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


def space(store: "Store", column: Column) -> Space:
    """The space of a column, kept with the store until the store changes."""
    key = (column.name, store.table.version)
    if key not in store.spaces:
        for old in [known for known in store.spaces if known[1] != key[1]]:
            del store.spaces[old]
        store.spaces[key] = Space(store, column)
    found: Space = store.spaces[key]
    return found


def _vectors(batch: Rows, column: Column) -> Tensor:
    return torch.from_numpy(np.array(batch[column.name], np.float32))
