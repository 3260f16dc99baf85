"""The table of layers, and tokens shown as maps."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError


def test_names_types_shapes_and_parameters():
    layers = nets.network(nets.fill(nets.cnn())).layers
    assert [(layer.name, layer.type, layer.shape, layer.parameters) for layer in layers.values()] == [
        ("0", "Conv2d", (8, 5, 7), 3 * 9 * 8 + 8),
        ("1", "BatchNorm2d", (8, 5, 7), 16),
        ("2", "ReLU", (8, 5, 7), 0),
        ("3", "Conv2d", (6, 5, 7), 8 * 9 * 6 + 6),
        ("4", "ReLU", (6, 5, 7), 0),
        ("5", "Dropout", (6, 5, 7), 0),
        ("6", "AdaptiveAvgPool2d", (6, 1, 1), 0),
        ("7", "Flatten", (6,), 0),
        ("8", "Linear", (5,), 35),
        ("output", "Sequential", (5,), 224 + 16 + 438 + 35),
    ]
    table = repr(layers)
    assert table.splitlines()[0].split() == ["layer", "type", "output", "parameters", "sees"]
    assert table.splitlines()[4].split() == ["3", "Conv2d", "6x5x7", "438", "5"]


def test_layers_of_a_network_with_a_fixed_size_are_found_at_that_size():
    assert nets.network(nets.fill(nets.Tokens()), size=(12, 16)).layer("patches").shape == (8, 3, 4)
    assert nets.network(nets.fill(nets.cnn()), size=(64, 32)).layer("0").shape == (8, 64, 32)
    assert ts.Network(nets.fill(nets.cnn())).layer("0").shape == (8, 224, 224)


@pytest.mark.parametrize("extra", [0, 1, 5])
def test_tokens_are_shown_as_a_grid(extra):
    """A token's map is what the module gives, without the extra tokens, in rows and columns."""
    module = nets.fill(nets.Tokens(extra)).eval()
    network, images = nets.network(module, size=(12, 16)), torch.rand(2, 3, 12, 16)
    layer = network.layer("block")
    assert layer.shape == (extra + 12, 8)
    assert layer.channels == 8
    heard = []
    module.block.register_forward_hook(lambda _, __, output: heard.append(output.detach()))
    module(nets.Normalise()(images))
    maps = network.look(images, ["block"])["block"]
    assert maps.shape == (2, 8, 3, 4)
    for row in range(3):
        for col in range(4):
            torch.testing.assert_close(maps[:, :, row, col], heard[0][:, extra + 4 * row + col], rtol=1e-4, atol=1e-5)
    found = ts.gradient(network, images, ts.Neuron("block", 5, 1, 2), at="block")
    wanted = torch.zeros(2, 8, 3, 4)
    wanted[:, 5, 1, 2] = 1
    assert torch.equal(found.values, wanted)
    assert ts.saliency(network, images, "block:5@2,3").values.any()
    grid = ts.activations(network, images[:1], "block")
    assert grid.values.shape == (8, 3, 4)


def test_stated_tokens():
    """Twelve tokens might be 2 x 6: the user says so."""
    module = nets.fill(nets.Tokens(1))
    network, images = nets.network(module, size=(12, 16), tokens=(2, 6)), torch.rand(1, 3, 12, 16)
    assert network.look(images, ["block"])["block"].shape == (1, 8, 2, 6)
    assert network.layer("block").layout.prefix == 1


class Sequence(nn.Module):
    """Something between, with 5 vectors of 8 channels, which are no grid as wide as the image."""

    def __init__(self, count=5):
        super().__init__()
        self.expand = nn.Linear(12, count)

    def forward(self, x):
        return self.expand(x[:, 1:].transpose(1, 2)).transpose(1, 2)


def test_what_is_no_grid_says_how_to_state_one():
    module = nets.fill(nets.Tokens(1)).eval()
    module.block = nets.fill(nn.Sequential(module.block, Sequence()))
    network, images = nets.network(module, size=(12, 16)), torch.rand(1, 3, 12, 16)
    assert network.layer("block").layout.kind == "other"
    with pytest.raises(NetworkError, match=r"block gives 5 x 8 for an image.*tokens=\(rows, columns\)"):
        ts.saliency(network, images, "block:3")
    assert ts.saliency(network, images, 2).values.any()


