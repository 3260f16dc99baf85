"""Indexing: the images of a collection that a store does not hold yet are planned, computed and committed.

    plan        which entries of the collection are new or changed                      planning.Plan
    compute     entries to rows; reads images, writes nothing, knows no store         computing.Compute
    commit      rows into the store, each once; the only part that writes               committing.Committer

Only compute is distributed: a pool of processes or machines takes entries and returns rows.
"""

import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from triscope.cluster.settings import Cluster
from triscope.errors import StoreError
from triscope.network import Network
from triscope.network.variants.precision import Precision
from triscope.objectives.base import Need
from triscope.which.collection import Collection, Entry
from triscope.which.database.about import About
from triscope.which.database.durable import locked
from triscope.which.database.freed import give_back
from triscope.which.database.location import rows_folder, store_for
from triscope.which.database.table import Table
from triscope.which.indexing.adding import begin, pending
from triscope.which.indexing.cluster import RayComputer
from triscope.which.indexing.committing import Committer
from triscope.which.indexing.computing import Row, RowComputer
from triscope.which.indexing.opening import open_table
from triscope.which.indexing.planning import Plan

_UNIT_BYTES = 256 << 20  # of rows that are computed and not yet committed


@dataclass(frozen=True)
class Pace:
    """How many images pass through the network at once, how many threads decode (None: as many as there are
    processors, and one) or the cluster whose actors compute, and when what was computed is committed: after `unit`
    images, and after `every` seconds wherever a batch ends, so that a process that is killed loses no more.
    """

    batch: int = 64
    workers: int | Cluster | None = None
    unit: int = 2048
    every: float = 5.0

    def for_rows_of(self, about: About) -> "Pace":
        """The same, with smaller units where rows are long."""
        length = sum(column.length * 4 for column in about.columns)
        return replace(self, unit=min(self.unit, max(self.batch, _UNIT_BYTES // length)))


@dataclass(frozen=True)
class Progress:
    """How far indexing is: `done` of `total` images of this shard, of which `known` were stored before; of those
    computed now, `failed` could not be used; `stored` are on disk. `removed` rows are of files that are gone. `what`
    names the layers that are added to a store, `nodes` report on each node of a cluster.
    """

    done: int = 0
    total: int = 0
    known: int = 0
    failed: int = 0
    stored: int = 0
    removed: int = 0
    seconds: float = 0.0
    what: str = ""
    nodes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Images per second."""
        return (self.done - self.known) / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds that are left at this rate."""
        return (self.total - self.done) / self.rate if self.rate else 0.0

    def __str__(self) -> str:
        failed = f", {self.failed} unusable" if self.failed else ""
        what = f"{self.what}: " if self.what else ""
        return f"{what}{self.done} of {self.total} images{failed}, {self.rate:.0f} a second, {_clock(self.left)} left"


def index(
    network: Network,
    collection: Collection | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    path: str | os.PathLike[str] | None = None,
    *,
    layers: Sequence[str | Need] = (),
    maps: Sequence[str] = (),
    precision: Precision = "auto",
    exact_preprocess: bool = False,
    shard: tuple[int, int] = (1, 1),
    pace: Pace = Pace(),
    refit: bool = False,
) -> Generator[Progress]:
    """`Store.build`, yielding its progress after each batch and each commit.

    Leaving the iteration stops it; what was computed by then is committed. `refit` fits the projections anew.
    """
    if not 1 <= shard[0] <= shard[1]:
        raise StoreError(f"A shard is i of n, from 1 to n; {shard[0]} of {shard[1]} is none.")
    collection = collection if isinstance(collection, Collection) else Collection(collection)
    folder = store_for(collection, path)
    with locked(folder):
        is_new = not rows_folder(folder).is_dir()
        table = open_table(
            folder,
            network,
            collection,
            layers=layers,
            maps=maps,
            precision=precision,
            exact=exact_preprocess,
        )
        if not is_new:
            begin(folder, table, network, layers, maps)
    pace = replace(pace, batch=1) if network.layers.single else pace
    job = _Job.of(network, collection, folder, table, shard, pace)
    yield from job.run()
    for addition in pending(folder):
        more = _Job.of(network, collection, folder, addition.table, shard, pace, str(addition))
        try:
            yield from more.run()
        except StoreError:
            if addition.there:
                raise
        if addition.there and job.is_whole():
            with locked(folder):
                addition.join(table)
    if refit or job.is_whole():
        job.committer.finish(refit=refit)
    give_back()
    yield job.progress()


@dataclass
class _Job:
    """One table brought up to date: what is new is planned, computed, and committed unit by unit."""

    plan: Plan
    compute: RowComputer | RayComputer
    committer: Committer
    pace: Pace
    what: str = ""
    _counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("done", "total", "known", "failed", "stored", "removed"), 0)
    )
    _started: float = 0.0
    _committed: float = 0.0

    @classmethod
    def of(cls, network: Network, collection: Collection, folder: Path, table: Table, shard: tuple[int, int],
           pace: "Pace", what: str = "") -> "_Job":  # fmt: skip
        """The job that brings a table of the store in `folder` up to date."""
        committer = Committer(folder, table, network)
        about = committer.about
        exact = bool(about.preprocess["exact"])
        how = (network, about.columns, about.precision, exact, pace.batch)
        workers = pace.workers
        compute = RayComputer(*how, workers) if isinstance(workers, Cluster) else RowComputer(*how, workers)
        return cls(Plan(collection, shard, committer.known), compute, committer, pace.for_rows_of(about), what)

    def progress(self, more: int = 0) -> Progress:
        """The progress, with `more` images that are computed and not yet committed."""
        seconds = time.monotonic() - self._started if self._started else 0.0
        done = self._counts["done"] + more + self.plan.kept
        counts = self._counts | {"done": done, "known": self.plan.kept}
        nodes = self.compute.told() if isinstance(self.compute, RayComputer) else ()
        return Progress(**counts, seconds=seconds, what=self.what, nodes=nodes)

    def run(self) -> Iterator[Progress]:
        """All that is new or changed is computed and committed; then what is gone is taken out."""
        plan = self.plan
        self._counts["total"] = plan.count()
        if not self._counts["total"] and len(plan.known.keys) and plan.shard[1] == 1:
            raise StoreError(
                f"{plan.collection.name} holds no images now, and its store holds {len(plan.known.keys)}; nothing "
                "was changed."
            )
        self._started = self._committed = time.monotonic()
        yield self.progress()
        yield from self._compute_and_commit(iter(plan))
        self._counts["removed"] = self.committer.remove(plan.gone())
        yield self.progress()

    def _compute_and_commit(self, entries: Iterator[Entry]) -> Iterator[Progress]:
        """Rows as they come, committed after a unit or some seconds, and also where the iteration is left midway."""
        rows: list[Row] = []
        try:
            with closing(self.compute(entries)) as computed:
                for number, row in enumerate(computed, 1):
                    rows.append(row)
                    if number % self.pace.batch == 0:
                        if len(rows) >= self.pace.unit or time.monotonic() - self._committed >= self.pace.every:
                            self._commit(rows)
                        yield self.progress(len(rows))
        finally:
            self._commit(rows)
        yield self.progress()

    def _commit(self, rows: list[Row]) -> None:
        """Put rows on disk, and take them out of the list. Where that was interrupted, it can be done again."""
        self._counts["stored"] += self.committer.commit(rows)
        self._counts["done"] += len(rows)
        self._counts["failed"] += sum(row.decoded.error is not None for row in rows)
        self._committed = time.monotonic()
        rows.clear()

    def is_whole(self) -> bool:
        """Whether the store holds every image of the collection, those of all shards."""
        return self.committer.is_whole(self.plan.collection, self.plan.shard)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
