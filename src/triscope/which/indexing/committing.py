"""Commit: rows into a store. Nothing else writes images' rows, and no two processes do at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.which.collection import Collection
from triscope.which.database.about import About
from triscope.which.database.arrow import Rows
from triscope.which.database.durable import locked
from triscope.which.database.stored_projections import (
    fit_projections,
    load_projection,
    project,
    projected_name,
    rest_name,
)
from triscope.which.database.table import Table
from triscope.which.indexing.answers import Answers, label_field, output_column, write_answers
from triscope.which.indexing.computing import Row
from triscope.which.indexing.known import Known

_TIDY_EVERY = 1000  # commits: each lists all files of the table, so that they must not become too many


@dataclass
class Committer:
    """Writes rows into the table of a store, under the lock of its folder."""

    folder: Path
    table: Table
    network: Network

    def __post_init__(self) -> None:
        self._described = self.table.about
        self.about = About.of(self.table)
        #: What is stored, as far as this process knows.
        self.known = Known.of(self.table)
        self._output = output_column(self.about.columns, self.network)
        self._label = self.about.label or label_field(self.about.fields)
        self._answers = Answers(self.network, self._label)
        self._commits = 0
        self._unsure = False

    def commit(self, rows: Sequence[Row]) -> int:
        """Write rows to disk; returns how many are new. To commit the same rows again changes nothing, also where the
        first time was interrupted.

        Raises StoreError where the table was given other columns meanwhile.
        """
        if not rows:
            return 0
        with locked(self.folder):
            if self._others_wrote() or self._unsure:
                if self.table.about != self._described:
                    raise StoreError(f"{printable(self.folder)} was given other columns meanwhile; index again.")
                self.known = Known.of(self.table)
            news = [row for row in rows if not self._stored(row)]
            if news:
                self._append(news)
        self._unsure = False
        return len(news)

    def remove(self, keys: NDArray[np.int64]) -> int:
        """Delete rows by their keys; returns how many."""
        if len(keys):
            with locked(self.folder):
                self.table.refresh()
                self.table.delete(keys.tolist())
        return len(keys)

    def is_whole(self, collection: Collection, shard: tuple[int, int]) -> bool:
        """Whether every image of the whole collection is stored, where a shard was done, so that the projections can
        be fitted.
        """
        self.table.refresh()
        if shard[1] == 1:
            return True
        keys = np.fromiter((entry.key for entry in collection), np.int64)
        return bool(np.isin(keys, Known.of(self.table).keys).all())

    def finish(self, *, refit: bool) -> None:
        """Fit the projections and write the answers where there are none, and tidy up."""
        with locked(self.folder):
            self.table.refresh()
            write_answers(self.table, self.network)
            fit_projections(self.folder, self.table, About.of(self.table).columns, refit=refit)
            self.table.tidy()

    def _stored(self, row: Row) -> bool:
        return self.known.has(row.entry) or self.known.same_failure(row.entry, row.decoded.error)

    def _append(self, news: Sequence[Row]) -> None:
        valid = np.array([row.vectors is not None for row in news])
        replaced = any(self.known.place(row.entry.key) is not None for row in news)
        self._unsure = True  # until it is known that they are stored
        self.table.append(self._columns(news, valid), valid, instead=replaced)
        self.known = self.known.plus([row.entry for row in news], ~valid)
        self._commits += 1
        if self._commits % _TIDY_EVERY == 0:
            self.table.tidy()

    def _others_wrote(self) -> bool:
        version = self.table.version
        self.table.refresh()
        return self.table.version != version

    def _columns(self, news: Sequence[Row], valid: NDArray[np.bool_]) -> Rows:
        """Rows as the columns of the table."""
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
        rows |= {name: [entry.metadata.get(name) for entry in entries] for name in self.about.fields}
        for column in self.about.columns:
            nothing = np.zeros(column.length, column.dtype)
            rows[column.name] = np.stack([nothing if row.vectors is None else row.vectors[column.name] for row in news])
            if projected_name(column) in self.table.names:
                model = load_projection(self.folder, self.table.about_field(projected_name(column)))
                rows[projected_name(column)], rows[rest_name(column)] = project(model, column, rows[column.name])
        if self._output is not None and "answer" in self.table.names:
            rows |= self._answers(rows[self._output.name], rows[self._label], valid)
        return rows
