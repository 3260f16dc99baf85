"""Indexing: the network's activations are stored, each once, whatever happens on the way."""

import os
import shutil
import subprocess
import types
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import processes
from tests.which.conftest import paint, tiny_network
from triscope.errors import StoreError
from triscope.network.stages import depths
from triscope.objectives.base import Need
from triscope.which.collection import Collection
from triscope.which.database.table import Table
from triscope.which.indexing import committing, computing
from triscope.which.indexing import index as index_module
from triscope.which.indexing.index import Pace, index
from triscope.which.search.neighbors import neighbors
from triscope.which.search.patches import patches
from triscope.which.store import Store

LAYERS = ("1", "3", "7")


def build(network, folder, path, **options):
    return Store.build(network, folder, path, **{"layers": LAYERS, "precision": "float32", **options})


def contents(store):
    """Everything that is stored of each image, by name."""
    names = [column.name for column in store.columns]
    found = {}
    for rows in store.table.stream(["name", "status", "error", *names]):
        for place, name in enumerate(rows["name"]):
            assert name not in found, "an image is stored once"
            vectors = (
                {column: rows[column][place].tolist() for column in names} if rows["status"][place] == "ok" else {}
            )
            found[name] = (rows["status"][place], rows["error"][place], vectors)
    return found


def test_what_is_stored_is_what_the_network_says(network, photos, tmp_path):
    store = build(network, photos(9), tmp_path / "store", maps=["3"], exact_preprocess=True)
    assert len(store) == 9
    assert store.errors() == []
    needs = [Need("1", "mean"), Need("1", "max"), Need("3"), Need("3", "max"), Need("7"), Need("7", "mean")]
    for rows, answers in store.answers(needs):
        for place, path in enumerate(store.files(rows)):
            look = network.look(network.prepare(path).images, needs)
            for need in needs:
                torch.testing.assert_close(answers[need][place], look[need][0], rtol=2e-2, atol=4e-2)


def test_a_new_store_keeps_what_stands_for_the_network_where_no_layer_is_named(network, photos, tmp_path):
    folder = photos(3)
    store = Store.build(network, folder, tmp_path / "store")
    assert {column.layer for column in store.columns} == {*depths(network), "output", "input"}
    assert Store.build(network, folder, tmp_path / "store").columns == store.columns
    build(network, folder, tmp_path / "other", layers=["3"])
    assert {column.layer for column in Store.build(network, folder, tmp_path / "other").columns} == {"3", "input"}


def test_only_what_is_new_or_changed_is_computed_again(network, photos, tmp_path):
    folder = photos(8)
    build(network, folder, tmp_path / "store")
    before = contents(Store.open(tmp_path / "store"))
    paint(folder / "dogs" / "new.png", 99)
    paint(folder / "cats" / "001.jpg", 77)
    (folder / "cats" / "002.png").unlink()
    *_, last = index(network, folder, tmp_path / "store", precision="float32")
    after = contents(Store.open(tmp_path / "store"))
    assert (last.known, last.done - last.known, last.removed) == (6, 2, 1)
    assert after.keys() == before.keys() - {"cats/002.png"} | {"dogs/new.png"}
    same = before.keys() - {"cats/001.jpg", "cats/002.png"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["cats/001.jpg"] != before["cats/001.jpg"]


def test_an_unreadable_picture_is_a_row_with_the_reason(network, photos, tmp_path):
    folder = photos(4)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "empty.png").touch()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    store = build(network, folder, tmp_path / "store")
    errors = dict(store.errors())
    assert len(store) == 4
    assert errors.keys() == {"broken.jpg", "empty.png", "pipe.jpg", "gone.jpg"}
    assert "empty" in errors["empty.png"]
    assert "pipe" in errors["pipe.jpg"]
    version = store.table.version
    paint(folder / "empty.png", 5)
    store = build(network, folder, tmp_path / "store")
    assert len(store) == 5
    assert store.errors() == [item for item in errors.items() if item[0] != "empty.png"]
    assert store.table.version > version


def test_nothing_is_written_where_nothing_changed(network, photos, tmp_path):
    folder = photos(4)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    build(network, folder, tmp_path / "store")
    before = contents(Store.open(tmp_path / "store"))
    *_, last = index(network, folder, tmp_path / "store", precision="float32")
    assert last.stored == 0
    assert contents(Store.open(tmp_path / "store")) == before


