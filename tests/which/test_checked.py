"""Stores of earlier versions that took any rows for images are detected; correct ones are not refused."""

import json
import warnings

import pytest
from torch import nn

import triscope as ts
from tests import nets
from tests.which.conftest import tiny_network
from triscope.errors import StoreError
from triscope.which.store import Store


class Windowed(nn.Module):
    """Maps; windows of them in the batch, in eights; units of a mask, whose order is their own; a table."""

    def __init__(self):
        super().__init__()
        self.conv, self.windows, self.units = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 6), nn.Linear(8, 6)
        self.table, self.head = nn.Linear(1, 8), nn.Linear(8, 4)

    def forward(self, x):
        y = self.conv(x).permute(0, 2, 3, 1)
        units = y.reshape(len(y), 2, 4, 2, 4, 8).permute(0, 1, 3, 2, 4, 5)
        self.windows(units.reshape(-1, 16, 8))
        self.units(units.reshape(len(y), 64, 8))
        self.table(x.new_ones(1, 1))
        return self.head(y.mean((1, 2)))


@pytest.fixture
def windowed():
    return ts.Network(nets.fill(Windowed()), size=32, name="windowed")


#: What version 0.1 wrote of a store, in its order.
FIRST = ("network", "source", "sha256", "preprocess", "precision", "columns", "root", "fields", "format")


def aged(store, network=None, **changes):
    """A store as version 0.1 would have written it."""
    about = json.loads(store.table.about)
    old = {name: about[name] for name in FIRST} | {"root": str(store.root)}
    store.table.describe(json.dumps(old | changes))
    return Store.open(store.path, network)


def build(network, photos, tmp_path, *layers):
    return Store.build(network, photos(5), tmp_path / "store", layers=layers, precision="float32")


def test_a_new_store_says_that_it_was_checked(windowed, photos, tmp_path):
    store = build(windowed, photos, tmp_path, "conv", "windows", "units")
    assert store.about.checked
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Store.open(store.path)) == 5


@pytest.mark.parametrize("layer", ["windows", "units"])
def test_an_old_store_of_layers_whose_positions_were_not_known_is_refused(windowed, photos, tmp_path, layer):
    store = build(windowed, photos, tmp_path, layer)
    said = rf"store was made by .* did not know where {layer} keeps .* wrong\. Build it again: delete .*store, or index"
    with pytest.raises(StoreError, match=said):
        aged(store, windowed)
    with pytest.raises(StoreError, match=said):
        Store.build(windowed, photos(5), store.path, precision="float32")


def test_a_store_of_the_first_version_that_took_windows_for_tokens_of_pictures(windowed, photos, tmp_path):
    """As it described one: four by four tokens of each image, which were the windows of the first ones."""
    store = build(windowed, photos, tmp_path, "conv", "windows")
    columns = [column | ({"grid": [4, 4]} if column["layer"] == "windows" else {})
               for column in json.loads(store.table.about)["columns"]]  # fmt: skip
    said = (
        f"{store.path} was made by a version of triscope that did not know where windows keeps the positions of each "
        f"image: its vectors of that layer are wrong. Build it again: delete {store.path}, or index into another "
        "folder."
    )
    with pytest.raises(StoreError) as refused:
        aged(store, windowed, columns=columns)
    assert str(refused.value) == said


def test_an_old_store_of_rows_that_are_no_pictures_is_refused(windowed, photos, tmp_path):
    store = build(windowed, photos, tmp_path, "head")
    columns = [column | {"layer": "table" if column["layer"] == "head" else column["layer"]}
               for column in json.loads(store.table.about)["columns"]]  # fmt: skip
    said = "took the rows of table for images, though it gives 1 row for 2 images: its vectors"
    with pytest.raises(StoreError, match=said):
        aged(store, windowed, columns=columns)


def test_an_old_store_with_another_grid_is_refused(windowed, photos, tmp_path):
    store = build(windowed, photos, tmp_path, "conv")
    columns = [column | ({"grid": [4, 16]} if column["layer"] == "conv" else {})
               for column in json.loads(store.table.about)["columns"]]  # fmt: skip
    with pytest.raises(StoreError, match="did not know where conv keeps"):
        aged(store, windowed, columns=columns)


def test_an_old_store_that_is_right_is_said_to_be_so_when_it_is_indexed_again(windowed, photos, tmp_path):
    store = build(windowed, photos, tmp_path, "conv", "head")
    assert not aged(store, windowed).about.checked
    again = Store.build(windowed, photos(6), store.path, precision="float32")
    assert again.about.checked
    assert len(again) == 6


def test_without_its_network_an_old_store_is_doubted(windowed, photos, tmp_path):
    store = build(windowed, photos, tmp_path, "conv")
    with pytest.warns(ts.TriscopeWarning, match="may hold wrong vectors. Index the folder once more, .* with windowed"):
        assert len(aged(store)) == 5


@pytest.mark.parametrize(
    ("name", "sure"), [("pocket", True), ("resnet18", True), ("maxvit_t", False), ("timm:x", False)]
)
def test_what_is_known_without_the_network(name, sure, photos, tmp_path):
    store = build(tiny_network(), photos, tmp_path, "3")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        aged(store, source={"name": name})
    assert bool(said) is not sure
