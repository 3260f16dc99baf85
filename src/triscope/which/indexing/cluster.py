"""Computing rows on a Ray cluster: the entries go to actors, and the rows come back in the order of the entries."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, TypeAlias

from triscope.cluster.actor_pool import Node
from triscope.cluster.running import ClusterJob
from triscope.cluster.settings import Cluster
from triscope.network import Network
from triscope.which.collection import Entry
from triscope.which.database.schema import Column
from triscope.which.indexing.computing import Row, RowComputer
from triscope.which.indexing.decoding import Decoded

#: A decoded image, and its vectors.
_Found: TypeAlias = tuple[Decoded, Any]


@dataclass(frozen=True)
class _RowWork:
    """What an actor does: a computer of its own, in each."""

    columns: tuple[Column, ...]
    precision: str
    exact: bool
    batch: int

    def begin(self, network: Network, threads: int) -> Callable[[list[Entry]], list[_Found]]:
        compute = RowComputer(network, self.columns, self.precision, self.exact, self.batch, threads)
        return lambda entries: [(row.decoded, row.vectors) for row in compute(entries)]

    def lost(self, entry: Entry, tries: int) -> _Found:
        return Decoded(error=f"{entry.name} crashed its worker process {tries} times."), None


@dataclass(frozen=True, eq=False)
class RayComputer:
    """A `Compute` that hands batches to actors of a Ray cluster; rows come in the order of the entries."""

    network: Network
    columns: tuple[Column, ...]
    precision: str
    exact: bool
    batch: int
    cluster: Cluster

    def __call__(self, entries: Iterable[Entry]) -> Generator[Row]:
        """The rows of the entries. Raises ClusterError where no actor can be had, or the network cannot be sent."""
        with closing(self._job.outcomes(entries)) as batches:
            for one in chain.from_iterable(batches):
                decoded, vectors = one.result
                self._failed[one.node] += decoded.error is not None
                yield Row(one.item, decoded, vectors)

    @cached_property
    def _job(self) -> ClusterJob:
        return ClusterJob(self.network, _RowWork(self.columns, self.precision, self.exact, self.batch), self.cluster)

    @cached_property
    def _failed(self) -> Counter[str]:
        """How many images of each node were unusable."""
        return Counter()

    def told(self) -> tuple[str, ...]:
        """A sentence for each node."""
        return self._job.told(self._of_node)

    def _of_node(self, name: str, node: Node) -> str:
        return f"{node.items:,} images, {self._failed[name]} of them unusable"
