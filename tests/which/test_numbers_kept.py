"""Stored values are the network's, however small or large they are, and independent of the batch."""

import warnings

import PIL.Image
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from tests.which.conftest import paint

EXACT = {"precision": "float32", "exact_preprocess": True}


@pytest.fixture
def photos(tmp_path):
    """A folder of so many images of the size that the network sees, so that nothing is resized."""

    def make(count):
        for number in range(count):
            paint(tmp_path / f"photos/{number:02}.png", number, (32, 32))
        return tmp_path / "photos"

    return make


class Scaled(nn.Module):
    """Maps and a vector, all of whose numbers are multiplied by one."""

    def __init__(self, factor):
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 40, 5, 3), nn.ReLU(), nn.Linear(40, 300, bias=False)
        self.factor = factor

    def forward(self, x):
        return self.head(self.relu(self.conv(x) * self.factor).mean((2, 3)))


class Beside(nn.Module):
    """Subtracts half of what the images of a batch have in common."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 5, 3), nn.Identity(), nn.Linear(8, 5)

    def forward(self, x):
        y = self.conv(x)
        return self.head(self.norm(y - y.mean(0, keepdim=True) / 2).mean((2, 3)))


def network(module, **said):
    return ts.Network(nets.fill(module), size=32, **said)


def live(network, store, layer, pool):
    with torch.no_grad():
        looks = [network.look(network.prepare(file).images, [layer]) for file in store.files(range(len(store)))]
    return torch.cat([look[ts.Need(layer, pool)] for look in looks])


def close(stored, wanted):
    assert (wanted.norm(dim=1) > 0).all()
    assert ((stored - wanted).norm(dim=1) <= 1e-3 * wanted.norm(dim=1)).all()


@pytest.mark.parametrize("factor", [1e-9, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_numbers_of_any_size_are_kept(factor, pool, photos, tmp_path):
    net = network(Scaled(factor))
    store = ts.Store.build(net, photos(5), tmp_path / "store", layers=[ts.Need("relu", pool)], **EXACT)
    column = store.columns[0]
    assert (column.pool, column.dtype) == (pool, "float16" if factor == 1.0 else "float32")
    close(store.vectors(column, range(5)), live(net, store, "relu", pool).flatten(1))
    assert not store.errors()


@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_neighbours_among_numbers_of_any_size(factor, photos, tmp_path):
    """With a projection, which small collections do without."""
    net = network(Scaled(factor))
    store = ts.Store.build(net, photos(260), tmp_path / "store", layers=["head"], **EXACT)
    assert store.projection(store.columns[0]) is not None
    for file, name in zip(store.files(range(4)), store.names(range(4)), strict=True):
        assert ts.neighbors(store, file, "head", k=1).names == (name,)


def test_a_photo_of_which_half_precision_keeps_little_is_said(tmp_path):
    class Steep(Scaled):
        def forward(self, x):
            return super().forward(x**8)

    paint(tmp_path / "photos/light.png", 0, (32, 32))
    dark = (torch.rand(32, 32, 3) * 12).byte().numpy()

    PIL.Image.fromarray(dark).save(tmp_path / "photos/dark.png")
    module = nets.fill(Steep(1.0))
    module.conv.bias.data.zero_()
    with pytest.warns(ts.TriscopeWarning, match="relu: the values of some images are so small that float16 rounds"):
        ts.Store.build(ts.Network(module, size=32), tmp_path / "photos", tmp_path / "store", layers=["relu"], **EXACT)


def quantised():
    module = nn.Sequential(nn.Conv2d(3, 8, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says where quantisation has moved
        return torch.ao.quantization.quantize_dynamic(nets.fill(module).eval(), {nn.Linear}, dtype=torch.qint8), "4"


@pytest.mark.parametrize("make", [quantised, lambda: (nets.fill(Beside()), "norm")], ids=["int8", "mean of the batch"])
def test_a_picture_is_kept_as_it_is_alone_whoever_is_beside_it(make, photos, tmp_path):
    module, layer = make()
    net = ts.Network(module, size=32, name="n")
    with pytest.warns(ts.TriscopeWarning, match=f"gives in {layer} for an image depends on the others of its batch"):
        store = ts.Store.build(net, photos(5), tmp_path / "store", layers=[layer], batch=64, **EXACT)
    one = ts.Store.build(net, photos(5), tmp_path / "one", layers=[layer], batch=1, **EXACT)
    for column in store.columns[:-1]:
        assert torch.equal(store.vectors(column, range(5)), one.vectors(column, range(5)))
    column = store.columns[0] if layer == "4" else store.find(layer, "max")
    close(store.vectors(column, range(5)), live(net, store, layer, "none" if layer == "4" else "max"))


def test_a_mean_that_is_the_same_for_every_picture_is_not_kept(photos, tmp_path):
    class Normalised(Scaled):
        def forward(self, x):
            return self.head(self.relu(self.norm(self.conv(x))).mean((2, 3)))

    module = Normalised(1.0)
    module.norm = nn.InstanceNorm2d(40, affine=True)
    net = network(module)
    with pytest.warns(ts.TriscopeWarning, match="The mean of norm over its positions is the same for every image"):
        store = ts.Store.build(net, photos(5), tmp_path / "store", layers=["norm", "relu"], **EXACT)
    assert [(column.layer, column.pool) for column in store.columns] == [
        ("norm", "max"), ("norm", "place"), ("relu", "mean"), ("relu", "max"), ("relu", "place"), ("input", "pixels")
    ]  # fmt: skip
    close(store.vectors(store.find("norm"), range(5)), live(net, store, "norm", "max"))
    for file, name in zip(store.files(range(5)), store.names(range(5)), strict=True):
        assert ts.neighbors(store, file, "norm", k=1).names == (name,)


def test_small_numbers_are_searched_in_their_own_precision_where_vectors_are_mapped(photos, monkeypatch):
    asked = network(Scaled(1e-9))
    store = ts.Store.build(asked, photos(24), layers=["relu"], path=photos(0) / "store")
    few = ts.neighbors(store, 0, layer="relu", k=23)
    monkeypatch.setattr("triscope.which.search.stored_vectors.COARSE_FROM", 5)
    store.spaces.clear()
    many = ts.neighbors(store, 0, layer="relu", k=23)
    assert many.names == few.names
    torch.testing.assert_close(many.values, few.values)
    assert few.values.std() > 0.01


class Filtered(Scaled):
    """Its maps pass a filter of frequencies, or are multiplied by an inverse matrix: neither exists in bfloat16."""

    def __init__(self, how):
        super().__init__(1.0)
        self.how = how

    def forward(self, x):
        maps = self.relu(self.conv(x))
        if self.how == "fourier":
            maps = torch.fft.irfft2(torch.fft.rfft2(maps)[..., :3], s=maps.shape[-2:])
        else:
            side = torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)
            maps = maps @ torch.linalg.inv(side * 2)
        return self.head(maps.mean((2, 3)))


@pytest.mark.parametrize("how", ["fourier", "inverse"])
def test_a_network_that_does_not_run_in_bfloat16_is_run_in_float32_and_that_is_said(how, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("triscope.network.variants.precision.native_bfloat16", lambda device: True)
    net = network(Filtered(how))
    with pytest.warns(ts.TriscopeWarning, match=f"{net.name} does not run in bfloat16 .*, so it is run in float32"):
        store = ts.Store.build(net, photos(5), tmp_path / "store", layers=["head"], exact_preprocess=True)
    exact = ts.Store.build(net, photos(5), tmp_path / "exact", layers=["head"], **EXACT)
    assert store.vectors(store.columns[0], range(5)).equal(exact.vectors(exact.columns[0], range(5)))
    close(store.vectors(store.columns[0], range(5)), live(net, store, "head", "none"))
    with pytest.warns(ts.TriscopeWarning, match="so it is run in float32"):
        units = ts.units(net, ["conv"], channels="0", size=32, steps=2)
    assert units.values.equal(ts.units(net, ["conv"], channels="0", size=32, steps=2, precision="float32").values)


def test_a_network_that_runs_in_bfloat16_is_run_in_it_without_a_word(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("triscope.network.variants.precision.native_bfloat16", lambda device: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ts.TriscopeWarning)
        store = ts.Store.build(network(Scaled(1.0)), photos(5), tmp_path / "store", layers=["head"])
    assert store.about.precision == "bfloat16"
