"""Confusion and changes: counts against another library, the images of each cell, pages, tables, what is refused."""

import csv
import json
import re

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import confusion_matrix

import triscope as ts
from tests.which.conftest import paint, tiny_network
from triscope.cli import main
from triscope.errors import LayerNotKept, StoreError
from triscope.network import Network
from triscope.which.store import Store

CLASSES = ("dogs", "cats", "tiger cat", "crane", "owl")


def named(seed=0):
    network = tiny_network(seed)
    return Network(network.module, **{**network.settings, "classes": CLASSES})


def build(network, folder, place, **options):
    return Store.build(network, folder, place, **{"layers": ["output"], "precision": "float32", **options})


@pytest.fixture
def folder(tmp_path):
    for number in range(40):
        kind = ("cats", "dogs", "tiger_cat", "holiday <b>")[number % 4]
        paint(tmp_path / "photos" / kind / f"{number:02}.png", number)
    return tmp_path / "photos"


def truth(network, folder):
    """Label and answer of each image, asked one by one."""
    paths = sorted(folder.rglob("*.png"))
    return {
        path.relative_to(folder).as_posix(): (path.parent.name, ts.predict(network, path, k=1).names[0][0])
        for path in paths
    }


def test_the_counts_are_those_of_another_library(folder, tmp_path):
    network = named()
    found = ts.confusion(build(network, folder, tmp_path / "store", exact_preprocess=True))
    known = truth(network, folder)
    labels, answers = zip(*known.values(), strict=True)
    plain = [label.replace("_", " ") for label in labels]
    order = sorted({*plain, *answers})
    expected = confusion_matrix(plain, answers, labels=order)
    for row, label in enumerate(found.labels):
        for column, answer in enumerate(found.answers):
            assert found.values[row, column] == expected[order.index(label.replace("_", " ")), order.index(answer)]
            names = found.store.names(found.members.get((row, column), []))
            assert sorted(names) == sorted(name for name, cell in known.items() if cell == (label, answer))
    assert found.values.sum() == 40
    assert found.labels[-1] == "holiday <b>"  # what names a class comes first, and so do the answers
    for row, column in found.matched.items():
        assert row == column
        assert found.labels[row].replace("_", " ") == found.answers[column]
    for members in found.members.values():
        certainty = [found.certainty[row] for row in members.tolist()]
        assert certainty == sorted(certainty, reverse=True)


def test_a_line_for_each_label(folder, tmp_path):
    network = named()
    found = ts.confusion(build(network, folder, tmp_path / "store"))
    known = list(truth(network, folder).values())
    right = [label.replace("_", " ") == answer for label, answer in known if label != "holiday <b>"]
    assert f"of 30 whose label is a class, {sum(right) / 30:.1%} are classified correctly" in str(found)
    lines = dict(line.split("  ", 1) for line in str(found).splitlines()[1:])
    assert lines.keys() == {"cats", "dogs", "tiger_cat", "holiday <b>"}
    assert re.fullmatch(r"\s*10\s+\D.*", lines["holiday <b>"])  # no share of right answers
    assert found.facts == {"images": 40, "judged": 30, "correct": sum(right)}


def test_rows_may_be_any_field_and_images_meet_a_condition(folder, tmp_path):
    store = build(named(), folder, tmp_path / "store")
    found = ts.confusion(store, by="width", where="folder = 'cats'")
    assert found.labels == ("56",)
    assert found.values.sum() == 10
    with pytest.raises(StoreError, match=r"no field 'widht'\. Nearest: width"):
        ts.confusion(store, by="widht")
    with pytest.raises(StoreError, match="no such image"):
        ts.confusion(store, where="width > 1000")


def test_numbers_in_a_list_are_called_by_the_names_of_their_classes(tmp_path):
    rows = "".join(f"{number}.png,{number % 5}\n" for number in range(10))
    for number in range(10):
        paint(tmp_path / f"{number}.png", number)
    (tmp_path / "list.csv").write_text(f"file,class_index\n{rows}")
    found = ts.confusion(build(named(), tmp_path / "list.csv", tmp_path / "store"))
    assert {*found.labels} == {*CLASSES}
    assert found.facts["judged"] == 10


@pytest.mark.parametrize("name", ["confusion", "changes"])
def test_every_form_says_the_same(folder, tmp_path, name):
    store = build(named(), folder, tmp_path / "store")
    other = build(named(1), folder, tmp_path / "other")
    found = ts.confusion(store) if name == "confusion" else ts.changes(store, other)
    page = found.save(tmp_path / "page.html").read_text("utf-8")
    assert page.count('<section class="cell"') == len(found.members)
    assert page.count("<img") == int(found.values.sum())
    assert "<b>holiday <b></b>" not in page
    assert "<script" not in page
    assert {*re.findall(r'href="#(c\d+-\d+)"', page)} == {*re.findall(r'id="(c\d+-\d+)"', page)}
    cells = json.loads(found.save(tmp_path / "cells.json").read_text())["cells"]
    assert sum(cell["count"] for cell in cells) == sum(len(cell["images"]) for cell in cells) == found.values.sum()
    assert np.array_equal(np.load(found.save(tmp_path / "counts.npy")), found.values.numpy())
    with PIL.Image.open(found.save(tmp_path / "matrix.png")) as image:
        assert min(image.size) > 100
    with found.save(tmp_path / "table.csv").open(newline="") as file:
        table = list(csv.reader(file))
    if name == "confusion":
        assert [row[0] for row in table[1:]] == [*found.labels]
        assert [list(map(int, row[1:-1])) for row in table[1:]] == found.values.tolist()
    else:
        assert len(table) - 1 == len(found.changed) == found.values.sum()


