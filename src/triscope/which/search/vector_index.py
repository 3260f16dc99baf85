"""Search in one column of a store: a quick scan for candidates, and their exact scores from the stored vectors.

The collection's mean is subtracted from vectors. Features after a ReLU are all positive, so that without this all have
much the same direction and every cosine is near 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from triscope.which.database.freed import give_back
from triscope.which.database.schema import Column
from triscope.which.database.stored_projections import projected_name
from triscope.which.search.cells import Cells
from triscope.which.search.highest import Best, highest
from triscope.which.search.products import few_shapes, products
from triscope.which.search.stored_vectors import COARSE, COARSE_FROM, StoredVectors
from triscope.which.search.tally import ScanTally

if TYPE_CHECKING:
    from triscope.which.store import Store

Metric: TypeAlias = Literal["cosine", "euclidean"]

_SHARE = 0.08  # of the images lies in the cells that are looked into,
_BY_CELLS = 300  # which give so many candidates, or more
_PAID = 32_000  # images: after one scan for each so many, scans have cost as much as making the cells does
_AT_ONCE = 1 << 18  # scores that are compared at once: they stay in the processor's cache,
_FEWEST = 1024  # rows, or more, in a product with several queries
_SAME = 1e-6  # of the mean's own length: vectors this close to the mean have no direction


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found, best first: row numbers and scores (cosines, or distances).

    `how` is a sentence about how they were found where some may have been missed; "" where every image was looked at.
    """

    rows: NDArray[np.int64]
    scores: Tensor
    how: str = ""


