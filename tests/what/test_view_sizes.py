"""Views are fitted to the sizes that a network takes."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.network.loading._torchvision import import_torchvision
from triscope.objectives.units import Channel, Logit, Neuron
from triscope.what.optimisation.transforms import Fit, FitMultiple
from triscope.what.optimisation.view_sizes import fitted


class Multiples(nn.Module):
    """Refuses images whose sides are no multiples of `step`, as a U-Net does; and smaller ones than `least`."""

    def __init__(self, step, least=0):
        super().__init__()
        self.body, self.step, self.least, self.seen = nets.fill(nets.cnn()), step, least, []

    def __deepcopy__(self, memo):
        made = Multiples.__new__(Multiples)
        nn.Module.__init__(made)
        made.body = __import__("copy").deepcopy(self.body, memo)
        made.step, made.least, made.seen = self.step, self.least, self.seen
        return made

    def forward(self, x):
        self.seen.append(tuple(x.shape[-2:]))
        if x.shape[-2] % self.step or x.shape[-1] % self.step or min(x.shape[-2:]) < self.least:
            raise RuntimeError(f"{tuple(x.shape[-2:])} are no multiples of {self.step}")
        return self.body(x)


class SkipNet(nn.Module):
    """A U-Net of three levels, whose answer is a map."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(3 if level == 0 else 4, 4, 3, padding=1) for level in range(4))
        self.up = nn.ModuleList(nn.Conv2d(8, 4, 3, padding=1) for _ in range(3))

    def forward(self, x):
        kept = []
        for level, layer in enumerate(self.down):
            x = torch.relu(layer(nn.functional.max_pool2d(x, 2) if level else x))
            kept.append(x)
        for layer, skipped in zip(self.up, kept[-2::-1], strict=True):
            x = torch.relu(layer(torch.cat([nn.functional.interpolate(x, scale_factor=2), skipped], 1)))
        return x


@pytest.mark.parametrize(
    ("module", "size", "wanted"),
    [
        (nets.fill(nets.cnn()), (48, 64), ()),
        (Multiples(8), (48, 64), (FitMultiple(8),)),
        (Multiples(14), (56, 84), (FitMultiple(14),)),
        (Multiples(32), (64, 96), (FitMultiple(32),)),
        (Multiples(8, least=48), (48, 64), (Fit(48, 64),)),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 48 * 64, 5)), (48, 64), (Fit(48, 64),)),
        (nets.fill(SkipNet()), (48, 64), (FitMultiple(8),)),
    ],
)
def test_the_sizes_that_a_network_takes(module, size, wanted):
    network = nets.network(module, size=size)
    asked = Channel("output", 1) if isinstance(module, SkipNet) else Logit(1)
    assert fitted(network, asked, size, 0.3) == wanted


def test_a_position_keeps_the_size():
    assert fitted(nets.network(), Neuron("3", 1, 2, 3), (48, 64), 0.3) == (Fit(48, 64),)


@pytest.mark.parametrize("unit", ["1", "body.3:2"])
@pytest.mark.parametrize("step", [8, 14])
def test_ascent_just_works_where_sizes_are_multiples(step, unit):
    module = Multiples(step)
    network = ts.Network(module, size=4 * step)
    picture = ts.ascend(network, unit, steps=12)
    assert picture.values.shape[-2:] == (4 * step, 4 * step)
    views = module.seen[-12:]
    assert all(side % step == 0 for view in views for side in view)
    assert len(set(views)) > 1  # the views are still of several sizes


def test_ascent_of_a_u_net():
    network = ts.Network(nets.fill(SkipNet()), size=48)
    for unit in ("output:1", "down.2:1"):
        few, more = (ts.ascend(network, unit, steps=steps).scores for steps in (1, 12))
        assert (more > few).all()


@pytest.mark.parametrize("name", ["xcit_nano_12_p16_224", "efficientformer_l1"])
def test_ascent_of_networks_of_timm(name):
    import_torchvision()
    timm = pytest.importorskip("timm")
    module = timm.create_model(name, pretrained=False, num_classes=5)
    network = ts.Network(module, size=224)
    layer = ts.Network(module, size=224).layers
    inner = next(one.name for one in layer.values() if one.grid and min(one.grid) > 1 and one.name.count(".") >= 1)
    for unit in ("1", f"{inner}:3"):
        few, more = (ts.ascend(network, unit, steps=steps).scores for steps in (1, 4))
        assert (more > few).all()


@pytest.mark.parametrize(
    ("module", "size", "unit", "regulariser", "octaves"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 24, "0:1", "natural", 3),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), 24, "0:1@3,3", "natural", 1),  # a position of one size
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 4)), 24, "1", "l2", 1),  # takes one size
        (nn.Sequential(nn.Conv2d(3, 4, 14), nn.ReLU()), 24, "0:1", "l2", 2),  # 17 pixels, and not 12
        (nn.Sequential(nn.Conv2d(3, 4, 14), nn.ReLU()), 24, "0:1", "natural", 1),  # their views are of 12 pixels
    ],
)
def test_an_image_is_optimised_at_as_many_sizes_as_the_network_takes(module, size, unit, regulariser, octaves):
    network = ts.Network(nets.fill(module), size=size)
    asked = {"steps": 6, "regulariser": regulariser}
    made, same, other = (
        ts.ascend(network, unit, octaves=count, **asked).values for count in (3, octaves, 1 if octaves > 1 else 2)
    )
    assert made.equal(same)
    assert made.equal(other) == (octaves == 1)