def test_hundreds_of_labels_are_shown_in_part(tmp_path):
    rows = "".join(f"{number}.png,word {number % 60}\n" for number in range(120))
    for number in range(120):
        paint(tmp_path / f"{number}.png", number, (8, 8))
    (tmp_path / "list.csv").write_text(f"file,label\n{rows}")
    found = ts.confusion(build(named(), tmp_path / "list.csv", tmp_path / "store"))
    rows, columns = found.shown()
    assert (len(rows), len(columns)) == (40, len(found.answers))
    assert "and 30 more labels" in str(found)
    assert (
        f"40 rows and {len(columns)} columns are shown, 20 and 0 are not" in found.save(tmp_path / "p.html").read_text()
    )


def test_changes_are_those_of_two_networks_asked_one_by_one(folder, tmp_path):
    one, two = named(), named(1)
    exact = {"exact_preprocess": True}
    found = ts.changes(build(one, folder, tmp_path / "one", **exact), build(two, folder, tmp_path / "two", **exact))
    before, after = truth(one, folder), truth(two, folder)
    differing = {name for name in before if before[name] != after[name]}
    assert 0 < len(differing) < 40
    assert {entry["name"] for entry in found.changed} == differing
    for entry in found.changed:
        label, answer = before[entry["name"]]
        assert (entry["label"], entry["before"], entry["after"]) == (label, answer, after[entry["name"]][1])
        expected = None if label == "holiday <b>" else label.replace("_", " ") == answer
        assert entry["before_correct"] is expected
    sure = [entry["before_certainty"] * entry["after_certainty"] for entry in found.changed]
    assert sure == sorted(sure, reverse=True)
    assert f"{len(differing)} of 40 images are classified differently by tiny (" in str(found)
    assert found.facts["now_right"] == sum(
        entry["before_correct"] is False and entry["after_correct"] for entry in found.changed
    )


def test_a_store_beside_itself_has_no_changes(folder, tmp_path):
    store = build(named(), folder, tmp_path / "store")
    found = ts.changes(store, store)
    assert (len(found.changed), found.drawable) == (0, False)
    assert str(found).startswith("0 of 40 images")


def test_images_of_one_store_alone_are_left_out_and_counted(folder, tmp_path):
    two = build(named(1), folder, tmp_path / "two")
    paint(folder / "cats" / "new.png", 99)
    one = build(named(), folder, tmp_path / "one")
    found = ts.changes(one, two)
    assert found.facts["images"] == 40
    assert found.notes == ("1 image is in the first store only and left out.",)
    elsewhere = tmp_path / "others"
    paint(elsewhere / "x.png", 1)
    with pytest.raises(StoreError, match="no image of the same name"):
        ts.changes(one, build(named(), elsewhere, tmp_path / "three"))


def test_a_store_without_classes_is_told_how_to_keep_them(folder, tmp_path):
    bare, full = build(named(), folder, tmp_path / "bare", layers=["3"]), build(named(), folder, tmp_path / "full")
    with pytest.raises(LayerNotKept, match="does not keep output"):
        ts.confusion(bare)
    with pytest.raises(LayerNotKept, match="bare does not keep output"):
        ts.changes(full, bare)
    one = Network(torch.nn.Sequential(named().module, torch.nn.Linear(5, 1)), size=32, name="one")
    with pytest.raises(StoreError, match="a predicted class is one of several"):
        ts.confusion(build(one, folder, tmp_path / "one"))


MODEL = """
from tests.which.test_confusion import named
def make(): return named()
def other(): return named(1)
"""


def test_from_the_command_line_and_made_again(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)

    def call(*words):
        done = CliRunner().invoke(main, [*words])
        assert done.exit_code == 0, done.output
        return done

    call("index", "photos", "-m", "model.py:make")
    call("index", "photos", "-m", "model.py:other", "--store", "other")
    done = call("confusion", "photos")
    assert "40 images by folder" in done.stdout
    assert (tmp_path / "photos.confusion.html").exists()
    done = call("changes", "photos", "other", "--png", "-o", "changed.png")
    assert "->" in done.stdout
    call("redo", "changed.png", "-o", "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "changed.png").read_bytes()
    call("index", "photos", "-m", "model.py:make", "--store", "bare", "--layer", "3")
    refused = CliRunner().invoke(main, ["changes", "photos", "bare"])
    assert refused.exit_code == 1
    assert refused.stderr.strip().endswith("triscope index " + str(folder) + " --store bare --layer output")
