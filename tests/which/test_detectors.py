"""Detectors: a store keeps activations of their layers, and no boxes; a report lists the boxes."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from tests.which.conftest import paint
from triscope.errors import StoreError


class OneStage(nn.Module):
    """A box around the middle of each cell of 8 x 8 pixels, and three scores for it."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.SiLU()), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        scores = self.head(self.body(x)).sigmoid()
        rows, cols = (torch.arange(length) * 8.0 for length in scores.shape[2:])
        top, left = torch.meshgrid(rows, cols, indexing="ij")
        corners = torch.stack([left, top, left + 8, top + 8]).expand(len(x), -1, -1, -1)
        return torch.cat([corners, scores], 1).flatten(2).mT


@pytest.fixture
def network():
    output = lambda y: ts.detections(*y.split([4, 3], -1), form="xyxy")  # noqa: E731
    return ts.Network(nets.fill(OneStage()), size=32, task="boxes", output=output, classes=["cat", "dog", "cow"])


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        paint(tmp_path / f"photos/{number}.png", number, (32, 32))
    return tmp_path / "photos"


def test_a_store_of_a_detector_keeps_its_layers_and_says_that_it_keeps_no_boxes(network, folder, tmp_path):
    store = ts.Store.build(network, folder, tmp_path / "store", precision="float32")
    assert {column.layer for column in store.columns} == {"body.1", "input"}
    assert len(ts.top(store, ts.Channel("body.1", 2), k=2).names) == 2
    unit = ts.predict(network, folder / "0.png", k=1).names[0][0]
    with pytest.raises(StoreError, match=r"A store keeps no detected boxes, .* single images \(.*box:"):
        ts.top(store, unit)
    with pytest.raises(StoreError, match=r"keeps no detected boxes, .* OneStage gives boxes .* Name an inner layer"):
        ts.Store.build(network, folder, tmp_path / "other", layers=["output"])


@pytest.mark.usefixtures("brief")
def test_a_report_on_a_detector_lists_its_boxes(network, folder):
    page = ts.report(network, folder / "1.png", sections=()).html
    best = ts.predict(network, folder / "1.png", k=5)
    unit, score = best.names[0][0], float(best.values[0, 0])
    assert f"It finds boxes, of which <strong>{unit}</strong> is the surest with {score:.0%}" in page
    assert "no classes to answer with" not in page
    page = ts.report(network, folder / "1.png").html
    assert "The boxes with the highest scores" in page
    assert all(f">{name}</" in page for name in best.names[0])
