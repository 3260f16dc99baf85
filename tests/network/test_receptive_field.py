"""Receptive fields against brute force: which pixels a position's gradient reaches."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.network.receptive_field import Span

SIZE = (29, 35)


def positive(module):
    """All weights positive, so that no two paths cancel and the gradient reaches all that is seen."""
    with torch.no_grad():
        for value in module.parameters():
            value.uniform_(0.1, 1)
    return module


class Tap(nn.Identity):
    """The last layer of a test network, whose receptive fields are tested."""


def conv(*arguments, **options):
    return nn.Conv2d(3, 3, *arguments, **options)


class Function(nn.Module):
    """A function of tensors, with parts of its own."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleDict(parts)

    def forward(self, x):
        return self.function(x, **self.parts)


def joined(x, **parts):
    return torch.cat([part(x) for part in parts.values()], 1)


def added(x, a, b):
    return a(x) + b(x)


def mixed_last(x, mix):
    return mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def shuffled(x):
    return x.view(1, 2, 2, *x.shape[2:]).transpose(1, 2).reshape(1, 4, *x.shape[2:])


NETWORKS = {
    "convolution": [conv(3)],
    "stride": [conv(3, stride=2), conv(3, stride=3)],
    "padding": [conv(5, padding=2), conv(3, stride=2, padding=1)],
    "dilation": [conv(3, dilation=3), conv(2, dilation=2)],
    "one axis": [conv((1, 5), stride=(1, 2), padding=(0, 2)), conv((3, 1), dilation=(2, 1))],
    "same": [conv(5, padding="same"), conv(3, padding="same")],
    "pools": [conv(3), nn.AvgPool2d(3, 2), conv(3), nn.AvgPool2d(2)],
    "padded pool": [nn.AvgPool2d(3, 2, 1), conv(3), nn.AvgPool2d((2, 3), (1, 2), (1, 1), ceil_mode=True)],
    "normalised": [conv(3), nn.BatchNorm2d(3), nn.Softplus(), nn.Dropout(), nn.LocalResponseNorm(2), conv(3)],
    "grouped": [conv(3, groups=3), nn.ChannelShuffle(3), conv(3)],
    "zero padding": [nn.ZeroPad2d((1, 2, 2, 1)), conv(3, stride=2)],
    "edge padding": [nn.ReplicationPad2d((2, 0, 1, 0)), conv(3)],
    "cropped": [nn.ZeroPad2d((-2, -1, -3, 0)), conv(3, stride=2)],
    "residual": [conv(3), Function(lambda x, inside: x + inside(x), inside=conv(5, padding=2)), conv(3, stride=2)],
    "in place": [conv(3), Function(lambda x, inside: inside(x).add_(x).mul_(2), inside=conv(3, padding=1)), conv(3)],
    "branches": [Function(joined, a=conv(1, stride=2), b=conv(7, stride=2, padding=3)), nn.Conv2d(6, 3, 3)],
    "uneven branches": [Function(added, a=conv((3, 1)), b=conv((5, 3), padding=1)), conv(2)],
    "thinned out": [conv(3), Function(lambda x: x[:, :, ::2, 1::3]), conv(3)],
    "cut off": [conv(3), Function(lambda x: x[..., 2:-1, 4:]), conv(3)],
    "single channels": [Function(lambda x: torch.cat([x[:, i].unsqueeze(1) for i in range(3)], 1)), conv(3)],
    "split": [conv(3), Function(lambda x, a: torch.cat([a(x[:, :1]), x[:, 1:]], 1), a=nn.Conv2d(1, 1, 3, padding=1))],
    "chunks": [nn.Conv2d(3, 4, 3), Function(lambda x: torch.maximum(*x.chunk(2, 1))), nn.Conv2d(2, 3, 3)],
    "channels last": [conv(3), Function(mixed_last, mix=nn.Linear(3, 3)), conv(3)],
    "transposed twice": [conv(3), Function(lambda x: x.transpose(1, 3).transpose(-1, 1)), conv(3)],
    "shuffled": [nn.Conv2d(3, 4, 3), Function(shuffled), nn.Conv2d(4, 3, 3)],
    "even bins": [conv(2, padding=(1, 0)), nn.AdaptiveAvgPool2d((10, 17)), conv(3)],
}


