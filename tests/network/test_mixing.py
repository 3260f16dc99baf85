"""Networks whose output for an image depends on the rest of the batch: results are those of the image alone."""

import warnings

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(4))
IMAGES[0] *= 0.2  # dark, beside bright ones


class OverTheBatch(nn.Module):
    """Tokens come first, and windows are folded into the batch, after a normalisation over all images."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.norm = nn.BatchNorm2d(8, track_running_stats=False)
        self.first, self.windows, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x):
        maps = self.norm(self.stem(x))
        tokens = self.first(maps.flatten(2).permute(2, 0, 1)).tanh()  # (T, B, C)
        grid = tokens.permute(1, 0, 2).reshape(-1, 2, 2, 2, 2, 8).transpose(2, 3)
        windows = self.windows(grid.reshape(-1, 4, 8)).tanh()  # (B * windows, 4, C)
        return self.head(windows.reshape(len(x), -1, 8).mean(1))


def quantised():
    module = nn.Sequential(nn.Conv2d(3, 8, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says where quantisation has moved
        return torch.ao.quantization.quantize_dynamic(nets.fill(module).eval(), {nn.Linear}, dtype=torch.qint8)


def over_the_batch():
    return nets.fill(OverTheBatch())


MIXING = {"int8": quantised, "norm": over_the_batch}


@pytest.fixture(params=MIXING)
def net(request):
    return ts.Network(MIXING[request.param](), size=32)


def test_the_modules_do_mix_their_pictures(net):
    with torch.no_grad():
        assert not torch.allclose(net.module.eval()(IMAGES)[:1], net.module(IMAGES[:1]), rtol=1e-3)


def test_predictions_and_heatmaps_without_gradients_are_those_of_each_picture_alone(net):
    together = ts.predict(net, IMAGES, k=5)
    heat = ts.occlusion(net, IMAGES, 1, window=16, stride=16)
    for place in range(len(IMAGES)):
        alone = ts.predict(net, IMAGES[place : place + 1], k=5)
        assert together[place].names == alone.names
        torch.testing.assert_close(together[place].values, alone.values, rtol=0, atol=0)
        one = ts.occlusion(net, IMAGES[place : place + 1], 1, window=16, stride=16)
        torch.testing.assert_close(heat[place].values, one.values, rtol=0, atol=0)


def test_gradients_are_those_of_each_picture_alone():
    module = over_the_batch()
    net = ts.Network(module, size=32)
    for unit in ("2", "first:3", "windows:1@2,1"):
        heat = ts.saliency(net, IMAGES, ts.unit(unit))
        for place in range(len(IMAGES)):
            alone = ts.saliency(net, IMAGES[place : place + 1], ts.unit(unit))
            torch.testing.assert_close(heat[place].values, alone.values, rtol=0, atol=0)
    leaf = IMAGES[:1].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(module.eval()(leaf)[0, 2], leaf)
    torch.testing.assert_close(ts.saliency(net, IMAGES, 2)[0].values, wanted.abs().amax(1, keepdim=True))


def test_every_layer_is_arranged_as_for_one_picture():
    net = ts.Network(over_the_batch(), size=32)
    assert {name: layer.layout.kind for name, layer in net.layers.items()} == {
        "stem": "maps", "norm": "maps", "first": "windows", "windows": "windows", "head": "vector", "output": "vector"
    }  # fmt: skip
    together = net.look(IMAGES, list(net.layers))
    for place in range(len(IMAGES)):
        alone = net.look(IMAGES[place : place + 1], list(net.layers))
        for name in net.layers:
            torch.testing.assert_close(together[name][place : place + 1], alone[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda net, images: ts.guided_backprop(net, images, 1),
        lambda net, images: ts.grad_cam(net, images, 1, layer="norm"),
    ],
    ids=["a rule", "a gradient at an inner layer"],
)
def test_what_is_asked_of_one_pass_over_several_pictures_is_refused(ask):
    class WithRelu(OverTheBatch):
        def forward(self, x):
            return super().forward(x).relu()

    net = ts.Network(nets.fill(WithRelu()), size=32)
    with pytest.raises(NetworkError, match="activations of WithRelu in norm depend on the other images of the batch"):
        ask(net, IMAGES)
    assert ask(net, IMAGES[:1]).values.isfinite().all()


def test_a_network_that_does_not_mix_is_shown_several_pictures_at_once():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.seen = nn.Conv2d(3, 4, 3), []

        def forward(self, x):
            self.seen.append(len(x))
            return self.conv(x).mean((2, 3))

        def __deepcopy__(self, _):
            return self

    module = Counting().requires_grad_(False).eval()
    net = ts.Network(module, size=32)
    net.look(IMAGES, ["output"])
    before = len(module.seen)
    for _ in range(3):
        net.look(IMAGES, ["output"])
    assert module.seen[before:] == [3, 3, 3]
    assert before == 4  # two images find the layers, twice two tell that none depends on another
