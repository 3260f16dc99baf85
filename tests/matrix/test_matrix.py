"""The matrix: networks of every kind with every check. Twenty are tried here, all of them by `make test-all`.

Where TRISCOPE_MATRIX names a file, each network is asked in a process of its own, and what came of it is kept there: a
run that ended early goes on where it was. `scripts/matrix.py` makes the page of it.
"""

import gc
import os
from pathlib import Path

import pytest

from tests.matrix import asking, journal, table
from tests.matrix.judging import Cell
from tests.matrix.rows import ROWS

QUICK = (
    "written: LeNet",
    "written: UNet",
    "written: VAE",
    "written: siamese",
    "written: siamese with its call",
    "written: dict of logits",
    "written: tuple of two",
    "written: one number",
    "written: no_grad inside",
    "written: CRNN",
    "written: rows per proposal",
    "written: torch's encoder",
    "written: tokens in an order that is not known",
    "written: one picture at a time",
    "written: six bands",
    "written: holds a lock",
    "torchvision resnet18",
    "timm swinv2",
    "timm gcvit",
    "timm hiera",
)


def test_there_are_enough_networks():
    assert len(ROWS) >= 150
    assert set(QUICK) <= set(ROWS)
    assert set(table.said()) <= set(ROWS)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ROWS]
)
def test_every_answer_is_right_or_refused_in_a_sentence(name):
    path = os.environ.get("TRISCOPE_MATRIX")
    try:
        cells = asking.asked(name, Path(path) if path else None).cells
    except asking.Missing as missing:
        pytest.skip(f"needs {missing}: make test-all")
    gc.collect()
    assert {column: cell for column, cell in cells.items() if cell.verdict in ("wrong", "error")} == {}
    said = table.said().get(name, {})
    refused = {column: cell.said for column, cell in cells.items() if cell.verdict == "refused"}
    assert {column: why for column, why in refused.items() if said.get(column) == "fine"} == {}, (
        "once this was answered"
    )


def test_a_run_that_ended_early_goes_on_with_what_its_code_has_not_answered(tmp_path, monkeypatch):
    path, asked = tmp_path / "journal", []

    def apart(name: str, code: str) -> journal.Row:
        asked.append(name)
        return journal.Row(name, {"wrap": Cell("error" if "list" in name else "fine")}, code)

    monkeypatch.setattr(asking, "apart", apart)
    journal.record(path, journal.Row("written: plain", {"wrap": Cell("fine")}, "older code"))
    for _ in range(2):
        for name in ("written: plain", "written: list"):
            asking.asked(name, path)
    assert asked == ["written: plain", "written: list", "written: list"]
    assert {row.code for row in journal.recorded(path).values()} == {journal.code()}


def test_a_row_is_asked_in_a_process_of_its_own_and_one_that_dies_is_an_error(monkeypatch):
    row = asking.apart("written: one picture at a time", "this")
    here = asking.asked("written: one picture at a time", None)
    assert (row.cells, row.code) == (here.cells, "this")
    assert row.sound
    assert min(row.seconds, row.megabytes) > 0
    monkeypatch.setattr(asking, "_ASK", "import os; os.abort()")
    died = asking.apart("written: plain", "this")
    assert not died.sound
    assert died.cells["wrap"].said.startswith("the process ended with -6")
