"""Layers added to a store that is there: the same numbers as if they had been kept from the start, and none twice."""

import os
import shlex
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from click.testing import CliRunner

import triscope as ts
from tests.which.conftest import paint
from tests.which.test_indexing import build, contents, end, start
from triscope.cli import main
from triscope.errors import LayerNotKept, StoreError
from triscope.which.indexing.index import Pace, index
from triscope.which.store import Store

MODEL = "from tests.which.conftest import tiny_network as make"


def grow(network, folder, place, batch=64, **options):
    """The steps of adding layers, told apart: those of the images, and those of the layers."""
    steps = list(index(network, folder, place, pace=Pace(batch), **{"precision": "float32", **options}))
    return [step for step in steps if not step.what], [step for step in steps if step.what]


def vectors(store):
    """What is stored of each image, by layer and kind: column names depend on when a layer came."""
    names = {column.name: (column.layer, column.pool) for column in store.columns}
    return {
        name: (status, error, {names[column]: value for column, value in kept.items()})
        for name, (status, error, kept) in contents(store).items()
    }


def test_a_layer_added_later_is_as_if_it_had_been_kept_from_the_start(network, photos, tmp_path):
    folder = photos(9)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    build(network, folder, tmp_path / "store", layers=["3"])
    before = contents(Store.open(tmp_path / "store"))
    pictures, layers = grow(network, folder, tmp_path / "store", layers=["1", "output"], maps=["3"])
    assert pictures[-1].known == 9
    assert {step.what for step in layers} == {"1, output, 3"}
    assert str(layers[0]).startswith("1, output, 3: 0 of 10 images")
    store = Store.open(tmp_path / "store", network)
    whole = build(network, folder, tmp_path / "whole", layers=["3", "1", "output"], maps=["3"])
    assert vectors(store) == vectors(whole)
    after = contents(store)
    assert all(after[name][2].items() >= before[name][2].items() for name in before)
    assert not list((tmp_path / "store").glob("adding-*"))
    assert len(store) == 9
    assert len(store.errors()) == 1


def test_layers_that_are_kept_already_change_nothing(network, photos, tmp_path):
    folder = photos(3)
    version = build(network, folder, tmp_path / "store", layers=["1", "3"]).table.version
    store = build(network, folder, tmp_path / "store", layers=["3"])
    assert {column.layer for column in store.columns} == {"1", "3", "input"}
    assert store.table.version - version <= 1  # tidying up is a version of its own


def test_new_pictures_and_a_new_layer_at_once(network, photos, tmp_path):
    folder = photos(6)
    build(network, folder, tmp_path / "store", layers=["3"])
    paint(folder / "new.png", 77)
    (folder / "cats" / "001.jpg").unlink()
    paint(folder / "cats" / "002.png", 78)
    store = build(network, folder, tmp_path / "store", layers=["7"])
    assert vectors(store) == vectors(build(network, folder, tmp_path / "whole", layers=["3", "7"]))


def test_an_addition_that_is_stopped_shows_nothing_and_is_gone_on_with(network, photos, tmp_path):
    folder = photos(40)
    build(network, folder, tmp_path / "store", layers=["3"])
    steps = index(network, folder, tmp_path / "store", layers=["7"], precision="float32", pace=Pace(4, unit=4))
    with closing(steps):
        stored = next(step.stored for step in steps if step.what and step.stored >= 20)
    store = Store.open(tmp_path / "store", network)
    assert {column.layer for column in store.columns} == {"3", "input"}
    with pytest.raises(LayerNotKept):
        ts.top(store, "7:1")
    paint(folder / "cats" / "001.jpg", 99)  # changed since: its new vector is not joined to what it was
    _, layers = grow(network, folder, tmp_path / "store", batch=4)  # the layer is not named again
    assert layers[-1].known == stored - 1
    assert vectors(Store.open(tmp_path / "store")) == vectors(
        build(network, folder, tmp_path / "whole", layers=["3", "7"], batch=4)
    )


def test_a_killed_addition_loses_nothing_that_was_acknowledged(network, photos, tmp_path):
    folder = photos(60)
    build(network, folder, tmp_path / "store", layers=["3"], batch=4)
    random, stored = np.random.default_rng(1), 0
    for _ in range(2):
        with start(folder, tmp_path / "store", layers=["1", "7"]) as process:
            lines = list(islice(process.stdout, int(random.integers(4, 9))))
            process.kill()
        stored += int(lines[-1])
    end(start(folder, tmp_path / "store", layers=["1", "7"]))
    whole = build(network, folder, tmp_path / "whole", layers=["3", "1", "7"], batch=4)
    assert stored
    assert vectors(Store.open(tmp_path / "store")) == vectors(whole)


def test_killed_between_joining_and_saying_so(network, photos, tmp_path, monkeypatch):
    folder = photos(5)
    build(network, folder, tmp_path / "store", layers=["3"])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("triscope.which.database.table.Table.describe", killed)
        with pytest.raises(KeyboardInterrupt):
            build(network, folder, tmp_path / "store", layers=["7"])
    paint(folder / "new.png", 5)
    store = build(network, folder, tmp_path / "store", layers=[])
    assert vectors(store) == vectors(build(network, folder, tmp_path / "whole", layers=["3", "7"]))