class Space(StoredVectors):
    """The images of a store that have a vector, at one version of the store, by one column."""

    def __init__(self, store: "Store", column: Column) -> None:
        super().__init__(store, column)
        self._last: tuple[str, Tensor] | None = None
        self._scans = ScanTally(*self.copies)
        #: A vector no farther from the mean than this has no direction.
        self.still = max(_SAME * float(self.mean.norm()), torch.finfo(torch.float32).tiny)

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
        """The k images nearest to `vector` (D,), but for the rows `without`.

        `exact` scans whole vectors for candidates, and not projections.
        """
        query = vector.float() - self.mean
        count = k + len(without) + max(6 * k, 60)
        near = self._near(query, count) if metric == "cosine" and where is None and not exact else None
        rows, how = near or (self._candidates(query, count, metric, where, exact=exact), "")
        return self._exactly(query, rows[~np.isin(rows, without)], k, metric, how)

    def search_all(
        self, vectors: Tensor, k: int, metric: Metric, *, where: str | None = None, exact: bool = False
    ) -> list[Hits]:
        """What `search` finds for each of `vectors` (Q, D): one pass for all, over the cells or the collection."""
        queries = vectors.float() - self.mean
        count = k + max(6 * k, 60)
        if metric == "cosine" and where is None and not exact and (cells := self._cells_by_now()):
            asked = queries @ self._strongest
            places = [near.numpy() for near in cells.near_all(asked, _SHARE, max(count, _BY_CELLS))]
        else:
            places = self._scan_all(queries, count, metric, where, exact=exact)
        return [self._exactly(query, self.rows[some], k, metric) for query, some in zip(queries, places, strict=True)]

    def _scan_all(
        self, queries: Tensor, count: int, metric: Metric, where: str | None, *, exact: bool
    ) -> list[NDArray[np.int64]]:
        """The places with the `count` best scores for each of queries (Q, D), seen from the mean."""
        allowed = None if where is None else self._allowed(where)
        best = Best(len(queries), count)
        for places, found in self._products(queries, allowed, exact=exact):
            best.add(self._ranked(found, self.lengths[places], metric), places)
        return best.places()

    def _products(self, queries: Tensor, allowed: Tensor | None, *, exact: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Block by block, the places (n,) of the images, or of those allowed, and their products (Q, n), float32."""
        places = torch.arange(len(self)) if allowed is None else allowed
        if self.large:
            if allowed is None:
                self._scans.add()
            beside = (queries @ self.mean)[:, None]
            for block in self.blocks(allowed):
                some, places = places[: len(block)], places[len(block) :]
                yield some, queries @ block.T - beside
            return
        if self.projection is None or exact:
            matrix, asked = self.whole, queries
        else:
            matrix, asked = self.short, queries @ self.projection.directions.T
        for some in torch.split(places, max(_FEWEST, _AT_ONCE // max(few_shapes(len(queries)), 1))):
            block = matrix[some[0] : some[-1] + 1] if allowed is None else matrix.index_select(0, some)
            yield some, products(block, asked)

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
        had = self._cells is not None
        cells = self._cells_by_now()
        if cells is None:
            return None
        places = cells.near(query @ self._strongest, _SHARE, max(count, _BY_CELLS))
        made = "" if had else "Cells were made by this search, so that later ones are quick. "
        how = f"{made}Found among the {_SHARE:.0%} of {len(self):,} images that lie nearest; {sure}"
        return self.rows[places.numpy()], how

    def _cells_by_now(self) -> Cells | None:
        """The cells, which are made where scans have cost as much as that; None where there are none."""
        if self._cells is None and self.projection is not None and self.large and int(self._scans) * _PAID >= len(self):
            self.make_cells()
        return self._cells

    @cached_property
    def _cells(self) -> Cells | None:
        """Those that are kept; they are looked for once."""
        if not self.large or self.projection is None:
            return None
        kept = Cells.recall(*self.copies, len(self), COARSE)
        give_back()
        return kept

    @cached_property
    def _strongest(self) -> Tensor:
        """The directions (D, 64) by which cells are made."""
        assert self.projection is not None  # called only where there is one
        return self.projection.directions[:COARSE].T

    def make_cells(self) -> None:
        """Make the cells by the strongest components, and keep them in the store's cache for later processes."""
        directions = [F.normalize((block - self.mean) @ self._strongest).bfloat16() for block in self.blocks()]
        self._cells = Cells.of(torch.cat(directions))
        self._cells.keep(*self.copies)
        self._scans.clear()
        del directions
        give_back()

    def _candidates(
        self, query: Tensor, count: int, metric: Metric, where: str | None, *, exact: bool
    ) -> NDArray[np.int64]:
        """The rows among which the nearest are, the best guess of `count`; the mean is subtracted from `query`."""
        allowed = None if where is None else self._allowed(where)
        if self.large:
            return self._scan(query, count, metric, allowed)
        if self.projection is None or exact:
            return self._best(self.whole, query, count, metric, allowed)
        short = self.projection.directions @ query
        some = len(self) if allowed is None else len(allowed)
        if some > COARSE_FROM:  # the strongest components exclude most rows, the others rank the rest
            allowed = self._narrowed(short[:COARSE], max(some // 256, 16 * count), metric, allowed)
        return self._best(self.short, short, count, metric, allowed)

    def _scan(self, query: Tensor, count: int, metric: Metric, allowed: Tensor | None) -> NDArray[np.int64]:
        """The rows with the `count` best scores by the stored vectors, of all or of those at some places."""
        if allowed is None:
            self._scans.add()
        places = torch.arange(len(self)) if allowed is None else allowed
        found = torch.cat([torch.empty(0), *(torch.mv(block, query) for block in self.blocks(allowed))])
        guess = self._ranked(found - self.mean @ query, self.lengths[places], metric)
        picked: NDArray[np.int64] = self.rows[places[highest(guess, count)].numpy()]
        return picked

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
        """The exact scores of some rows, from the stored vectors; the mean is subtracted from `query`."""
        vectors = self.stored(rows) - self.mean
        if metric == "euclidean":
            distances: Tensor = (vectors - query).norm(dim=1)
            return distances
        return self._cosines(vectors, query[None])

    def cosines(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> Tensor:
        """The exact cosines of pairs of rows, from the stored vectors: (N,)."""
        one, other = (self.stored(some) - self.mean for some in (rows, others))
        return self._cosines(one, other)

    def _cosines(self, one: Tensor, other: Tensor) -> Tensor:
        lengths, others = one.norm(dim=1), other.norm(dim=1)
        cosines: Tensor = (one * other).sum(1) / (lengths * others).clamp(min=torch.finfo(torch.float32).tiny)
        # A vector at the mean has no direction: its cosine is 1 with others at the mean, and 0 with all else.
        still, stills = lengths <= self.still, others <= self.still
        return cosines.clamp(-1, 1).masked_fill(still | stills, 0).masked_fill(still & stills, 1)

    def _guess(self, matrix: Tensor, query: Tensor, lengths: Tensor, metric: Metric) -> Tensor:
        """Higher is nearer. The residuals of two projected vectors are taken to be orthogonal."""
        return self._ranked(products(matrix, query), lengths, metric)

    def _ranked(self, products: Tensor, lengths: Tensor, metric: Metric) -> Tensor:
        if metric == "euclidean":
            return 2 * products - lengths.square()
        return products / lengths.clamp(min=self.still)


def space(store: "Store", column: Column) -> Space:
    """The space of a column, kept with the store until the store changes."""
    key = (column.name, store.table.version)
    if key not in store.spaces:
        for old in [known for known in store.spaces if known[1] != key[1]]:
            del store.spaces[old]
        store.spaces[key] = Space(store, column)
    found: Space = store.spaces[key]
    return found
