"""Maps side by side, differences of networks, and what is cut out."""

import sys
from pathlib import Path

import pytest
import torch

import triscope as ts
from tests import nets
from triscope import render
from triscope.errors import NetworkError, ObjectiveError, OptionError


def test_a_table_holds_the_maps_as_the_methods_give_them():
    network, images = nets.network(), torch.rand(2, 3, 6, 9)
    table = ts.compare(network, images, 1, methods=["saliency", "grad-cam", "guided_backprop"], units=["3", "3:2"])
    assert table.methods == ("saliency", "grad_cam", "guided_backprop")
    assert table.asked == (("class 1", "class 3", "3:2"),) * 2
    for row, unit in enumerate([1, 3, "3:2"]):
        torch.testing.assert_close(table.values[:, row, 0], ts.saliency(network, images, unit).values[:, 0])
        torch.testing.assert_close(table.values[:, row, 1], ts.grad_cam(network, images, unit).values[:, 0])
        colour = ts.guided_backprop(network, images, unit).values
        torch.testing.assert_close(table.values[:, row, 2], colour.abs().amax(1))
        torch.testing.assert_close(table.answers[:, row], ts.saliency(network, images, unit).scores)


def test_all_units_of_a_method_share_its_scale():
    """A unit whose scores are a tenth has maps a tenth as strong, and is drawn so."""
    module = nets.fill(nets.cnn())
    module[8].weight.data[2] = 0.1 * module[8].weight.data[1]
    network, image = nets.network(module, size=(20, 30)), torch.rand(1, 3, 20, 30)
    table = ts.compare(network, image, 1, methods=["saliency"], units=["2"])
    torch.testing.assert_close(table.values[:, 1], 0.1 * table.values[:, 0])
    (scales,) = table.summary()["scales"]
    assert scales["saliency"] == render.scale_of(table.values[table.values != 0], 99.5)
    strong, weak = (ts.compare(network, image, unit, methods=["saliency"]).draw() for unit in (1, 2))
    assert strong.shape == weak.shape
    drawn = table.draw()
    rows = drawn[:, : drawn.shape[1] // 2], drawn[:, -(drawn.shape[1] // 2) :]
    inside = [row[:, :20, -30:] for row in rows]
    assert inside[0].std(0).mean() > 1.5 * inside[1].std(0).mean(), "the weak one is paler than the strong one"


def test_a_method_that_the_network_does_not_allow_is_left_out():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.GELU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    network, image = nets.network(nets.fill(module)), torch.rand(1, 3, 5, 7)
    table = ts.compare(network, image, 1, methods=["saliency", "deconvnet"])
    assert table.methods == ("saliency",)
    assert table.values.shape == (1, 1, 1, 5, 7)
    assert table.notes[0].startswith("deconvnet was left out. deconvnet changes the gradients of ReLUs")
    with pytest.raises(NetworkError, match="deconvnet changes the gradients of ReLUs"):
        ts.compare(network, image, 1, methods=["deconvnet"])
    with pytest.raises(OptionError, match=r"methods names 'grad_can'.* Nearest: grad_cam"):
        ts.compare(network, image, 1, methods=["grad-can"])
    assert set(ts.compare(nets.network(), image, 1).methods) > {"saliency", "guided_backprop"}


def test_a_stopped_comparison_has_the_methods_so_far():
    steps = list(ts.compare.steps(nets.network(), torch.rand(1, 3, 5, 7), 1, methods=["saliency", "grad_cam"]))
    assert [(step.index, step.total, step.result.methods) for step in steps] == [
        (1, 2, ("saliency",)),
        (2, 2, ("saliency", "grad_cam")),
    ]


def pair():
    first, second = nets.fill(nets.cnn()), nets.fill(nets.cnn(), seed=1)
    return nets.network(first), nets.network(second)


def test_a_difference_is_one_map_minus_the_other():
    first, second = pair()
    images = torch.rand(2, 3, 5, 7)
    heat = ts.difference([first, second], images, 1, method="input-x-gradient")
    maps = [ts.input_x_gradient(network, images, 1) for network in (first, second)]
    torch.testing.assert_close(heat.values, maps[0].values - maps[1].values)
    torch.testing.assert_close(heat.scores, maps[0].scores)
    said = f"input x gradient of Sequential minus that of Sequential, which scores {maps[1].scores[0]:.4g}."
    assert heat[0].notes == (said,)
    assert len(heat.recipe.networks) == 2
    assert not ts.difference([first, first], images, 1).values.any()


def test_a_relative_difference_does_not_depend_on_how_large_the_scores_are():
    first, second = pair()
    image = torch.rand(1, 3, 5, 7)
    before = ts.difference([first, second], image, 1, relative=True)
    second.module[8].weight.data *= 7
    after = ts.difference([first, second], image, 1, relative=True)
    torch.testing.assert_close(after.values, before.values)


def test_the_top_class_is_that_of_the_first_network():
    first, second = pair()
    images = torch.rand(4, 3, 5, 7)
    heat = ts.difference([first, second], images)
    assert heat.objective == ts.saliency(first, images).objective
    assert heat.objective != ts.saliency(second, images).objective, "or else this shows nothing"


def test_what_cannot_be_subtracted_is_refused():
    first, _ = pair()
    image = torch.rand(1, 3, 5, 7)
    with pytest.raises(OptionError, match="compares two networks, not 1"):
        ts.difference(first, image, 1)
    named = [nets.network(nets.fill(nets.cnn()), classes=list(names)) for names in ("abcde", "edcba")]
    with pytest.raises(ObjectiveError, match="have different classes"):
        ts.difference(named, image, 1)
    assert ts.difference(named, image, "3:2").values.shape == (1, 1, 5, 7)
    with pytest.raises(OptionError, match="method names 'compare', which makes no heatmap"):
        ts.difference(pair(), image, 1, method="compare")


def disc(size=64):
    """A red disc on green, and where it is."""
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = (rows - 28) ** 2 + (cols - 36) ** 2 < 15**2
    image = torch.tensor([0.1, 0.6, 0.1]).view(3, 1, 1).repeat(1, size, size)
    image[:, inside] = torch.tensor([0.9, 0.1, 0.1])[:, None]
    return (image + 0.03 * torch.randn(3, size, size)).clamp(0, 1), inside


def test_an_object_is_cut_out_by_a_network_that_knows_its_colour():
    pytest.importorskip("cv2")
    image, inside = disc()
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    module[0].weight.data[:] = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1) / 25  # red, and not green
    module[0].bias.data.zero_()
    network = ts.Network(module, size=64)
    cut = ts.segment(network, image, 0)
    mask = cut.values[0, 0] > 0
    overlap = (mask & inside).sum() / (mask | inside).sum()
    assert overlap > 0.95
    torch.testing.assert_close(cut.share, mask.float().mean()[None])
    again = ts.segment(network, image, 0)
    assert torch.equal(again.values, cut.values), "OpenCV draws, from a generator that is always the same"