def test_what_was_computed_when_it_is_stopped_is_kept(network, photos, tmp_path):
    folder = photos(12)
    with closing(index(network, folder, tmp_path / "store", layers=LAYERS, precision="float32", pace=Pace(2))) as steps:
        assert [step.done for step in islice(steps, 3)] == [0, 2, 4]
    assert 4 <= len(Store.open(tmp_path / "store")) < 12
    whole = build(network, folder, tmp_path / "whole", batch=2)
    assert contents(build(network, folder, tmp_path / "store", batch=2)) == contents(whole)


def test_what_is_computed_is_committed_by_time_too(network, photos, tmp_path, monkeypatch):
    """A clock that goes on by a second for each batch: every third of them is committed."""
    clock = types.SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    embed = computing.embedded

    def slowly(*arguments):
        clock.now += 1.0
        return embed(*arguments)

    monkeypatch.setattr(index_module, "time", clock)
    monkeypatch.setattr(computing, "embedded", slowly)
    steps = index(network, photos(14), tmp_path / "store", layers=LAYERS, precision="float32", pace=Pace(2, every=3.0))
    told = [(step.done, step.stored, len(Store.open(tmp_path / "store"))) for step in steps]
    assert [stored for _, stored, _ in told[:8]] == [0, 0, 0, 6, 6, 6, 12, 12]
    assert [done for done, _, _ in told[:8]] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert all(stored == on_disk for _, stored, on_disk in told)


def test_a_table_of_many_commits_is_tidied_on_the_way(network, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(committing, "_TIDY_EVERY", 3)
    tidied, tidy = [], Table.tidy

    def counted(self):
        tidied.append(len(contents(Store.open(self.folder.parent))))
        tidy(self)

    monkeypatch.setattr(Table, "tidy", counted)
    folder = photos(20)
    options = {"layers": LAYERS, "precision": "float32", "pace": Pace(2, every=0.0)}
    *_, last = index(network, folder, tmp_path / "store", **options)
    assert tidied == [6, 12, 18, 20]
    assert last.stored == 20
    assert contents(Store.open(tmp_path / "store")) == contents(build(network, folder, tmp_path / "whole", batch=2))


def test_a_commit_that_is_interrupted_is_made_again_and_stores_each_once(network, photos, tmp_path, monkeypatch):
    """Before it, and after it when nobody has been told yet."""
    folder = photos(8)
    append = Table.append
    for when in ("before", "after"):

        def interrupted(self, *arguments, when=when, **options):
            monkeypatch.setattr(Table, "append", append)
            if when == "after":
                append(self, *arguments, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(Table, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(index(network, folder, tmp_path / when, layers=LAYERS, precision="float32", pace=Pace(2, every=0.0)))
        assert len(contents(Store.open(tmp_path / when))) == 2
        assert len(contents(build(network, folder, tmp_path / when, batch=2))) == 8


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_vector_does_not_depend_on_the_pictures_beside_it(network, photos, tmp_path, precision):
    """One at a time, three at a time, and all together: also the last bit is the same."""
    folder = photos(20)
    whole = contents(build(network, folder, tmp_path / "whole", precision=precision))
    for some in (1, 3):
        for _ in index(network, folder, tmp_path / f"{some}", layers=LAYERS, precision=precision, pace=Pace(unit=some)):
            pass
        assert contents(Store.open(tmp_path / f"{some}")) == whole


def test_shards_make_the_same_rows(network, photos, tmp_path):
    folder = photos(12)
    whole = contents(build(network, folder, tmp_path / "whole"))
    parts = [len(build(network, folder, tmp_path / "parts", shard=(part, 3))) for part in (2, 1, 3)]
    assert parts == sorted(parts)
    assert contents(Store.open(tmp_path / "parts")) == whole


def test_the_first_build_of_many_pictures_is_projected_and_later_rows_follow_it(network, photos, tmp_path):
    folder = photos(300)
    store = build(network, folder, tmp_path / "store")
    column = store.find("7")
    projection = store.projection(column)
    assert projection is not None
    assert projection.directions.shape == (256, 300)
    paint(folder / "new.png", 999)
    store = build(network, folder, tmp_path / "store")
    row = store.row("new.png")
    kept = torch.from_numpy(store.table.take([row], [f"{column.name}_pca"])[f"{column.name}_pca"].copy()).float()
    torch.testing.assert_close(kept, projection(store.vectors(column, [row]))[0], rtol=1e-2, atol=1e-2)
    assert torch.equal(store.projection(column).directions, projection.directions)
    *_, _ = index(network, folder, tmp_path / "store", precision="float32", refit=True)
    assert not torch.equal(Store.open(tmp_path / "store").projection(column).mean, projection.mean)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"precision": "bfloat16"}, "precision"),
        ({"exact_preprocess": True}, "preprocessing"),
    ],
)
def test_numbers_of_another_kind_are_not_mixed_in(network, photos, tmp_path, change, words):
    folder = photos(2)
    build(network, folder, tmp_path / "store")
    with pytest.raises(StoreError, match=words):
        build(network, folder, tmp_path / "store", **change)


