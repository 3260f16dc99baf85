"""The table of a store, on disk: all that triscope does with Lance is in this file and `guard`, and its values
come by `arrow`.

Lance writes whole files and then a manifest that names them; a version is there once its manifest is, and a process
that is killed before leaves only files that no manifest names. Lance itself does not sync what it writes: here rows
that are added are synced before their manifest is made, and everything before the caller is told. Writers take turns
(see `durable.locked`) at a lock that the system releases when a process dies, however it dies.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from triscope.which.database import checksums
from triscope.which.database.arrow import Array, Field, Rows, arrow_field, kind_of, to_arrow, to_numpy
from triscope.which.database.durable import damaged, sync_folder, sync_path, writing
from triscope.which.database.files import check_newest, files_of, step_back
from triscope.which.database.guard import asking, import_lance
from triscope.which.database.location import is_remote

if TYPE_CHECKING:
    import lance
    import pyarrow as pa

_PROBES = 32  # cells of an index that a search looks into
_MOST_FILES = 256  # of rows, before small ones are joined
_WHOLE = 131_072  # rows: files of so many are not joined with others
_JOINED_BYTES = 32 << 20  # of other columns that are in memory together


class Table:
    """Rows on disk. Opened at one version; `refresh` opens the newest."""

    def __init__(self, folder: Path, dataset: "lance.LanceDataset") -> None:
        self.folder = folder
        self._dataset: Any = dataset
        self._synced = set(files_of(folder))
        self._ids: tuple[int, Array] | None = None

    @classmethod
    def create(cls, folder: Path, fields: Sequence[Field], about: str) -> "Table":
        """A new table without rows. Raises StoreError where the folder does not take it."""
        lance, pa = import_lance()
        schema = pa.schema([arrow_field(field) for field in fields], metadata={"triscope": about})
        with writing(folder):
            table = cls(folder, lance.write_dataset(schema.empty_table(), str(folder), data_storage_version="2.2"))
            table._synced.clear()
            table._sync()
        return table

    @classmethod
    def open(cls, folder: Path) -> "Table":
        """The newest version that is whole. Raises StoreError where there is none; warns where a newer one was damaged.

        A power cut can leave the newest manifest empty, and then Lance opens nothing at all. It is put aside, and the
        version before it is the newest.
        """
        lance, _ = import_lance()
        while step_back(folder):
            pass
        check_newest(folder)
        with asking(folder):
            return cls(folder, lance.dataset(str(folder)))

    @property
    def version(self) -> int:
        """The number of the version that is open; it grows with every change."""
        return int(self._dataset.version)

    @property
    def about(self) -> str:
        """What `create` was given. Raises DamagedStore where there is nothing, or no text."""
        try:
            return str((self._dataset.schema.metadata or {})[b"triscope"].decode())
        except (KeyError, UnicodeDecodeError) as error:
            raise damaged(self.folder, "it does not say what it is") from error

    @property
    def schema(self) -> "pa.Schema":
        """The columns as Arrow describes them."""
        return self._dataset.schema

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self._dataset.schema.names)

    @property
    def kinds(self) -> dict[str, tuple[str, int | None]]:
        """Of each column the type, by numpy's name, and the length of its vectors, where it has some."""
        return {field.name: kind_of(field) for field in self._dataset.schema}

    def about_field(self, name: str) -> str:
        """What is kept beside a column."""
        return str((self._dataset.schema.field(name).metadata or {}).get(b"triscope", b"").decode(errors="replace"))

    def needed(self) -> Iterator[Path]:
        """The files that the rows of this version lie in."""
        with asking(self.folder):
            for fragment in self._dataset.get_fragments():
                yield from (self.folder / "data" / file.path for file in fragment.data_files())
                deleted = fragment.deletion_file()
                if deleted is not None:
                    yield self.folder / deleted

    def refresh(self) -> None:
        """Open the newest version."""
        with asking(self.folder):
            self._dataset.checkout_latest()

    def count(self, where: str | None = None) -> int:
        """How many rows there are, or how many of a kind. Raises StoreError for a condition that is not one."""
        with asking(self.folder, where, self._dataset.schema):
            return int(self._dataset.count_rows(filter=where))

    def stream(self, columns: Sequence[str], where: str | None = None, batch: int = 2048) -> Iterator[Rows]:
        """The rows in order, a batch at a time; `row` is their number. Raises StoreError for a bad condition."""
        where_given = where is not None
        with asking(self.folder, where, self._dataset.schema):
            scanner = self._dataset.scanner(
                columns=list(columns), filter=where, batch_size=batch, scan_in_order=True, with_row_id=where_given
            )
            numbers = self._numbers() if where_given else None
            start = 0
            for found in scanner.to_batches():
                rows = {name: to_numpy(found.column(name)) for name in columns}
                if numbers is None:
                    rows["row"] = np.arange(start, start + found.num_rows)
                else:
                    rows["row"] = np.searchsorted(numbers, found.column("_rowid").to_numpy())
                start += found.num_rows
                yield rows

    def column(self, name: str, where: str | None = None) -> Any:
        """One column, whole: an array of numbers, or a list."""
        parts = [rows[name] for rows in self.stream([name], where, batch=65536)]
        if parts and all(isinstance(part, np.ndarray) for part in parts):
            return np.concatenate(parts)
        return [value for part in parts for value in part]

    def rows_where(self, where: str) -> NDArray[np.int64]:
        """The numbers of the rows of a kind, ascending. Raises StoreError for a condition that is not one."""
        parts = [rows["row"] for rows in self.stream([], where, batch=65536)]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def take(self, rows: Sequence[int] | Array, columns: Sequence[str]) -> Rows:
        """Some rows by number, in the order asked."""
        order = np.asarray(rows, np.int64)
        if not len(order):
            return {name: [] for name in columns}
        unique, back = np.unique(order, return_inverse=True)
        with asking(self.folder):
            found = self._dataset.take(unique.tolist(), columns=list(columns)).combine_chunks()
            values = {name: to_numpy(found.column(name).combine_chunks()) for name in columns}
        return {
            name: value[back] if isinstance(value, np.ndarray) else [value[place] for place in back]
            for name, value in values.items()
        }

    def append(self, rows: Rows, valid: NDArray[np.bool_], *, instead: bool = False) -> None:
        """Add rows; vectors count only where `valid`. With `instead`, rows of the same key are replaced. On disk when
        this returns. Raises StoreError where the disk does not take them: then nothing has changed.
        """
        lance, pa = import_lance()
        from lance.fragment import write_fragments

        schema = self._dataset.schema
        # A column that the rows do not have was being joined when that was cut short; it is joined again later.
        columns = [
            to_arrow(rows[field.name], field.type, valid) if field.name in rows else pa.nulls(len(valid), field.type)
            for field in schema
        ]
        table = pa.table(columns, schema=schema)
        with writing(self.folder):
            if instead:
                update = self._dataset.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
                update.execute(table)
            else:
                fragments = write_fragments(table, self._dataset, max_rows_per_file=len(table))
                self._sync()
                operation = lance.LanceOperation.Append(fragments)
                self._dataset = lance.LanceDataset.commit(self._dataset, operation, read_version=self._dataset.version)
            self._sync()
        self.refresh()

    def delete(self, keys: Sequence[int]) -> None:
        """Delete rows by key."""
        with writing(self.folder):
            for start in range(0, len(keys), 4096):
                self._dataset.delete(f"key IN ({','.join(str(int(key)) for key in keys[start : start + 4096])})")
            self._sync()

    def add(self, fields: Sequence[Field], read: str, compute: Callable[[Array], Sequence[Array]]) -> None:
        """New columns computed from the column `read`, a batch at a time; those of the same names are dropped first."""
        lance, arrow = import_lance()
        schema = arrow.schema([arrow_field(field) for field in fields])

        def made(batch: "pa.RecordBatch") -> "pa.RecordBatch":
            column = batch.column(0)
            valid = np.asarray(column.is_valid())
            values = compute(to_numpy(column))
            arrays = [to_arrow(value, field.type, valid) for value, field in zip(values, schema, strict=True)]
            return arrow.record_batch(arrays, schema=schema)

        names = [field.name for field in fields]
        self._replace(names, lance.batch_udf(output_schema=schema)(made), read_columns=[read], batch_size=2048)

    def join(self, other: "Table", names: Sequence[str]) -> None:
        """Vectors of another table, by key, a batch at a time; those of the same names are dropped first.

        A row whose key the other table, which is not empty, does not have gets none of them.
        """
        _, pa = import_lance()
        mine, keys = self.column("key"), other.column("key")
        order = keys.argsort()
        schema = pa.schema([other.schema.field(name) for name in names])
        longest = sum(field.type.value_type.byte_width * field.type.list_size for field in schema)
        batch = max(1, min(2048, _JOINED_BYTES // longest))

        def found() -> Iterator[Any]:
            for start in range(0, len(mine), batch):
                wanted = mine[start : start + batch]
                places = order[np.searchsorted(keys, wanted, sorter=order) % len(order)]
                taken = other.take(places, names)
                arrays = [to_arrow(taken[field.name], field.type, keys[places] == wanted) for field in schema]
                yield pa.record_batch(arrays, schema=schema)

        self._replace(names, pa.RecordBatchReader.from_batches(schema, found()))

    def put(self, fields: Sequence[Field], rows: Rows) -> None:
        """New columns, whose values come in the order of the rows; those of the same names are dropped first."""
        _, pa = import_lance()
        schema = pa.schema([arrow_field(field) for field in fields])
        valid = np.ones(len(rows[fields[0].name]), bool)
        made = pa.table([to_arrow(rows[field.name], field.type, valid) for field in schema], schema=schema)
        self._replace(schema.names, made.to_reader())

    def drop(self, names: Sequence[str]) -> None:
        """Delete columns."""
        with writing(self.folder):
            self._dataset.drop_columns(list(names))
            self._sync()
        self.refresh()

    def describe(self, about: str) -> None:
        """Replace the description that `create` was given by `about`."""
        with writing(self.folder):
            self._dataset.update_schema_metadata({"triscope": about})
            self._sync()
        self.refresh()

    def _replace(self, names: Sequence[str], made: Any, **how: Any) -> None:
        """New columns, as Lance makes or reads them, in the place of those of the same names."""
        with writing(self.folder):
            old = [name for name in names if name in self.names]
            if old:
                self._dataset.drop_columns(old)
            self._dataset.add_columns(made, **how)
            self._sync()
        self.refresh()

    def tidy(self) -> None:
        """Join small files where there are many, and drop old versions but the last two."""
        with writing(self.folder):
            if len(self._dataset.get_fragments()) > _MOST_FILES:
                self._dataset.optimize.compact_files(target_rows_per_fragment=_WHOLE)
            self._dataset.cleanup_old_versions(older_than=timedelta(0), retain_versions=2)
            self._sync()
            if not is_remote(self.folder):
                checksums.tidy(self.folder.parent)
        self.refresh()

    def build_index(self, column: str) -> None:
        """An IVF_PQ index by cosine on a column of vectors, for millions of rows; what was there is replaced."""
        with writing(self.folder):
            cells = max(1, min(4096, self.count() // 1000))
            self._dataset.create_index(
                column, "IVF_PQ", metric="cosine", replace=True, num_partitions=cells, num_sub_vectors=32
            )
            self._sync()
        self.refresh()

    def indexed(self, column: str) -> bool:
        """Whether a column has an index."""
        return any(column in index.field_names for index in self._dataset.describe_indices())

    def near(self, column: str, vector: Array, count: int, where: str | None = None) -> NDArray[np.int64]:
        """The numbers of the `count` rows nearest to `vector` by the index of a column, of those that have a vector.

        Rows that were added since the index was built are seen too.
        """
        nearest = {
            "column": column,
            "q": vector,
            "k": count,
            "nprobes": _PROBES,
            "refine_factor": 4,
            "metric": "cosine",
        }
        with asking(self.folder, where, self._dataset.schema):
            scanner = self._dataset.scanner(
                columns=[],
                nearest=nearest,
                filter=where,
                prefilter=True,
                with_row_id=True,
                disable_scoring_autoprojection=True,
            )
            found = scanner.to_table().column("_rowid").to_numpy()
        return np.asarray(np.searchsorted(self._numbers(), found), np.int64)

    def _sync(self) -> None:
        """Sync new files to disk; not needed at an address."""
        if is_remote(self.folder):
            return
        new = [path for path in files_of(self.folder) if path not in self._synced]
        for path in new:
            sync_path(path)
        for folder in dict.fromkeys([path.parent for path in new] + [self.folder, self.folder.parent]):
            sync_folder(folder)
        checksums.note(self.folder.parent, new)
        self._synced.update(new)

    def _numbers(self) -> Array:
        """The row ids in order: their places are the numbers of the rows."""
        if self._ids is None or self._ids[0] != self.version:
            ids = self._dataset.scanner(columns=[], with_row_id=True, scan_in_order=True).to_table()
            self._ids = (self.version, np.asarray(ids.column("_rowid").to_numpy()))
        return self._ids[1]
