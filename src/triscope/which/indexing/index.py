"""Indexing: the pictures of a collection that a store does not hold yet, computed and committed unit by unit."""

import os
import time
from array import array
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.network.variants.precision import Precision
from triscope.objectives.base import Need
from triscope.which.collection import Collection, Entry
from triscope.which.database.about import About
from triscope.which.database.arrow import Rows
from triscope.which.database.durable import locked
from triscope.which.database.location import store_for
from triscope.which.database.stored_projections import (
    fit_projections,
    load_projection,
    project,
    projected_name,
    rest_name,
)
from triscope.which.database.table import Table
from triscope.which.indexing.adding import begin, pending
from triscope.which.indexing.answers import Answers, label_field, output_column, write_answers
from triscope.which.indexing.decoding import Decoded, Embedder, decode, ordered
from triscope.which.indexing.known import Known
from triscope.which.indexing.opening import open_table
from triscope.which.indexing.rows import Row, embedded

UNIT = 2048
_COMMIT_EVERY = 5.0  # seconds: a process that is killed loses no more, or the batch that it was at
_TIDY_EVERY = 1000  # commits: each lists all files of the table, so that they must not become too many
_UNIT_BYTES = 256 << 20


@dataclass(frozen=True)
class Progress:
    """How far indexing is: `done` of `total` pictures of this shard, of which `known` were stored before; of those
    computed now, `failed` could not be used; `stored` are on disk. `removed` rows are of files that are gone. `what`
    names the layers that are added to a store.
    """

    done: int = 0
    total: int = 0
    known: int = 0
    failed: int = 0
    stored: int = 0
    removed: int = 0
    seconds: float = 0.0
    what: str = ""

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return (self.done - self.known) / self.seconds if self.seconds else 0.0

    @property
    def left(self) -> float:
        """Seconds that are left at this rate."""
        return (self.total - self.done) / self.rate if self.rate else 0.0

    def __str__(self) -> str:
        failed = f", {self.failed} unusable" if self.failed else ""
        what = f"{self.what}: " if self.what else ""
        return f"{what}{self.done} of {self.total} pictures{failed}, {self.rate:.0f} a second, {_clock(self.left)} left"


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
    batch: int = 64,
    workers: int | None = None,
    unit: int = UNIT,
    every: float = _COMMIT_EVERY,
    refit: bool = False,
) -> Generator[Progress]:
    """What `Store.build` does, telling how far it is: after each batch, and after each commit.

    Leaving the iteration stops it; what was computed by then is committed. A commit is made after `unit` pictures, and
    after `every` seconds wherever a batch ends; `refit` fits the projections anew.
    """
    if not 1 <= shard[0] <= shard[1]:
        raise StoreError(f"A shard is i of n, from 1 to n; {shard[0]} of {shard[1]} is none.")
    collection = collection if isinstance(collection, Collection) else Collection(collection)
    folder = store_for(collection, path)
    with locked(folder):
        table = open_table(
            folder,
            network,
            collection,
            layers=layers,
            maps=maps,
            precision=precision,
            exact=exact_preprocess,
        )
        begin(folder, table, network, layers, maps)
    batch = 1 if network.layers.single else batch
    job = _Job(network, collection, folder, table, shard, batch, workers, unit, every)
    yield from job.run()
    for addition in pending(folder):
        more = _Job(network, collection, folder, addition.table, shard, batch, workers, unit, every, str(addition))
        try:
            yield from more.run()
        except StoreError:
            if addition.there:
                raise
        if addition.there and job.complete():
            with locked(folder):
                addition.join(table)
    if refit or job.complete():
        job.finish(refit=refit)
    yield job.progress()