def test_numbers_of_another_network_are_not_mixed_in(network, photos, tmp_path):
    folder = photos(2)
    build(network, folder, tmp_path / "store")
    other = tiny_network(seed=1)
    for refused in (lambda: build(other, folder, tmp_path / "store"), lambda: Store.open(tmp_path / "store", other)):
        with pytest.raises(StoreError, match="other weights"):
            refused()


def test_a_folder_that_is_empty_now_takes_nothing_out(network, photos, tmp_path):
    folder = photos(3)
    build(network, folder, tmp_path / "store")
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    with pytest.raises(StoreError, match="nothing was changed"):
        build(network, folder, tmp_path / "store")
    assert len(Store.open(tmp_path / "store")) == 3


def test_values_that_float16_does_not_hold_are_a_reason(network, photos, tmp_path, monkeypatch):
    """Of a photo, that is, whose numbers are larger than those of the images by which the type was chosen."""
    monkeypatch.setattr("triscope.which.database.schema._STRONGEST", float("inf"))
    with torch.no_grad():
        network.module[6].weight.mul_(1e7)
    store = build(network, photos(2), tmp_path / "store")
    assert len(store) == 0
    assert "float16" in store.errors()[0][1]


def test_a_store_in_the_folder_is_found_and_moves_with_it(network, photos, tmp_path):
    folder = photos(3)
    Store.build(network, folder, layers=["3"])
    folder.rename(tmp_path / "elsewhere")
    store = Store.open(tmp_path / "elsewhere")
    assert all(path.is_file() for path in store.files([0, 1, 2]))


PROGRAM = """
import sys
from pathlib import Path
from tests.which.conftest import tiny_network
from triscope.which.indexing.index import Pace, index
import resource, torch
torch.set_num_threads(1)
if len(sys.argv) > 4:  # a disk with little room
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
shard = tuple(map(int, sys.argv[3].split("/")))
options = dict(layers={layers!r}, precision="float32", pace=Pace(4, unit=4))
for step in index(tiny_network(), sys.argv[1], sys.argv[2], shard=shard, **options):
    print(step.stored, flush=True)
"""


def start(
    folder: Path, store: Path, shard: str = "1/1", *room: str, layers: Sequence[str] = LAYERS
) -> processes.Process:
    return processes.started(PROGRAM.format(layers=layers), str(folder), str(store), shard, *room)


def end(process: processes.Process) -> None:
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint


def kill_and_finish(network, folder, tmp_path, times):
    """Index, killed at random moments: every acknowledged row is there, and in the end all is as it would have been."""
    random = np.random.default_rng(0)
    stored = 0
    for _ in range(times):
        acknowledged = 0
        lines = int(random.integers(1, 6))
        with start(folder, tmp_path / "store") as process:
            for line in islice(process.stdout, lines):
                acknowledged = int(line)
            process.kill()
        if (tmp_path / "store" / "rows.lance").is_dir() and lines > 1:
            now = len(contents(Store.open(tmp_path / "store")))
            assert now >= stored + acknowledged
            stored = now
    end(start(folder, tmp_path / "store"))
    whole = build(network, folder, tmp_path / "whole", batch=4)
    assert contents(Store.open(tmp_path / "store")) == contents(whole)


def test_a_killed_process_loses_nothing_that_was_acknowledged(network, photos, tmp_path):
    kill_and_finish(network, photos(40), tmp_path, times=2)