def test_tokens_at_another_size():
    """Tokens have the rows and columns of the maps that they were made of, in every pass: here 23 rows make 5."""

    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 5)

        def forward(self, x):
            return self.head(self.norm(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    network = nets.network(nets.fill(Patches()), size=(12, 16))
    assert network.look(torch.rand(1, 3, 20, 8), ["norm"])["norm"].shape == (1, 8, 5, 2)
    assert network.look(torch.rand(1, 3, 23, 11), ["norm"])["norm"].shape == (1, 8, 5, 2)


def test_vit_and_swin_layers_come_as_maps():
    vit = ts.load("vit_b_32", weights="random")
    images = torch.rand(1, 3, 224, 224)
    assert vit.layer("encoder.layers.encoder_layer_1").shape == (50, 768)
    assert vit.look(images, ["encoder.layers.encoder_layer_1"])["encoder.layers.encoder_layer_1"].shape == (
        1,
        768,
        7,
        7,
    )
    heat = ts.saliency(vit, images, "encoder.layers.encoder_layer_0.mlp:700@6,5")
    assert heat.values.shape == (1, 1, 224, 224)
    swin = ts.load("swin_t", weights="random")
    look = swin.look(images, ["features.1.0", "features.3.1", "features.0"])
    assert look["features.0"].shape == look["features.1.0"].shape == (1, 96, 56, 56)
    assert look["features.3.1"].shape == (1, 192, 28, 28)
    assert swin.layer("features.3.1").shape == (28, 28, 192)
    assert swin.layer("features.3.1").channels == 192


@pytest.mark.parametrize("size", [(5, 7), (33, 47), (64, 32), (24, 24)])
def test_maps_are_not_mistaken_for_channels_that_come_last(size):
    layers = nets.network(nets.fill(nets.cnn()), size=size).layers
    assert {layer.layout.kind for name, layer in layers.items() if name in "0123456"} == {"maps"}


class ChannelsLast(nn.Module):
    """As ConvNeXt and Swin keep them: (B, h, w, C)."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.mix, self.head = (
            nn.Conv2d(3, 9, 2, 2),
            nn.LayerNorm(9),
            nn.Linear(9, 9),
            nn.Linear(9, 5),
        )

    def forward(self, x):
        return self.head(self.mix(self.norm(self.conv(x).permute(0, 2, 3, 1))).mean((1, 2)))


def test_channels_that_come_last_come_first():
    module, images = nets.fill(ChannelsLast()), torch.rand(2, 3, 12, 20)
    network = nets.network(module, size=(12, 20))
    assert network.layer("norm").shape == (6, 10, 9)
    assert network.layer("norm").channels == 9
    look = network.look(images, ["mix"])
    wanted = module.mix(module.norm(module.conv(nets.Normalise()(images)).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    torch.testing.assert_close(look["mix"], wanted)
    assert network.layer("mix").receptive_field.rows.size == 2


class Recurrent(nn.Module):
    """Rows of the image, one after another, through an LSTM; then attention among them."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3 * 12, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        rows, _ = self.lstm(images.permute(0, 2, 1, 3).flatten(2))
        mixed, _ = self.attention(rows, rows, rows)
        return self.head(mixed.mean(1))


def test_of_a_module_that_returns_several_tensors_the_first_is_the_layer():
    network = nets.network(nets.fill(Recurrent().double()), size=(10, 12))
    assert {"lstm", "attention"} <= set(network.layers)
    assert network.layer("lstm").shape == (10, 8)
    images = torch.rand(2, 3, 10, 12, dtype=torch.float64)
    rows, _ = network.module.lstm(nets.Normalise()(images).permute(0, 2, 1, 3).flatten(2))
    torch.testing.assert_close(network.look(images, ["lstm"])["lstm"].reshape(rows.shape), rows)
    assert "first tensor" in (network.layer("lstm").note or "")
    assert "lstm" in repr(network.layers)


def test_what_a_leaf_passes_on_reaches_the_rest_of_the_network():
    """A gradient at the first tensor of several, against autograd."""
    network = nets.network(nets.fill(Recurrent().double()), size=(10, 12))
    images = torch.rand(1, 3, 10, 12, dtype=torch.float64)
    found = ts.gradient(network, images, 1, at="lstm")
    rows, _ = network.module.lstm(nets.Normalise()(images).permute(0, 2, 1, 3).flatten(2))
    rows = rows.detach().requires_grad_()
    mixed, _ = network.module.attention(rows, rows, rows)
    (wanted,) = torch.autograd.grad(network.module.head(mixed.mean(1))[0, 1], rows)
    torch.testing.assert_close(found.values.reshape(wanted.shape), wanted)
