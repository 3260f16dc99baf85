"""What a notebook and the prompt show: one line of text for every kind of result, and an image or a table."""

import base64
import html
import io
import re

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests import nets
from triscope.methods import Step
from triscope.results import Result
from triscope.verbs import METHODS

KINDS = sorted({method.returns for method in METHODS.values()}, key=lambda kind: kind.__name__)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "cat.png"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 11, 3), "uint8")).save(path)
    return path


@pytest.fixture
def net():
    return nets.network(nets.fill(nets.cnn()), name="tiny", size=(9, 11), classes=["cup", "dog", "<b>", "fox"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_kind_of_result_writes_out_its_numbers(kind):
    assert kind.__repr__ is Result.__repr__


def test_one_line_says_what_was_asked_and_what_came(net, photo):
    heat = ts.saliency(net, photo, 1)
    assert repr(heat) == f"<Heatmap saliency of cat: dog, score {float(heat.scores[0]):.4g}, 9 x 11>"
    grid = ts.activations(net, photo, "0")
    rows, cols = grid.values.shape[1:]
    assert repr(grid) == f"<Grid activations of cat, 0: {len(grid)} of {rows} x {cols}>"
    assert repr(ts.saliency(net, torch.rand(5, 3, 9, 11), 1)).endswith(": 5 images of 9 x 11>")
    assert repr(ts.predict(net, photo)).startswith("<Ranking predict of cat: ")
    made = ts.ascend(net, 1, steps=1, size=12)
    assert repr(made) == "<SynthesisedImage ascend 1: 1 x 3 x 12 x 12>"


def test_a_table_shows_names_as_text(net, photo):
    shown = html.unescape(ts.predict(net, photo, k=4)._repr_html_())  # where no script runs
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert shown.count("<tr>") == 5


def test_a_step_shows_the_picture_so_far(net):
    *_, last = ts.ascend.steps(net, 1, steps=2, size=12)
    assert repr(last).startswith("<Step 2 of 2, score ")
    (encoded,) = re.findall(r"base64,([^\"]+)", last._repr_html_())
    assert base64.b64decode(encoded) == last.result.png()
    assert PIL.Image.open(io.BytesIO(base64.b64decode(encoded))).size == (12, 12)


def test_a_picture_is_in_a_notebook_once(net, photo):
    """As a PNG, or in the frame that draws it."""
    heat, made = ts.saliency(net, photo, 1), ts.ascend(net, 1, steps=1, size=12)
    assert heat._repr_png_() is None
    assert base64.b64encode(heat.png()).decode() in heat._repr_html_()
    assert made._repr_html_() is None
    assert made._repr_png_() == made.png()


def test_a_step_without_a_picture_shows_its_text(net, photo):
    (only,) = ts.predict.steps(net, photo)
    assert isinstance(only, Step)
    assert html.escape(only.result.text()) in only._repr_html_()


def test_a_network_folds_up_its_layers(net):
    shown = net._repr_html_()
    assert shown.startswith(f"<details><summary>{html.escape(repr(net))}</summary><table>")
    assert shown.count("<tr>") == 1 + len(net.layers)


def test_a_map_is_a_page_that_cannot_reach_the_notebook(net, photo, tmp_path):
    for number in range(3):
        photo.with_name(f"{number}.png").write_bytes(photo.read_bytes())
    store = ts.Store.build(net, tmp_path)
    found = ts.pca(store)
    shown = found._repr_html_()
    assert shown.startswith("<iframe ")
    assert 'sandbox="allow-scripts"' in shown
    assert html.unescape(re.search('srcdoc="([^"]*)"', shown)[1]).encode() == found.encode(".html")
    assert found.mosaic()._repr_html_() is None
