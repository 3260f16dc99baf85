"""The parts of indexing by themselves: plan reads no image, compute writes nothing, commit stores each row once."""

import os
import pickle
import sys

import numpy as np
import pytest

from tests.which.conftest import paint
from tests.which.test_indexing import LAYERS, build, contents
from triscope.which.collection import Collection
from triscope.which.database.location import rows_folder
from triscope.which.database.table import Table
from triscope.which.indexing.committing import Committer
from triscope.which.indexing.computing import RowComputer
from triscope.which.indexing.known import Known
from triscope.which.indexing.opening import open_table
from triscope.which.indexing.planning import Plan
from triscope.which.store import Store

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
written: list[str] = []
watched = False


def _audit(event, arguments):
    """Notes every file that is opened for writing, in whatever thread, while `watched`."""
    if watched and event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        written.append(str(arguments[0]))
    if watched and event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "socket.connect"):
        written.append(event)


sys.addaudithook(_audit)


@pytest.fixture
def folder(photos):
    folder = photos(7)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


@pytest.fixture
def whole(network, folder, tmp_path):
    """What a store of the folder holds."""
    return contents(build(network, folder, tmp_path / "whole", batch=3))


def empty_store(network, folder, place):
    table = open_table(place, network, Collection(folder), layers=LAYERS)
    return Committer(place, table, network)


def computer(network, committer):
    about = committer.about
    return RowComputer(network, about.columns, about.precision, bool(about.preprocess["exact"]), 3)


def test_compute_touches_no_file(network, folder, tmp_path, monkeypatch):
    """It opens images for reading and nothing for writing, and no table at all."""
    global watched  # noqa: PLW0603 - an audit hook cannot be taken away again
    compute = computer(network, empty_store(network, folder, tmp_path / "store"))
    entries = list(Collection(folder))
    for name in ("open", "create", "append", "refresh"):
        monkeypatch.setattr(Table, name, None)
    written.clear()
    watched = True
    try:
        rows = list(compute(entries))
    finally:
        watched = False
    assert written == []
    assert [row.entry for row in rows] == entries
    assert [row.entry.name for row in rows if row.vectors is None] == ["broken.jpg"]


def test_the_watch_sees_what_is_written(tmp_path):
    global watched  # noqa: PLW0603
    written.clear()
    watched = True
    try:
        (tmp_path / "x").write_text("x")
        (tmp_path / "y").mkdir()
    finally:
        watched = False
    assert written == [str(tmp_path / "x"), "os.mkdir"]


def test_entries_and_rows_may_go_to_another_process_and_back(network, folder, tmp_path, whole):
    committer = empty_store(network, folder, tmp_path / "store")
    sent = pickle.dumps(list(Collection(folder)))
    back = pickle.dumps(list(computer(network, committer)(pickle.loads(sent))))
    assert committer.commit(pickle.loads(back)) == len(whole)
    assert contents(Store.open(tmp_path / "store")) == whole


def test_rows_do_not_depend_on_how_they_are_handed_out(network, folder, tmp_path, whole):
    committer = empty_store(network, folder, tmp_path / "store")
    compute, entries = computer(network, committer), list(Collection(folder))
    for share in (entries[5:], entries[:2], entries[2:5]):
        committer.commit(list(compute(share)))
    assert contents(Store.open(tmp_path / "store")) == whole


def test_committing_again_changes_nothing(network, folder, tmp_path, whole):
    place = tmp_path / "store"
    committer = empty_store(network, folder, place)
    rows = list(computer(network, committer)(list(Collection(folder))))
    assert committer.commit(rows[:4]) == 4
    assert committer.commit(rows[:4]) == 0
    assert committer.commit(rows) == len(rows) - 4
    version = committer.table.version
    other = Committer(place, Table.open(rows_folder(place)), network)  # as another process would
    for again in (committer, other):
        assert again.commit(rows[::-1]) == 0
    assert Table.open(rows_folder(place)).version == version
    assert contents(Store.open(place)) == whole


def test_two_that_commit_the_same_store_it_once(network, folder, tmp_path, whole):
    place = tmp_path / "store"
    first = empty_store(network, folder, place)
    second = Committer(place, Table.open(rows_folder(place)), network)
    rows = list(computer(network, first)(list(Collection(folder))))
    assert first.commit(rows[:5]) == 5
    assert second.commit(rows) == len(rows) - 5
    assert first.commit(rows) == 0
    assert contents(Store.open(place)) == whole


def test_a_changed_image_takes_the_place_of_its_row(network, folder, tmp_path):
    committer = empty_store(network, folder, tmp_path / "store")
    compute = computer(network, committer)
    committer.commit(list(compute(list(Collection(folder)))))
    paint(folder / "cats" / "001.jpg", 99)
    paint(folder / "broken.jpg", 98)
    changed = list(Plan(Collection(folder), (1, 1), committer.known))
    assert [entry.name for entry in changed] == ["broken.jpg", "cats/001.jpg"]
    for count in (2, 0):
        assert committer.commit(list(compute(changed))) == count
    assert contents(Store.open(tmp_path / "store")) == contents(build(network, folder, tmp_path / "new", batch=3))


def test_the_plan_reads_no_image(network, folder, tmp_path):
    stored = Known.of(build(network, folder, tmp_path / "store").table)
    (folder / "dogs" / "003.jpg").unlink()
    paint(folder / "dogs" / "new.png", 9)
    plan = Plan(Collection(folder), (1, 1), stored)
    assert [entry.name for entry in plan] == ["broken.jpg", "dogs/new.png"]  # what could not be read is tried again
    assert (plan.count(), plan.kept, len(plan.gone())) == (8, 6, 1)


def test_shards_are_planned_once_each(folder):
    nothing = Known(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))
    plans = [Plan(Collection(folder), (part, 3), nothing) for part in (1, 2, 3)]
    names = [entry.name for plan in plans for entry in plan]
    assert sorted(names) == sorted(entry.name for entry in Collection(folder))
    assert sum(plan.count() for plan in plans) == len(names)


def test_what_is_known_grows_as_if_read_anew(network, folder, tmp_path):
    committer = empty_store(network, folder, tmp_path / "store")
    rows = list(computer(network, committer)(list(Collection(folder))))
    for some in (rows[4:], rows[:3], rows[2:6]):
        committer.commit(some)
        anew = Known.of(Table.open(rows_folder(tmp_path / "store")))
        for name in ("keys", "stamps", "failed"):
            assert np.array_equal(getattr(committer.known, name), getattr(anew, name))
