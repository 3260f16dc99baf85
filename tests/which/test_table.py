"""The table on disk: what survives damage, and the errors if it does not."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from triscope.errors import StoreError, TriscopeWarning
from triscope.which.database.arrow import Field
from triscope.which.database.table import Table
from triscope.which.store import Store

FIELDS = [Field("key", "int64"), Field("status", "string"), Field("v", "float16", 4)]


def rows(keys, value=1.0):
    count = len(keys)
    return {"key": keys, "status": ["ok"] * count, "v": np.full((count, 4), value, np.float16)}


@pytest.fixture
def table(tmp_path):
    table = Table.create(tmp_path / "rows.lance", FIELDS, "about this")
    for start in (0, 10, 20):
        table.append(rows(range(start, start + 10)), np.ones(10, bool))
    return table


def newest(table):
    return min((table.folder / "_versions").glob("*.manifest"))


def test_rows_come_back_in_order_by_number_and_by_condition(table):
    assert table.about == "about this"
    assert table.column("key").tolist() == list(range(30))
    assert table.rows_where("key >= 25").tolist() == [25, 26, 27, 28, 29]
    assert table.take([17, 3, 17], ["key"])["key"].tolist() == [17, 3, 17]
    assert [batch["row"].tolist() for batch in table.stream(["v"], "key < 3")] == [[0, 1, 2]]


def test_numbers_of_rows_move_up_when_rows_go(table):
    table.delete([3, 12])
    table.refresh()
    assert table.count() == 28
    assert table.take([3], ["key"])["key"].tolist() == [4]
    assert table.rows_where("key = 29").tolist() == [27]


def test_a_row_of_the_same_key_is_replaced(table):
    table.append(rows([5, 99], 7.0), np.ones(2, bool), instead=True)
    assert sorted(table.column("key").tolist()) == [*range(30), 99]
    (row,) = table.rows_where("key = 5")
    assert table.take([row], ["v"])["v"].tolist() == [[7, 7, 7, 7]]


def test_an_interruption_within_what_lance_calls_is_one(table):
    def interrupted(vectors):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        table.add([Field("sum", "float32")], "v", interrupted)
    assert table.names == ("key", "status", "v")


def test_a_computed_column_follows_its_vectors(table):
    table.add([Field("sum", "float32")], "v", lambda vectors: [vectors.sum(1)])
    assert table.column("sum").tolist() == [4.0] * 30
    table.add([Field("sum", "float32")], "v", lambda vectors: [vectors.sum(1) * 2])
    assert table.column("sum").tolist() == [8.0] * 30


def test_tidying_keeps_every_row(table):
    table.tidy()
    assert table.column("key").tolist() == list(range(30))


def test_small_files_are_joined_and_their_rows_are_found_by_number(table, monkeypatch):
    monkeypatch.setattr("triscope.which.database.table._MOST_FILES", 2)
    monkeypatch.setattr("triscope.which.database.table._WHOLE", 12)
    table.append(rows(range(30, 50)), np.ones(20, bool))  # in a file that is not joined with others
    for start in (50, 55):
        table.append(rows(range(start, start + 5)), np.ones(5, bool))
    table.delete([3, 51])
    table.tidy()
    assert sum(path.suffix == ".lance" for path in table.needed()) == 4
    for one in (table, Table.open(table.folder)):
        keys = one.column("key").tolist()
        assert sorted(keys) == [key for key in range(60) if key not in (3, 51)]
        assert [one.rows_where(f"key = {key}").tolist() for key in keys] == [[number] for number in range(58)]
        assert one.take(range(58), ["key"])["key"].tolist() == keys


def test_an_empty_newest_manifest_is_stepped_back_from(table):
    newest(table).write_bytes(b"")
    with pytest.warns(TriscopeWarning, match="cut short"):
        again = Table.open(table.folder)
    assert again.column("key").tolist() == list(range(20))
    again.append(rows(range(50, 55)), np.ones(5, bool))
    assert Table.open(table.folder).count() == 25


def test_a_store_with_nothing_whole_is_a_sentence(tmp_path):
    table = Table.create(tmp_path / "rows.lance", FIELDS, "about")
    newest(table).write_bytes(b"")
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(tmp_path)


def test_files_are_on_disk_before_the_manifest_that_names_them(table, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    before = {path.name for path in table.folder.rglob("*") if path.is_file()}
    table.append(rows(range(30, 40)), np.ones(10, bool))
    made = {path.name for path in table.folder.rglob("*") if path.is_file()} - before
    assert made <= set(synced)
    data, manifest = (next(name for name in made if name.endswith(ending)) for ending in (".lance", ".manifest"))
    assert synced.index(data) < synced.index(manifest)
    assert "_versions" in synced[synced.index(manifest) :]


def test_a_folder_that_went_away_is_a_sentence(table):
    shutil.rmtree(table.folder)
    table.folder.write_text("in its place")
    with pytest.raises(StoreError, match="cannot be written"):
        table.append(rows([1]), np.ones(1, bool))