def test_a_picture_that_was_lost_meanwhile_is_a_row_with_the_reason(network, photos, tmp_path):
    folder = photos(5)
    build(network, folder, tmp_path / "store", layers=["3"])
    steps = index(network, folder, tmp_path / "store", layers=["7"], precision="float32")
    victim = folder / "cats" / "001.jpg"
    for step in steps:
        if step.what and not step.done:  # its size and time were looked at, and then it is overwritten
            state = victim.stat()
            victim.write_bytes(b"\0" * state.st_size)
            os.utime(victim, ns=(state.st_atime_ns, state.st_mtime_ns))
    store = Store.open(tmp_path / "store", network)
    assert len(store) == 4
    assert [name for name, _ in store.errors()] == ["cats/001.jpg"]
    assert "cats/001.jpg" not in ts.top(store, "7:1", k=9).names


def test_shards_add_their_part_and_the_last_one_joins(network, photos, tmp_path):
    folder = photos(12)
    build(network, folder, tmp_path / "store", layers=["3"])
    one = build(network, folder, tmp_path / "store", layers=["7"], shard=(1, 2))
    assert {column.layer for column in one.columns} == {"3", "input"}
    two = build(network, folder, tmp_path / "store", layers=["7"], shard=(2, 2))
    assert vectors(two) == vectors(build(network, folder, tmp_path / "whole", layers=["3", "7"]))


def test_two_processes_add_at_once(network, photos, tmp_path):
    folder = photos(24)
    build(network, folder, tmp_path / "store", layers=["3"], batch=4)
    for process in [start(folder, tmp_path / "store", layers=["1", "7"]) for _ in range(2)]:
        end(process)
    whole = build(network, folder, tmp_path / "whole", layers=["3", "1", "7"], batch=4)
    assert vectors(Store.open(tmp_path / "store")) == vectors(whole)


def test_columns_added_meanwhile_do_not_disturb_a_job_without_new_rows(network, photos, tmp_path):
    folder = photos(6)
    build(network, folder, tmp_path / "store", layers=["3"])
    steps = index(network, folder, tmp_path / "store", precision="float32")
    next(steps)
    build(network, folder, tmp_path / "store", layers=["7"])
    *_, last = steps
    assert (last.known, last.stored) == (6, 0)


def test_projections_are_fitted_to_what_was_added(network, photos, tmp_path):
    folder = photos(300)
    build(network, folder, tmp_path / "store", layers=["3"])
    store = build(network, folder, tmp_path / "store", layers=["7"])
    assert store.projection(store.find("7")) is not None
    assert ts.neighbors(store, 5, "7", k=5).rows == ts.neighbors(store, 5, "7", k=5, exact=True).rows


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    for number in range(6):
        paint(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path


def call(*words):
    asks = words[0] != "pca"  # a map needs no network
    return CliRunner().invoke(main, [*words, *(["-m", "model.py:make"] if asks else [])])


def test_the_first_question_after_a_default_index_is_answered(folder):
    assert call("index", "photos").exit_code == 0
    done = call("top", "prob:3", "photos", "-o", "top.png")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 6


@pytest.mark.parametrize(
    ("question", "option"),
    [
        (["top", "3", "STORE"], ["--layer", "output"]),
        (["top", "1:2", "STORE"], ["--layer", "1"]),
        (["top", "max:1:2", "STORE"], ["--layer", "1"]),
        (["patches", "1:2", "STORE"], ["--layer", "1"]),
        (["patches", "3:2@1,1", "STORE"], ["--maps", "3"]),
        (["top", "3:2@1,1", "STORE"], ["--maps", "3"]),
        (["neighbors", "photos/2.png", "STORE", "--layer", "7"], ["--layer", "7"]),
        (["pca", "STORE", "--layer", "7"], ["--layer", "7"]),
    ],
)
def test_the_command_that_is_advised_makes_the_question_work(folder, question, option):
    place = ["--store", "else where/store"] if option == ["--layer", "7"] else []
    assert call("index", "photos", "--layer", "3", *place).exit_code == 0
    words = [word if word != "STORE" else place[1] if place else "photos" for word in [*question, "-o", "found.png"]]
    refused = call(*words)
    assert refused.exit_code == 1
    said, _, advice = refused.stderr.strip().partition(" To add it: ")
    assert "does not keep" in said
    assert "maps=" not in said
    command = shlex.split(advice)
    assert command[:2] == ["triscope", "index"]
    assert command[-2:] == option
    assert call(*command[1:]).exit_code == 0
    done = call(*words)
    assert done.exit_code == 0, done.output


def test_python_is_advised_in_its_own_words(network, photos, tmp_path):
    folder = photos(3)
    store = build(network, folder, tmp_path / "store", layers=["1"])
    with pytest.raises(StoreError, match=r"does not keep output\..*layers=\['output'\]\) adds it"):
        ts.top(store, 3)
    with pytest.raises(StoreError, match=r"does not keep the whole maps of 1\..*maps=\['1'\]\) adds it"):
        ts.top(store, "1:2@0,0")
    with pytest.raises(StoreError, match=r"does not keep inputs\. Nearest: input\. It keeps 1, input"):
        ts.neighbors(store, 0, "inputs")