@dataclass
class _Job:
    network: Network
    collection: Collection
    folder: Path
    table: Table
    shard: tuple[int, int]
    batch: int
    workers: int | None
    unit: int
    every: float
    what: str = ""
    _counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("done", "total", "known", "failed", "stored", "removed"), 0)
    )
    _started: float = 0.0
    _committed: float = 0.0
    _commits: int = 0
    _unsure: bool = False

    def __post_init__(self) -> None:
        self._described = self.table.about
        self._about = About.of(self.table)
        self._exact = bool(self._about.preprocess["exact"])
        self._output = output_column(self._about.columns, self.network)
        self._label = self._about.label or label_field(self._about.fields)
        self._answers = Answers(self.network, self._label)
        size = sum(column.length * 4 for column in self._about.columns)
        self._unit = min(self.unit, max(self.batch, _UNIT_BYTES // size))
        self._met = np.empty(0, np.int64)
        self._known = Known(self._met, self._met, self._met.astype(bool))

    def progress(self) -> Progress:
        seconds = time.monotonic() - self._started if self._started else 0.0
        return Progress(**self._counts, seconds=seconds, what=self.what)

    def run(self) -> Iterator[Progress]:
        """All that is new or changed, unit by unit; then what is gone is taken out."""
        known = self._known = Known.of(self.table)
        self._counts["total"] = sum(1 for _ in self._entries())
        if not self._counts["total"] and len(known.keys) and self.shard[1] == 1:
            raise StoreError(
                f"{self.collection.name} holds no pictures now, and its store holds {len(known.keys)}; nothing "
                "was changed."
            )
        embed = Embedder(self.network, self._about.columns, self._about.precision)
        self._started = self._committed = time.monotonic()
        yield self.progress()
        met = array("q")
        fresh = self._fresh(known, met)
        while unit := list(islice(fresh, self._unit)):
            yield from self._do(unit, embed)
        self._met = np.array(met, np.int64)
        self._remove(known)
        yield self.progress()

    def _entries(self) -> Iterator[Entry]:
        part, parts = self.shard
        return (entry for entry in self.collection if entry.key % parts == part - 1)

    def _fresh(self, known: Known, met: "array[int]") -> Iterator[Entry]:
        for entry in self._entries():
            met.append(entry.key)
            if known.has(entry):
                self._counts["known"] += 1
                self._counts["done"] += 1
            else:
                yield entry

    def _do(self, unit: list[Entry], embed: Embedder) -> Iterator[Progress]:
        """One unit: computed batch by batch, and committed, also where the iteration is left in the middle or a unit
        takes long.
        """
        rows: list[Row] = []
        try:
            waiting: list[tuple[Entry, Decoded]] = []
            for entry, decoded in ordered(self._decode, unit, self.workers, 3 * self.batch):
                waiting.append((entry, decoded))
                if len(waiting) == self.batch:
                    rows += embedded(waiting, embed, self.batch)
                    waiting = []
                    if time.monotonic() - self._committed >= self.every:
                        self._commit(rows)
                    yield self._with(len(rows))
            if waiting:
                rows += embedded(waiting, embed, self.batch)
        finally:
            self._commit(rows)
        yield self.progress()

    def _with(self, more: int) -> Progress:
        return replace(self.progress(), done=self._counts["done"] + more)

    def _decode(self, entry: Entry) -> Decoded:
        return decode(entry.path, self.network.preprocess, self.network.channels, exact=self._exact)

    def _commit(self, rows: list[Row]) -> None:
        """Put rows on disk, and take them out of the list. Where that was interrupted, it can be done again."""
        news = [row for row in rows if not self._known.same_failure(row.entry, row.decoded.error)]
        with locked(self.folder):
            if self._others_wrote() or self._unsure:
                if self.table.about != self._described:
                    raise StoreError(f"{printable(self.folder)} was given other columns meanwhile; index again.")
                self._known = Known.of(self.table)
                news = [row for row in news if not self._known.has(row.entry)]
            if news:
                valid = np.array([row.vectors is not None for row in news])
                self._unsure = True  # until it is known that they are stored
                replaced = any(self._known.place(row.entry.key) is not None for row in news)
                self.table.append(self._rows(news, valid), valid, instead=replaced)
                self._commits += 1
                if self._commits % _TIDY_EVERY == 0:
                    self.table.tidy()
        self._counts["stored"] += len(news)
        self._counts["done"] += len(rows)
        self._counts["failed"] += sum(row.decoded.error is not None for row in rows)
        self._committed = time.monotonic()
        rows.clear()
        self._unsure = False

    def _others_wrote(self) -> bool:
        version = self.table.version
        self.table.refresh()
        return self.table.version != version

    def _rows(self, news: list[Row], valid: NDArray[np.bool_]) -> Rows:
        entries = [row.entry for row in news]
        found = [row.decoded for row in news]
        rows: Rows = {
            name: [getattr(entry, name) for entry in entries] for name in ("key", "stamp", "size", "mtime", "name")
        }
        rows |= {
            name: [getattr(decoded, name) for decoded in found] for name in ("height", "width", "error", "thumbnail")
        }
        rows["path"] = [entry.id for entry in entries]
        rows["folder"] = [printable(Path(entry.path).parent.name) for entry in entries]
        rows["status"] = ["ok" if decoded.error is None else "error" for decoded in found]
        rows |= {name: [entry.metadata.get(name) for entry in entries] for name in self._about.fields}
        for column in self._about.columns:
            nothing = np.zeros(column.length, column.dtype)
            rows[column.name] = np.stack([nothing if row.vectors is None else row.vectors[column.name] for row in news])
            if projected_name(column) in self.table.names:
                model = load_projection(self.folder, self.table.about_field(projected_name(column)))
                rows[projected_name(column)], rows[rest_name(column)] = project(model, rows[column.name])
        if self._output is not None and "answer" in self.table.names:
            rows |= self._answers(rows[self._output.name], rows[self._label], valid)
        return rows

    def _remove(self, known: Known) -> None:
        """Take out the rows of this shard whose files are gone."""
        part, parts = self.shard
        mine = known.keys[known.keys % parts == part - 1]
        gone = np.setdiff1d(mine, self._met)
        if len(gone):
            with locked(self.folder):
                self.table.refresh()
                self.table.delete(gone.tolist())
            self._counts["removed"] = len(gone)

    def complete(self) -> bool:
        """Whether every picture of the whole collection is stored, so that the projections can be fitted."""
        self.table.refresh()
        if self.shard[1] == 1:
            return True
        keys = np.fromiter((entry.key for entry in self.collection), np.int64)
        return bool(np.isin(keys, Known.of(self.table).keys).all())

    def finish(self, *, refit: bool) -> None:
        """Fit the projections and write the answers where there are none, and tidy up."""
        with locked(self.folder):
            self.table.refresh()
            write_answers(self.table, self.network)
            fit_projections(self.folder, self.table, About.of(self.table).columns, refit=refit)
            self.table.tidy()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