@pytest.mark.slow
def test_a_process_killed_twenty_times_loses_nothing_that_was_acknowledged(network, photos, tmp_path):
    kill_and_finish(network, photos(240), tmp_path, times=20)


def test_two_processes_write_into_one_store_at_once(network, photos, tmp_path):
    folder = photos(24)
    for process in [start(folder, tmp_path / "store", f"{part}/2") for part in (1, 2)]:
        end(process)
    assert contents(Store.open(tmp_path / "store")) == contents(build(network, folder, tmp_path / "whole", batch=4))


def test_two_processes_on_the_same_pictures_store_each_once(network, photos, tmp_path):
    folder = photos(12)
    for process in [start(folder, tmp_path / "store") for _ in range(2)]:
        end(process)
    assert contents(Store.open(tmp_path / "store")) == contents(build(network, folder, tmp_path / "whole", batch=4))


def test_a_full_disk_is_a_sentence_and_loses_nothing(network, photos, tmp_path):
    folder = photos(6)
    before = contents(build(network, folder, tmp_path / "store", batch=4))
    photos(60)
    process = start(folder, tmp_path / "store", "1/1", "6000")
    _, complaint = process.communicate()
    assert process.returncode == 1
    assert complaint.splitlines()[-1].startswith("triscope.errors.StoreError: ")
    assert "cannot be written" in complaint
    after = contents(Store.open(tmp_path / "store"))
    assert {name: after[name] for name in before} == before


@pytest.fixture
def mounted(tmp_path):
    """A folder of a file system of its own; what may mount none skips."""
    place = tmp_path / "mounted"
    place.mkdir()
    under = []

    def mount(*options: str) -> Path:
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")
        under.append(place)
        return place

    try:
        yield mount
    finally:
        if under:
            subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no program `mount`")
def test_a_disk_that_fills_up_is_a_sentence_and_keeps_what_was_acknowledged(network, photos, tmp_path, mounted):
    folder = photos(120)
    place = mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs")
    steps = index(network, folder, place / "store", layers=LAYERS, precision="float32", pace=Pace(4, unit=4))
    told = []
    with pytest.raises(StoreError, match=r"cannot be written: No space left on device\. What was stored before"):
        told.extend(step.stored for step in steps)
    before = contents(Store.open(place / "store"))
    assert 0 < told[-1] <= len(before) < 120
    place = mounted("-o", "remount,size=64m")
    whole = contents(build(network, folder, tmp_path / "whole", batch=4))
    assert {name: whole[name] for name in before} == before
    assert contents(build(network, folder, place / "store", batch=4)) == whole


@pytest.mark.skipif(not shutil.which("mount"), reason="there is no program `mount`")
def test_a_read_only_disk_is_a_sentence_and_can_still_be_searched(network, photos, tmp_path, mounted):
    folder = photos(6)
    build(network, folder, tmp_path / "mounted" / "store")
    mounted("--bind", str(tmp_path / "mounted"))
    place = mounted("-o", "remount,ro,bind")
    photos(9)
    with pytest.raises(StoreError, match="cannot be written: Read-only file system"):
        build(network, folder, place / "store")
    with pytest.raises(StoreError, match="cannot be written: Read-only file system"):
        build(network, folder, place / "new")
    store = Store.open(place / "store", network)
    assert len(store) == 6
    assert sorted(neighbors(store, 2, "7", k=5).rows) == [0, 1, 3, 4, 5]
    assert len(patches(store, "1:2", k=3)) == 3


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_without_permission_is_a_sentence(network, photos, tmp_path):
    folder = photos(3)
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(StoreError, match="cannot be written: Permission denied"):
        build(network, folder, tmp_path / "closed" / "store")


def test_a_folder_that_may_not_be_written_is_a_sentence(network, photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        build(network, photos(2), tmp_path / "file" / "store")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pictures_make_a_store(network, photos, tmp_path, count):
    store = build(network, photos(count), tmp_path / "store")
    assert len(store) == count


def test_a_collection_given_twice_is_one(network, photos, tmp_path):
    folder = photos(3)
    paths = sorted(folder.rglob("*.*"))
    store = build(network, Collection([*paths, *paths]), tmp_path / "store")
    assert len(store) == 3
