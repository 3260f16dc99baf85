"""Networks of timm that keep positions in windows, units or tokens: results and stores refer to the image."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests.network import families
from triscope.network.layout import Layout, Order
from triscope.network.stages import depths

if not find_spec("timm"):
    pytest.skip("needs timm: pip install 'triscope[timm]'", allow_module_level=True)

FAMILIES = ("swin", "swin v2", "gcvit", "mobilevit", "vit", "dinov2", "hiera")
PHOTOS = 4


@pytest.fixture(scope="module")
def networks():
    """Each family's network, made once."""
    made = {}

    def of(family):
        if family not in made:
            torch.manual_seed(0)
            made[family] = families.network(*families.timm_networks()[family]())
        return made[family]

    return of


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of images of coarse noise, of the size that a network sees, so that nothing is resized."""

    def of(network):
        folder = tmp_path_factory.mktemp("photos")
        for number in range(PHOTOS):
            noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
            PIL.Image.fromarray(noise).resize(network.size, PIL.Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        return folder

    return of


def askable(network):
    """The layers that may be asked about images, without the output."""
    return [name for name, layer in network.layers.items() if layer.layout.kind != "other" and name != "output"]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_answers_where_the_picture_changes(family, networks):
    """Within one cell, at all of 16 places."""
    network = networks(family)
    layers = [name for name in askable(network) if min(network.layer(name).grid or (1, 1)) > 4]
    assert len(layers) > 40
    layers = layers[:: -(-len(layers) // 80)]
    missed = families.places_missed(network, layers)
    assert {name: count for name, count in missed.items() if count} == {}


@pytest.mark.parametrize(
    "places",
    [
        pytest.param(lambda grid: grid.T, id="transposed"),
        pytest.param(lambda grid: grid.flip(0), id="upside down"),
        pytest.param(lambda grid: grid.roll(2, 1), id="two columns away"),
        pytest.param(lambda grid: grid.flatten()[torch.randperm(grid.numel())].view(grid.shape), id="mixed up"),
    ],
)
def test_positions_that_are_wrong_are_found_out(places, networks, monkeypatch):
    torch.manual_seed(0)
    network, name = networks("vit"), "blocks.1"
    layer = network.layer(name)
    grid = 1 + places(torch.arange(36).view(6, 6))  # behind the class token
    order = Order((0, 1), run=37, count=37, channels=16, places=grid.flatten())
    wrong = replace(layer, layout=Layout("windows", grid=(6, 6), order=order))
    monkeypatch.setitem(network.layers._layers, name, wrong)
    assert families.places_missed(network, [name])[name] >= 8


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_stored_of_every_layer_is_what_the_network_says(family, networks, photos, tmp_path):
    network = networks(family)
    layers = askable(network)
    layers = layers[:: -(-len(layers) // 60)]
    exact = {"layers": layers, "precision": "float32", "exact_preprocess": True}
    folder = photos(network)
    store = ts.Store.build(network, folder, tmp_path / "store", batch=64, **exact)
    one = ts.Store.build(network, folder, tmp_path / "one", batch=1, **exact)
    files = store.files(range(PHOTOS))
    with torch.no_grad():
        looks = [network.look(network.prepare(file).images, layers) for file in files]
    for column in store.columns:
        if column.pool in ("place", "pixels"):
            continue
        kept = store.vectors(column, range(PHOTOS))
        live = torch.cat([look[ts.Need(column.layer, column.pool)] for look in looks])
        for wrong in (kept - live, one.vectors(column, range(PHOTOS)) - live):
            assert (wrong.norm(dim=1) <= 1e-3 * live.norm(dim=1)).all(), column  # as float16 keeps it
        nearest = torch.cdist(live, kept).argmin(1).tolist()
        assert nearest == list(range(PHOTOS)) or not live.any(), column


@pytest.mark.parametrize("family", FAMILIES)
def test_a_photo_is_its_own_nearest_neighbour_in_the_usual_layers(family, networks, photos, tmp_path):
    network = networks(family)
    store = ts.Store.build(network, photos(network), tmp_path / "store", precision="float32")
    assert {*depths(network)} <= {column.layer for column in store.columns}
    for layer in depths(network):
        for row, file in enumerate(store.files(range(PHOTOS))):
            assert ts.neighbors(store, file, layer, k=1).names == store.names([row])


@pytest.mark.parametrize("family", ["swin", "gcvit", "mobilevit", "hiera"])
def test_layers_in_windows_are_asked_like_any_other(family, networks):
    network = networks(family)
    layer = next(name for name in askable(network) if network.layer(name).layout.kind == "windows")
    rows, cols = network.layer(layer).grid
    images = torch.rand(2, 3, *network.size)
    assert ts.saliency(network, images, f"{layer}:3").scores.shape == (2,)
    assert ts.activations(network, images[:1], layer).values.shape == (network.layer(layer).channels, rows, cols)
    assert ts.gradient(network, images, f"{layer}:3@{rows - 1},0", at=layer).values.nonzero().tolist() == [
        [0, 3, rows - 1, 0],
        [1, 3, rows - 1, 0],
    ]
    assert ts.ascend(network, f"{layer}:3", steps=1, scale=0).values.shape[0] == 1


@pytest.mark.parametrize("size", [(48, 48), (60, 41), (35, 77)])
def test_a_patch_embedding_that_fills_up_has_more_tokens(size):
    families.timm_networks()
    from timm.models.vision_transformer import VisionTransformer

    module = VisionTransformer(
        img_size=48, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=5,
        dynamic_img_size=True, dynamic_img_pad=True,
    )  # fmt: skip
    network = families.network(module, 48)
    found = network.look(torch.rand(2, 3, *size), ["blocks.0"])["blocks.0"]
    assert found.shape == (2, 16, -(-size[0] // 8), -(-size[1] // 8))
