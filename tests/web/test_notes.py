"""Notes and stars on units: kept in the store, also those from before it was there, and never lost without a word."""

import json

import pytest

from tests.web.conftest import SAME, paint, tiny
from triscope.errors import OptionError
from triscope.web.microscope import Microscope
from triscope.which.store import Store


@pytest.fixture
def folder(tmp_path):
    for seed in range(3):
        paint(tmp_path / f"{seed}.png", seed)
    return tmp_path


def test_a_note_from_before_the_folder_was_indexed_is_kept_in_its_store(folder):
    network = tiny()
    scope = Microscope([network])
    scope.note("1:2", "edges", star=True)
    store = Store.build(network, folder, layers=["1"])
    (store.path / "notes.json").write_text(json.dumps({"3:0": {"text": "older", "star": False}}))
    scope.collection()._open(store.path)
    scope.close()
    again = Microscope([network], Store.open(folder, network))
    again.close()
    assert again.notes == {"1:2": {"text": "edges", "star": True}, "3:0": {"text": "older", "star": False}}
    again.note("1:2", "", star=False)
    assert json.loads((store.path / "notes.json").read_text()) == {"3:0": {"text": "older", "star": False}}


def test_a_note_that_cannot_be_written_is_a_sentence_and_stays_on_the_page(folder):
    (folder / "taken").write_text("a file where the store's folder should be")
    scope = Microscope([tiny()], notes=folder / "taken" / "notes.json")
    scope.close()
    with pytest.raises(OptionError, match="taken"):
        scope.note("1:0", "seen", star=False)
    assert scope.notes["1:0"]["text"] == "seen"


@pytest.mark.parametrize("wrong", [{"unit": 3}, {"unit": "1:0", "star": "yes"}, {"unit": "1:0", "text": "x" * 3000}])
def test_what_is_no_note_is_refused(client, wrong):
    assert client.post("/api/notes", json=wrong, headers=SAME).status_code == 400
