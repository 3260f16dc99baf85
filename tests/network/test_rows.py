"""Layers whose rows are not images are never used as if they were."""

import re

import PIL.Image
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.stages import depths

ops = import_torchvision().ops


class Everything(nn.Module):
    """Maps, and on the way: windows in the batch, tokens that come first, a row per proposal, a table of positions."""

    def __init__(self):
        super().__init__()
        self.conv, self.windows, self.first = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8), nn.Linear(8, 8)
        self.proposals, self.table, self.spread = nn.Linear(8, 8), nn.Linear(2, 8), nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y = self.conv(x)
        z = torch.positive(y)  # whose places are not followed
        count, channels, rows, cols = y.shape
        windows = z.view(count, channels, rows // 4, 4, cols // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 8)
        first = self.first(z.flatten(2).permute(2, 0, 1))
        tokens = y.flatten(2).transpose(1, 2)
        best = tokens.sum(2).topk(3).indices
        proposals = self.proposals(tokens.gather(1, best[:, :, None].expand(-1, -1, 8)).flatten(0, 1))
        table = self.spread(self.table(x.new_ones(1, 2)).expand(count, -1))
        pooled = self.windows(windows).view(count, -1, 8).mean(1) + first.mean(0) + proposals.view(count, 3, 8).mean(1)
        return self.head(pooled + table)


@pytest.fixture
def pictures(tmp_path):
    """A folder of five images of noise."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        noise = torch.randint(0, 256, (12, 16, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        PIL.Image.fromarray(noise.numpy()).save(folder / f"{number}.png")
    return folder


def everything() -> ts.Network:
    return nets.network(nets.fill(Everything()), size=(8, 12))


def test_layers_whose_rows_are_not_pictures_are_listed_with_the_reason():
    network = everything()
    kinds = {name: (layer.layout.kind, layer.shape, layer.note) for name, layer in network.layers.items()}
    assert kinds == {
        "conv": ("maps", (8, 8, 12), None),
        "first": ("other", (48, 2, 8), "gives 48 rows for each image"),
        "proposals": ("other", (3, 8), "gives 3 rows for each image"),
        "table": ("other", (1, 8), "gives 1 row for 2 images"),
        "spread": ("other", (8,), "gives the same for every image"),
        "windows": ("other", (6, 16, 8), "gives 6 rows for each image"),
        "head": ("vector", (5,), None),
        "output": ("vector", (5,), None),
    }
    assert re.search(r"^windows +Linear +6x16x8 .* gives 6 rows for each image$", repr(network.layers), re.MULTILINE)
    assert set(depths(network)) <= {"conv", "head"}


@pytest.mark.parametrize("layer", ["first", "proposals", "table", "spread", "windows"])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_layers_whose_rows_are_not_pictures_are_never_answered(layer, count):
    network, images = everything(), torch.rand(count, 3, 8, 12)
    said = rf"^{layer} gives .*, so its rows are not images\. The nearest layer that .* for each image is conv\.$"
    for ask in (
        lambda: network.look(images, [layer]),
        lambda: network.look(images, ["output"], leaf=layer),
        lambda: ts.saliency(network, images, f"{layer}:3"),
        lambda: ts.saliency(network, images, ts.Energy(layer)),
        lambda: ts.activations(network, images[:1], layer),
        lambda: ts.ascend(network, f"{layer}:3", steps=1),
        lambda: ts.invert(network, images[:1], layer=layer, steps=1),
    ):
        with pytest.raises(NetworkError, match=said):
            ask()
    assert ts.saliency(network, images, "conv:3").values.any()


def test_a_store_refuses_them_and_never_chooses_them(tmp_path, pictures):
    network = everything()
    with pytest.raises(NetworkError, match="windows gives 6 rows for each image, so its rows are not images"):
        ts.Store.build(network, pictures, tmp_path / "refused", layers=["windows"])
    store = ts.Store.build(network, pictures, tmp_path / "store")
    assert {column.layer for column in store.columns} <= {"conv", "head", "input", "output"}


class Folding(nn.Module):
    """Folds two images into one row as soon as they are wider than they were when the layers were found."""

    def __init__(self):
        super().__init__()
        self.conv, self.fold = nn.Conv2d(3, 4, 3), nn.Identity()

    def forward(self, x):
        y = self.conv(x).mean((2, 3))
        self.fold(y.view(-1, 8) if x.shape[-1] > 7 else y)
        return y


def test_rows_are_counted_at_every_pass():
    network = nets.network(nets.fill(Folding()))
    assert network.look(torch.rand(2, 3, 5, 7), ["fold"])["fold"].shape == (2, 4)
    said = "fold of Folding gives 1 row for 2 images, so its rows are not images. The nearest .* is conv"
    with pytest.raises(NetworkError, match=said):
        network.look(torch.rand(2, 3, 5, 9), ["fold"])
    assert network.look(torch.rand(2, 3, 5, 9), ["conv"])["conv"].shape == (2, 4, 3, 7)


def test_an_output_with_several_rows_for_a_picture_is_no_classifier():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(35, 4)

        def forward(self, x):
            return self.head(x.view(-1, 35))

    network = ts.Network(nets.fill(Flat()), size=(5, 7), mean=(0.5, 0.5, 0.5))
    assert network.layers["output"].note == "gives 3 rows for each image"
    with pytest.raises(NetworkError, match=r"gives 3 x 4 numbers for an image, not one score per class"):
        ts.saliency(network, torch.rand(1, 3, 5, 7))
    with pytest.raises(NetworkError, match="output of Flat gives 3 rows for 1 image, so its rows are not images"):
        network.look(torch.rand(1, 3, 5, 7), ["output"])


def test_silent_layers_stay():
    module = nets.fill(nets.cnn())
    nn.init.zeros_(module[1].weight)
    nn.init.zeros_(module[1].bias)  # a fresh batch norm, as at the end of residual blocks
    nn.init.zeros_(module[8].weight)
    layers = nets.network(module).layers
    assert (layers["1"].note, layers["1"].layout.kind) == ("silent here", "maps")
    assert (layers["2"].note, layers["2"].layout.kind) == ("silent here", "maps")
    assert layers["3"].note == "gives the same for every image"  # its bias alone
    assert (layers["output"].note, layers["output"].layout.kind) == (None, "vector")  # never dropped
    assert ts.saliency(nets.network(module), torch.rand(1, 3, 5, 7), "0:2").values.any()


class Saturated(nn.Module):
    """Says the same of grey and of noise, and not of other images."""

    def __init__(self):
        super().__init__()
        self.conv, self.steps = nn.Conv2d(3, 4, 1), nn.Identity()
        self.seen = 0

    def forward(self, x):
        y = self.conv(x).mean((2, 3))
        self.seen += 1
        return self.steps(y * 0 + 1 if self.seen == 1 else y)


def test_what_is_equal_by_chance_is_asked_again():
    assert nets.network(nets.fill(Saturated())).layers["steps"].layout.kind == "vector"


class OneAtATime(nn.Module):
    """Written for a batch of one."""

    def __init__(self):
        super().__init__()
        self.conv, self.table, self.head = nn.Conv2d(3, 4, 3), nn.Linear(1, 4), nn.Linear(4 * 15, 5)

    def forward(self, x):
        y = self.conv(x).reshape(1, 4 * 15)
        self.table(x.new_ones(1, 1))
        return self.head(y)


def test_a_network_that_takes_one_picture_at_a_time(tmp_path, pictures):
    network = nets.network(nets.fill(OneAtATime()))
    layers = network.layers
    assert layers.single
    assert {name: layer.layout.kind for name, layer in layers.items()} == {
        "conv": "maps",
        "table": "other",
        "head": "vector",
        "output": "vector",
    }
    assert layers["table"].note == "gives the same for every image"
    assert repr(layers).splitlines()[-1] == "It takes one image at a time."
    assert ts.saliency(network, torch.rand(1, 3, 5, 7), 2).values.any()
    with pytest.raises(NetworkError, match="OneAtATime takes one image at a time; 2 were given together"):
        ts.saliency(network, torch.rand(2, 3, 5, 7), 2)
    store = ts.Store.build(network, pictures, tmp_path / "store", layers=["head"])
    assert len(store) == len(list(pictures.iterdir()))


@pytest.mark.parametrize("wrong", [RuntimeError, ValueError])
def test_a_network_that_runs_on_no_picture_is_refused_as_before(wrong):
    class Never(nn.Module):
        def forward(self, x):
            raise wrong("no such thing")

    with pytest.raises(
        NetworkError, match=r"cannot run on an image of 5 x 7 pixels \(no such thing, line \d+ of test_rows.py"
    ):
        nets.network(Never(), mean=None, std=None).layers  # noqa: B018


class Zeros(nn.Module):
    """Rows that are zero where they are looked at, as learned queries are before they have seen an image."""

    def __init__(self):
        super().__init__()
        self.conv, self.queries, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Identity(), nn.Linear(8, 4)

    def forward(self, x):
        y = self.conv(x)
        return self.head(y.mean((2, 3)) + self.queries(torch.positive(y.permute(0, 2, 3, 1)).flatten(1, 2) * 0).mean(1))


def test_silent_rows_that_look_like_a_grid_have_no_positions():
    layer = nets.network(nets.fill(Zeros())).layer("queries")
    assert (layer.shape, layer.layout.kind, layer.note) == ((35, 8), "other", "silent here")


class TwoStages(nn.Module):
    """A detector of two stages: maps, three regions of each image, a head for each of them, and their mean."""

    def __init__(self, batched):
        super().__init__()
        self.body, self.pool = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU()), ops.MultiScaleRoIAlign(["0"], 4, 2)
        self.box_head, self.box_predictor = nn.Linear(128, 6), nn.Linear(6, 4)
        self.batched = batched
        self.register_buffer("boxes", torch.tensor([[0.0, 0, 16, 16], [8, 8, 24, 24], [4, 2, 20, 14]]))

    def forward(self, x):
        if self.batched:  # as torchvision's own transform puts images of several sizes into one tensor
            together = x.new_zeros(x.shape)
            for place, image in enumerate(x):
                together[place, :, : image.shape[1], : image.shape[2]].copy_(image)
            x = together
        pooled = self.pool({"0": self.body(x)}, [self.boxes] * len(x), [tuple(x.shape[2:])] * len(x))
        return self.box_predictor(self.box_head(pooled.flatten(1)).relu()).view(len(x), -1, 4).mean(1)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # in torchvision, of PyTorch
@pytest.mark.parametrize("batched", [False, True])
def test_rows_of_proposed_regions_are_listed_as_that_and_never_taken_for_pictures(batched):
    network = ts.Network(nets.fill(TwoStages(batched)), size=32)
    said = "gives a row for each proposed region, 3 rows for each image"
    for name in ("pool", "box_head", "box_predictor"):
        layer = network.layer(name)
        assert (layer.layout.kind, layer.layout.pictures, layer.note) == ("roi", False, said)
        with pytest.raises(NetworkError, match=f"{name} {said}, so its rows are not images. The nearest .* is body\\."):
            ts.saliency(network, torch.rand(1, 3, 32, 32), f"{name}:1")
    assert network.layer("body").layout.kind == "maps"
    assert said in str(network.layers)
    assert not {"pool", "box_head", "box_predictor"}.intersection(depths(network))
    assert ts.saliency(network, torch.rand(2, 3, 32, 32), 1).values.any()