def network_of(parts):
    module = nn.Sequential(*parts, Tap(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nets.network(positive(module).double(), size=SIZE, mean=None, std=None), str(len(parts))


def reached(network, layer, row, col):
    """(top, left, height, width) of the pixels that the position depends on."""
    image = torch.rand(1, 3, *SIZE, dtype=torch.float64) * 0.5 + 0.25
    map_of = ts.gradient(network, image, ts.Neuron(layer, 0, row, col)).values[0].abs().sum(0)
    rows, cols = map_of.sum(1).nonzero().flatten().tolist(), map_of.sum(0).nonzero().flatten().tolist()
    return rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1


@pytest.mark.parametrize("name", NETWORKS)
def test_fields_are_what_gradients_reach(name):
    network, layer = network_of(NETWORKS[name])
    field = network.layer(layer).receptive_field
    assert field.rows is not None
    assert field.cols is not None
    _, rows, cols = network.layer(layer).shape
    for row in sorted({0, 1, rows // 2, rows - 1}):
        for col in sorted({0, 1, cols // 2, cols - 1}):
            assert field.box(row, col, *SIZE) == reached(network, layer, row, col), (row, col)


WHOLE = {
    "global pool": [conv(3), Function(lambda x: x + F.adaptive_avg_pool2d(x, 1))],
    "uneven bins": [nn.AdaptiveAvgPool2d((6, 8))],
    "squeeze and excite": [conv(3), Function(lambda x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)))],
    "wrapped around": [conv(3, padding=1, padding_mode="circular")],
    "rolled": [conv(3), Function(lambda x: x.roll(3, -1))],
    "flipped": [Function(lambda x: x + x.flip(2))],
    "instance norm": [conv(3), nn.InstanceNorm2d(3)],
    "group norm": [nn.GroupNorm(1, 3), conv(3)],
    "enlarged": [conv(3), nn.Upsample(scale_factor=2)],
    "softmax over places": [Function(lambda x: x.flatten(2).softmax(2).view_as(x)), conv(3)],
    "turned": [Function(lambda x: x.transpose(2, 3)), conv(3)],
    "written into": [conv(3), Function(lambda x: x + fill_with_mean(torch.zeros_like(x), x))],
}


def fill_with_mean(out, x):
    out[:, :] = x.mean()
    return out


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_not_followed_is_said_to_see_everything(name):
    """It may see less, but nothing outside of what is said."""
    network, layer = network_of(WHOLE[name])
    field = network.layer(layer).receptive_field
    if name == "uneven bins":  # 29 rows make no 6 even bins, 35 columns no 8
        assert str(field) == "all"
    rows, cols = network.layer(layer).grid
    for row, col in ((0, 0), (rows // 2, cols // 2), (rows - 1, cols - 1)):
        top, left, height, width = field.box(row, col, *SIZE)
        seen = reached(network, layer, row, col)
        assert top <= seen[0]
        assert left <= seen[1]
        assert top + height >= seen[0] + seen[2]
        assert left + width >= seen[1] + seen[3]


def test_alexnet_as_the_literature_has_it():
    network = nets.network(nets.torchvision("alexnet", dtype=torch.float32), size=(224, 224))
    sizes = {
        name: network.layer(name).receptive_field.rows.size for name in ("features.0", "features.3", "features.12")
    }
    deeper = [network.layer(name).receptive_field.rows.size for name in ("features.6", "features.8", "features.10")]
    assert (sizes["features.0"], sizes["features.3"], deeper, sizes["features.12"]) == (11, 51, [99, 131, 163], 195)
    assert network.layer("features.10").receptive_field.rows == Span(163, 16, -66)
    assert str(network.layer("classifier.1").receptive_field) == "all"


def test_a_span_at_the_border_is_cut_off():
    span = Span(5, 2, -2)
    assert [span.at(position, 10) for position in (0, 1, 3, 5)] == [(0, 3), (0, 5), (4, 9), (8, 10)]


def test_spans_of_different_strides_have_no_union():
    assert Span(3, 2, 0).union(Span(3, 1, 0)) is None
    assert Span(3, 2, -1).union(Span(5, 2, 1)) == Span(7, 2, -1)
