"""The matrix: networks of every kind, each asked everything. Twenty are tried here, all of them by `make test-all`.

Where TRISCOPE_MATRIX names a file, what came of each network is appended to it; `scripts/matrix.py` makes the page.
"""

import gc
import os
from pathlib import Path

import pytest
import torch

from tests.matrix import columns, table
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
    torch.manual_seed(0)
    try:
        known = ROWS[name]()
    except ImportError as error:
        pytest.skip(f"needs {error.name or error}: make test-all")
    cells = columns.ask(known)
    if path := os.environ.get("TRISCOPE_MATRIX"):
        table.record(Path(path), name, cells)
    del known
    gc.collect()
    assert {column: cell for column, cell in cells.items() if cell.verdict in ("wrong", "error")} == {}
    said = table.said().get(name, {})
    refused = {column: cell.said for column, cell in cells.items() if cell.verdict == "refused"}
    assert {column: why for column, why in refused.items() if said.get(column) == "fine"} == {}, (
        "once this was answered"
    )
