"""Views: filters, activation maps and predictions against the module's own values."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import LayerNotFound, NetworkError


@pytest.fixture
def network():
    return nets.network(nets.fill(nets.cnn()), classes=list("abcde"), name="tiny")


def test_first_layer_filters_are_pictures(network):
    grid = ts.filters(network)
    weights = network.module[0].weight.detach()
    assert torch.equal(grid.values, weights)
    assert grid.values.data_ptr() != weights.data_ptr(), "a result is no window into the network"
    assert len(grid.pictures) == len(grid.titles) == len(grid) == 8
    for picture, weight in zip(grid.pictures, weights, strict=True):
        assert picture.shape == (3, 39, 39)
        assert {float(picture.min()) == 0, float(picture.max()) == 1} >= {True}
        torch.testing.assert_close(picture[:, ::13, ::13], 0.5 + weight / (2 * weight.abs().max()))
    assert grid.note == "Each filter at its own contrast; grey is zero."
    assert grid.png().startswith(b"\x89PNG")


def test_filters_at_one_scale(network):
    grid = ts.filters(network, scale="layer")
    weights = network.module[0].weight.detach()
    for picture, weight in zip(grid.pictures, weights, strict=True):
        torch.testing.assert_close(picture[:, ::13, ::13], 0.5 + weight / (2 * weights.abs().max()))


def test_deeper_filters_are_a_row_for_each(network):
    grid = ts.filters(network, "3")
    assert grid.values.shape == (6, 8, 3, 3)
    assert len(grid.pictures) == len(grid.titles) == 6
    assert grid.pictures[0].shape == (3, 39, 8 * 39 + 7 * 2)
    assert grid.draw().shape == (3, 6 * 39 + 5 * 2, 8 * 39 + 7 * 2)
    assert grid[2].titles == ("2",)
    assert torch.equal(grid[2].pictures[0], grid.pictures[2])
    few = ts.filters(network, "3", most=4)
    assert few.values.shape == (4, 8, 3, 3)
    assert few.pictures[0].shape == (3, 39, 4 * 39 + 3 * 2)


def test_grey_filters_are_signed_maps():
    network = nets.network(nets.fill(nets.cnn(channels=1)), mean=(0.5,), std=(0.5,))
    grid = ts.filters(network)
    assert len(grid.pictures) == 8
    assert grid.pictures[0].shape == (3, 39, 39)
    assert grid.columns is None


def test_filters_of_several_networks_stand_side_by_side(network):
    other = nets.network(nets.fill(nets.cnn(), seed=1), name="other")
    grid = ts.filters([network, other])
    assert grid.titles == ("tiny", "other")
    assert len(grid.pictures) == 2
    assert grid.columns == 2
    assert torch.equal(grid.values[8:], other.module[0].weight)
    assert [note.name for note in grid.recipe.networks] == ["tiny", "other"]
    assert grid.draw().shape[2] > grid.pictures[0].shape[2] + grid.pictures[1].shape[2]


def test_filters_that_are_not_there(network):
    with pytest.raises(NetworkError, match="2 of tiny is not a convolution"):
        ts.filters(network, "2")
    with pytest.raises(LayerNotFound, match="no layer 'conv'"):
        ts.filters(network, "conv")
    with pytest.raises(NetworkError, match="has no 2-D convolution"):
        ts.filters(nets.network(nets.linear(torch.rand(2, 3, 5, 7))))


def test_activations_are_the_layers_maps(network):
    image = torch.rand(1, 3, 5, 7)
    grid = ts.activations(network, image, "3")
    maps = network.look(image, ["3"])["3"][0].detach()
    assert torch.equal(grid.values, maps)
    assert grid.titles == tuple(f"3:{index}" for index in range(6))
    assert len(grid.pictures) == 6
    assert grid.note.startswith("3: 6 x 5 x 7; the strongest colour stands for ")
    assert min(grid.pictures[0].shape[1:]) >= 30
    assert grid.recipe.options["layer"] == "3"
    assert not grid.values.requires_grad
    assert grid[4].titles == ("3:4",)
    assert torch.equal(grid[4].pictures[0], grid.pictures[4])


def test_the_layers_shape_is_that_of_this_image(network):
    assert ts.activations(network, torch.rand(1, 3, 12, 9), "0").note.startswith("0: 8 x 12 x 9;")
    assert ts.activations(network, torch.rand(1, 3, 12, 9), "input").note.startswith("input: 3 x 12 x 9;")


def test_activations_by_response(network):
    grid = ts.activations(network, torch.rand(1, 3, 5, 7), "3", order="response", most=4)
    means = grid.values.mean((1, 2))
    assert len(grid.values) == len(grid.titles) == len(grid.pictures) == 4
    assert torch.equal(means, means.sort(descending=True).values)
    every = ts.activations(network, torch.rand(1, 3, 5, 7), "3").values
    strongest = int(grid.titles[0].split(":")[1])
    assert every.shape[0] == 6
    assert 0 <= strongest < 6
    assert grid.note.startswith("3: 6 x 5 x 7;")


def test_one_scale_for_all_maps():
    layer = nn.Conv2d(3, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0, 0], [0.5, 0, 0]])[:, :, None, None]
    network = nets.network(nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()), mean=None, std=None)
    bright = torch.ones(1, 3, 5, 7)
    strong, weak = ts.activations(network, bright, "0").pictures
    assert strong.mean() > weak.mean() + 0.1


def test_a_layer_of_vectors_is_a_strip(network):
    grid = ts.activations(network, torch.rand(1, 3, 5, 7), "8")
    assert grid.values.shape == (5,)
    assert len(grid.pictures) == 1
    assert grid.pictures[0].shape == (3, 8, 40)
    wide = nets.network(nets.fill(nn.Sequential(nn.Conv2d(3, 150, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())))
    assert ts.activations(wide, torch.rand(1, 3, 5, 7), "2").pictures[0].shape == (3, 24, 512)


def test_activations_are_of_one_picture(network):
    with pytest.raises(NetworkError, match="maps of one image at a time; 2 were given"):
        ts.activations(network, torch.rand(2, 3, 5, 7), "3")
    with pytest.raises(LayerNotFound):
        ts.activations(network, torch.rand(1, 3, 5, 7), "33")


def test_predictions(network):
    images = torch.rand(2, 3, 5, 7)
    ranking = ts.predict(network, images, k=3)
    wanted = network.module.eval()(network.normalise(images)).softmax(1).detach()
    assert ranking.values.shape == (2, 3)
    for row, probabilities in enumerate(wanted):
        order = probabilities.argsort(descending=True)[:3]
        assert ranking.indices[row].tolist() == order.tolist()
        assert ranking.names[row] == tuple("abcde"[index] for index in order)
        torch.testing.assert_close(ranking.values[row], probabilities[order])
    assert ts.predict(network, images, k=50).values.shape == (2, 5)
    nameless = nets.network(nets.fill(nets.cnn()))
    assert all(name.startswith("class ") for name in ts.predict(nameless, images).names[0])
