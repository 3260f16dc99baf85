"""Answer, certainty and correctness, against a forward pass and the labels."""

import numpy as np
import pytest
import torch

import triscope as ts
from tests.which.conftest import paint, tiny_network
from triscope.errors import StoreError
from triscope.network import Network
from triscope.which.indexing.answers import Answers, label_field
from triscope.which.store import Store

CLASSES = ("dogs", "cats", "tiger cat", "crane", "crane")


@pytest.fixture
def named():
    """The tiny network, its classes named; two have one name, as in ImageNet."""
    network = tiny_network()
    return Network(network.module, **{**network.settings, "classes": CLASSES})


def build(network, source, place, **options):
    return Store.build(network, source, place, **{"precision": "float32", "layers": ["output"], **options})


def fields(store):
    rows = store.table.take(range(store.table.count()), ["name", "answer", "certainty", "correct"])
    return {name: values for name, *values in zip(*rows.values(), strict=True)}


def test_the_answer_is_that_of_a_live_pass(named, photos, tmp_path):
    folder = photos(12)
    (folder / "dogs" / "broken.png").write_bytes(b"no picture")
    store = build(named, folder, tmp_path / "store", exact_preprocess=True)
    found = fields(store)
    assert found.pop("dogs/broken.png") == [None, None, None]
    assert len(found) == 12
    for name, (answer, certainty, correct) in found.items():
        live = ts.predict(named, folder / name, k=1)
        assert answer == live.names[0][0]
        assert certainty == pytest.approx(float(live.values[0, 0]), abs=2e-3)
        assert correct == (answer == name.partition("/")[0])
    assert ts.top(store, 0, k=20, where="correct").rows
    right, wrong = (len(ts.top(store, 0, k=20, where=f"correct = {truth}")) for truth in ("true", "false"))
    assert right == sum(correct for *_, correct in found.values())
    assert right + wrong == 12
    assert len(ts.top(store, 0, k=20, where="certainty > 0.2 AND answer = 'cats'")) == sum(
        answer == "cats" and certainty > 0.2 for answer, certainty, _ in found.values()
    )
    assert set(ts.pca(store, size=64, color_by="answer").fields["answer"]) == {answer for answer, *_ in found.values()}


@pytest.mark.parametrize(
    ("label", "best", "correct"),
    [
        ("cats", 1, True), ("Tiger_Cat", 2, True), ("cats", 0, False), ("crane", 4, True), ("crane", 3, True),
        ("holiday", 1, None), ("", 1, None), (None, 1, None), ("1", 1, None), (1, 1, None),
    ],
)  # fmt: skip
def test_a_folder_names_a_class_or_none(named, label, best, correct):
    scores = np.eye(5, dtype=np.float16)[[best]] * 4
    assert Answers(named, "folder")(scores, [label], [True])["correct"] == [correct]


@pytest.mark.parametrize(
    ("label", "correct"), [(1, True), ("1", True), (0, False), (7, None), (-1, None), ("cats", True)]
)
def test_a_column_names_a_class_by_its_number_too(named, label, correct):
    scores = np.eye(5, dtype=np.float16)[[1]]
    assert Answers(named, "label")(scores, [label], [True])["correct"] == [correct]


def test_where_classes_have_no_names_a_folder_is_a_number(network):
    scores = np.eye(5, dtype=np.float16)[[1, 1, 1]]
    found = Answers(network, "folder")(scores, ["1", "2", "class 1"], [True] * 3)
    assert found["correct"] == [True, False, None]
    assert found["answer"] == ["class 1"] * 3
    assert found["certainty"] == pytest.approx([np.e / (np.e + 4)] * 3)


@pytest.mark.parametrize(
    ("names", "field"),
    [
        ([], "folder"),
        (["year"], "folder"),
        (["Label", "x"], "Label"),
        (["category", "class"], "class"),
        (["target"], "target"),
    ],
)
def test_the_label_is_a_column_of_a_usual_name(names, field):
    assert label_field(names) == field


def test_labels_of_a_file_that_change_are_compared_again(named, tmp_path):
    for number in range(4):
        paint(tmp_path / f"{number}.png", number)
    answers = [name for name, *_ in (ts.predict(named, tmp_path / f"{n}.png", k=1).names[0] for n in range(4))]

    def listed(labels):
        rows = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
        (tmp_path / "list.csv").write_text(f"path,label\n{rows}")
        return [correct for *_, correct in fields(build(named, tmp_path / "list.csv", tmp_path / "store")).values()]

    assert listed(answers) == [True] * 4
    assert listed(["", "a bird", *answers[2:]]) == [None, None, True, True]
    (tmp_path / "list.csv").write_text("path,year\n" + "".join(f"{number}.png,1\n" for number in range(4)))
    build(named, tmp_path / "list.csv", tmp_path / "store")
    assert [correct for *_, correct in fields(Store.open(tmp_path / "store")).values()] == [None] * 4


def test_a_store_that_is_given_its_classes_later_answers_too(named, photos, tmp_path):
    folder = photos(6)
    store = build(named, folder, tmp_path / "store", layers=["7"])
    with pytest.raises(StoreError, match="have no field answer"):
        ts.neighbors(store, 0, where="answer = 'cats'")
    later = build(named, folder, tmp_path / "store", layers=["output"])
    paint(folder / "cats" / "new.png", 50)
    later = build(named, folder, tmp_path / "store", layers=[])
    assert fields(later) == fields(build(named, folder, tmp_path / "whole", layers=["7", "output"]))


def test_probabilities_are_certainties_as_they_are(named, photos, tmp_path):
    soft = torch.nn.Sequential(named.module, torch.nn.Softmax(1))
    network = Network(soft, **{**named.settings, "task": "probabilities"})
    folder = photos(5)
    plain = fields(build(named, folder, tmp_path / "plain"))
    for name, (answer, certainty, correct) in fields(build(network, folder, tmp_path / "soft")).items():
        assert (answer, correct) == (plain[name][0], plain[name][2])
        assert certainty == pytest.approx(plain[name][1], abs=2e-3)


def test_labels_of_which_several_may_be_right_are_no_answer(named, photos, tmp_path):
    network = Network(named.module, **{**named.settings, "task": "labels"})
    assert "answer" not in build(network, photos(2), tmp_path / "store").fields


def test_one_score_is_no_choice(photos, tmp_path):
    network = Network(torch.nn.Sequential(tiny_network().module, torch.nn.Linear(5, 1)), size=32, name="one")
    store = build(network, photos(2), tmp_path / "store")
    assert "answer" not in store.fields