def test_the_largest_part_alone_is_kept():
    pytest.importorskip("cv2")
    image, inside = disc()
    image[:, 56:60, 4:8] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)  # of the same colour, apart
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 1, 5), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    module[0].weight.data[:] = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1) / 25
    module[0].bias.data.zero_()
    mask = ts.segment(ts.Network(module, size=64), image, 0).values[0, 0]
    assert not mask[54:, :12].any()
    assert mask[inside].mean() > 0.9


def test_a_map_that_is_the_same_everywhere_cuts_out_nothing_and_says_so():
    pytest.importorskip("cv2")
    network = ts.Network(nets.linear(torch.ones(1, 3, 8, 8)), size=8)
    cut = ts.segment(network, torch.rand(1, 3, 8, 8), 0)
    assert not cut.values.any()
    assert cut.notes == ("The map is the same everywhere, so that nothing could be cut out.",)


def test_cutting_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(OptionError, match=r"pip install 'triscope\[segments\]'"):
        ts.segment(nets.network(), torch.rand(1, 3, 8, 8), 1)


def test_the_figures_can_be_saved_and_made_again(tmp_path, shared):
    pytest.importorskip("cv2")
    photo = Path(shared) / "images/objects/chelsea_cat.png"
    network = ts.load("pocket")
    for name, result in {
        "compare": ts.compare(network, photo, methods=["saliency", "grad_cam"], units=["goldfish"]),
        "segment": ts.segment(network, photo),
    }.items():
        path = result.save(tmp_path / f"{name}.png")
        again = ts.redo(path, images=[photo])
        assert torch.equal(again.values, result.values)
        assert again.png() == path.read_bytes()
