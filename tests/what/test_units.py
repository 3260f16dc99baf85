"""Every channel of a layer in one batch: each image is what `ascend` makes, independent of the batch."""

import math

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import LayerNotFound, ObjectiveError, OptionError
from triscope.objectives.base import Need
from triscope.objectives.units import Channel
from triscope.what.optimisation.many import _Place
from triscope.what.optimisation.spec import cosine
from triscope.what.units import EachChannel

KNOWN = {"size": 16, "seed": 3, "precision": "float32"}


def network(seed=0, *, dead=()):
    module = nets.cnn(norm=False)
    nets.fill(module, seed)
    for channel in dead:
        module[3].weight.data[channel] = 0
        module[3].bias.data[channel] = -1
    return nets.network(module, size=16)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("regulariser", ["natural", "jitter", "l2", "blur", "none"])
def test_a_channel_is_what_ascend_makes_of_it(regulariser):
    net = network()
    wall = ts.units(net, "3", steps=12, tolerance=0, batch=4, regulariser=regulariser, **KNOWN)
    assert wall.asked == tuple(f"3:{channel}" for channel in range(6))
    for channel in range(6):
        alone = ts.ascend(net, Channel("3", channel), size=16, seed=3, steps=12, octaves=1, regulariser=regulariser)
        close(wall[channel].values, alone.values)
        close(wall[channel].scores, alone.scores)


def test_a_class_is_what_ascend_makes_of_it():
    net = network()
    wall = ts.units(net, "output", steps=8, tolerance=0, batch=2, **KNOWN)
    assert wall.asked == ("0", "1", "2", "3", "4")
    for index in range(5):
        close(wall[index].values, ts.ascend(net, index, size=16, seed=3, steps=8, octaves=1).values)


@pytest.mark.parametrize("batch", [1, 2, 5, 64])
@pytest.mark.parametrize("steps", [40, 50])
def test_a_picture_does_not_depend_on_what_is_beside_it(batch, steps):
    """50 steps are no multiple of a window: places wait for the next one."""
    net = network()
    alone = [ts.units(net, "3", channels=str(channel), steps=steps, tolerance=0.05, **KNOWN) for channel in range(6)]
    wall = ts.units(net, "3", steps=steps, tolerance=0.05, batch=batch, **KNOWN)
    for channel, one in enumerate(alone):
        close(wall[channel].values, one.values)
        assert wall[channel].steps == one.steps


def test_scores_are_of_the_network_as_it_is():
    net = network()
    wall = ts.units(net, ["0", "3"], steps=4, size=16, precision="bfloat16")
    for index, asked in enumerate(wall.asked):
        unit = ts.unit(asked)
        close(unit(net.look(wall.values[index : index + 1], unit.needs)), wall.scores[index : index + 1])


def test_a_picture_that_has_converged_makes_room():
    net = network()
    whole = ts.units(net, "3", steps=400, tolerance=0, **KNOWN)
    early = ts.units(net, "3", steps=400, tolerance=0.02, **KNOWN)
    assert (whole.steps == 400).all()
    assert (early.steps < 400).all()
    assert (early.steps % 16 == 0).all()
    assert (early.scores > 0.85 * whole.scores).all()


def test_converged_is_what_adds_less_than_its_part_of_the_rise():
    one = _Place(0, ends=100)
    for mean in (0.0, 5.0, 9.0, 9.5):
        one.sum, one.step = 10 * mean, one.step + 10
        one.close_window(10, 0.1)
    assert (one.cooled, one.ends) == (40, 50)  # 0.5 is less than a tenth of 9.5
    assert one.pace(100) == pytest.approx(cosine(0.4))
    one.step = 50
    assert one.pace(100) == pytest.approx(cosine(0.4) * 0.05)


def test_silent_units_are_named_and_the_others_are_as_they_would_be_without_them():
    net = network(dead=(1, 4))
    wall = ts.units(net, "4", steps=20, **KNOWN)
    assert [channel for channel in range(6) if math.isnan(wall.scores[channel])] == [1, 4]
    assert torch.equal(wall.values[1], torch.full((3, 16, 16), 0.5))
    (note,) = wall.notes
    assert note.startswith("Images 1, 4: There is no image of it")
    close(wall[0].values, ts.units(net, "4", channels="0", steps=20, **KNOWN).values)
    assert wall.summary()["scores"][1] is None


def test_progress_ends_at_all_steps():
    steps = list(ts.units.steps(network(dead=(1,)), ["4", "3"], steps=40, tolerance=0.05, batch=4, **KNOWN))
    indices = [step.index for step in steps]
    assert indices == sorted(indices)
    assert steps[-1].index == steps[-1].total == 12 * 40
    assert (steps[0].result.steps == 0).all()


def test_channels_are_numbers_and_ranges():
    net = network()
    assert ts.units(net, "3", channels="4,0-1,1", steps=1, **KNOWN).asked == ("3:4", "3:0", "3:1")
    for wrong in ("x", "3-1", "-1", "1-", ""):
        with pytest.raises(OptionError, match="channels"):
            ts.units(net, "3", channels=wrong, steps=1, **KNOWN)
    with pytest.raises(ObjectiveError, match="there is no channel 6"):
        ts.units(net, "3", channels="0-6", steps=1, **KNOWN)
    with pytest.raises(LayerNotFound):
        ts.units(net, "nowhere", steps=1, **KNOWN)


def test_each_picture_carries_the_recipe_of_its_own(tmp_path):
    net = ts.load("pocket")
    wall = ts.units(net, ["features.1", "features.4"], channels="3,7", steps=3, size=32, precision="float32")
    place = wall[3].save(tmp_path / "unit.png")
    recipe = ts.Recipe.of_file(place)
    assert (recipe.options["layers"], recipe.options["channels"]) == (["features.4"], ["7"])
    again = ts.redo(place, network=net)
    assert again.asked == ("features.4:7",)
    close(again.values, wall[3].values)


def test_each_picture_is_asked_its_own_channel():
    net, pictures = network(), torch.rand(3, 3, 16, 16)
    asked = EachChannel("3", (4, 0, 4)).bind(net)
    answers = net.look(pictures, [Need("3")])[Need("3")].mean((2, 3))
    close(asked(net.look(pictures, asked.needs)), torch.stack([answers[0, 4], answers[1, 0], answers[2, 4]]))
    assert asked.of(1) == Channel("3", 0)
    with pytest.raises(ObjectiveError):
        EachChannel("3", (0, 9)).bind(net)


def test_units_that_are_woken_alone_are_as_those_that_are_woken_together():
    """Of six channels behind a ReLU three are silent at the start: those are optimised again alone."""
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
    nets.fill(module)
    module[0].bias.data[:3] = -3.0
    net = nets.network(module, size=16)
    wall = ts.units(net, "1", steps=16, tolerance=0, regulariser="l2", **KNOWN)
    for channel in range(6):
        alone = ts.ascend(net, Channel("1", channel), size=16, seed=3, steps=16, octaves=1, regulariser="l2")
        close(wall[channel].values, alone.values)
