"""Integrated and expected gradients: Captum, the definition written slowly, and completeness, in float64."""

import copy
from unittest.mock import patch

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import OptionError

CLASSES = [3, 17]


@pytest.fixture(scope="module", params=["alexnet", "resnet18", "squeezenet1_1"])
def published(request):
    module = nets.torchvision(request.param)
    images = torch.rand(2, 3, 64, 66, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return module, nets.network(module, size=(64, 66)), images


def wrapped(module):
    return nn.Sequential(nets.Normalise(), copy.deepcopy(module)).eval()


def close(found, wanted, tolerance=1e-5):
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_equals_captum(published):
    module, network, images = published
    ours = ts.integrated_gradients(network, images, ts.Logit(CLASSES), channels="keep", steps=6, batch_size=5)
    theirs = captum.attr.IntegratedGradients(wrapped(module)).attribute(
        images, baselines=torch.zeros_like(images), target=CLASSES, n_steps=6, method="gausslegendre"
    )
    close(ours.values, theirs)
    summed = ts.integrated_gradients(network, images, ts.Logit(CLASSES), steps=6)
    close(summed.values, theirs.sum(1, keepdim=True))


def gradient(module, image, index):
    image = image.clone().requires_grad_()
    return torch.autograd.grad(module(image[None])[0, index], image)[0]


def test_the_trapezoid_written_slowly():
    """Captum's weights its points by 1/n instead of 1/(n - 1), and so falls short by that."""
    module = nets.fill(nets.cnn()).double().eval()
    image, start = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    places = [k / 6 for k in range(7)]
    met = [gradient(wrapped(module), start + a * (image - start), 2) for a in places]
    mean = sum((b - a) * (one + other) / 2 for a, b, one, other in zip(places, places[1:], met, met[1:], strict=False))
    ours = ts.integrated_gradients(
        nets.network(module), image, 2, baseline=start, steps=7, rule="trapezoid", channels="keep"
    )
    close(ours.values[0], (image - start) * mean, 1e-9)


@pytest.mark.parametrize(
    "baseline", ["black", "grey", "mean", "blur", "random", torch.arange(105.0).view(1, 3, 5, 7).sin() / 2 + 0.5]
)
@pytest.mark.parametrize("unit", [ts.Logit(1), ts.Channel("3", 2), ts.Neuron("3", 2, 1, 4), ts.Logit(1, "probability")])
def test_values_sum_to_the_difference_in_score(baseline, unit):
    network, image = nets.network(nets.fill(nets.cnn()).double()), torch.rand(1, 3, 5, 7, dtype=torch.float64)
    heat = ts.integrated_gradients(network, image, unit, baseline=baseline, baselines=3, steps=512)
    torch.testing.assert_close(heat.values.sum((1, 2, 3)), heat.differences, rtol=2e-2, atol=1e-4)
    gap = (heat.values.sum((1, 2, 3)) - heat.differences).abs() / heat.differences.abs()
    torch.testing.assert_close(gap, heat.errors)
    if isinstance(baseline, torch.Tensor):
        asked = unit.bind(network)
        there = asked(network.look(baseline.double(), asked.needs))
        torch.testing.assert_close(heat.differences, heat.scores - there)


def test_a_linear_network_is_complete_with_any_number_of_steps():
    weight = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    network, images = nets.network(nets.linear(weight), mean=None, std=None), torch.rand(2, 3, 5, 7).double()
    heat = ts.integrated_gradients(network, images, 1, baseline="grey", steps=2, channels="keep")
    torch.testing.assert_close(heat.values, weight[1] * (images - 0.5))
    assert heat.errors.max() < 1e-9
    assert heat.notes == ("The values sum to the difference in score to within 0.00% of it, with 2 steps.",)


def test_steps_are_raised_until_the_tolerance_is_met():
    network = nets.network(nets.fill(nets.cnn()).double())
    images = torch.rand(3, 3, 5, 7, dtype=torch.float64)
    heat = ts.integrated_gradients(network, images, 2, steps="auto", tolerance=0.002)
    assert (heat.errors <= 0.002).all()
    coarse = ts.integrated_gradients(network, images, 2, steps=16)
    assert (coarse.errors > 0.002).any(), "or else there was nothing to raise"
    alone = ts.integrated_gradients(network, images[1], 2, steps="auto", tolerance=0.002)
    torch.testing.assert_close(heat[1].values, alone.values)
    with pytest.raises(OptionError, match="steps must be of type int or auto, not 'many'"):
        ts.integrated_gradients(network, images, 2, steps="many")
    with pytest.raises(OptionError, match="steps must be in the range 2 to 4096"):
        ts.integrated_gradients(network, images, 2, steps=1)


def test_a_stopped_job_has_met_the_whole_way():
    """Half of the points are spread over all of it, so that their mean is near the whole."""
    network = nets.network(nets.fill(nets.cnn()).double())
    image = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    steps = list(ts.integrated_gradients.steps(network, image, 2, steps=32, batch_size=8))
    assert [(step.index, step.total) for step in steps] == [(8, 32), (16, 32), (24, 32), (32, 32)]
    assert steps[1].result.errors.item() < 0.1
    assert "32 steps" in steps[-1].result.notes[0]


def test_expected_gradients_written_slowly():
    module = nets.fill(nets.cnn()).double().eval()
    references, images = torch.rand(3, 3, 5, 7).double(), torch.rand(2, 3, 5, 7).double()
    draws = [0, 2, 1, 1, 0], [0.3, 0.9, 0.1, 0.5, 0.7]
    with patch("triscope.where.path_averages._draws", lambda *_: draws):
        ours = ts.expected_gradients(nets.network(module), images, 2, references=references, samples=5, channels="keep")
    for index, image in enumerate(images):
        wanted = sum(
            (image - references[r]) * gradient(wrapped(module), references[r] + a * (image - references[r]), 2)
            for r, a in zip(*draws, strict=True)
        )
        close(ours.values[index], wanted / 5, 1e-9)


def test_expected_gradients_sum_to_the_difference_from_the_mean_reference():
    network = nets.network(nets.fill(nets.cnn()).double())
    references, image = torch.rand(4, 3, 5, 7).double(), torch.rand(1, 3, 5, 7).double()
    heat = ts.expected_gradients(network, image, 2, references=references, samples=400)
    scores = network.look(references, ["output"])[ts.Need("output")][:, 2]
    torch.testing.assert_close(heat.differences, heat.scores - scores.mean())
    assert heat.errors.item() < 0.15
    with pytest.raises(OptionError, match="need references, the baseline images"):
        ts.expected_gradients(network, image, 2)


def test_the_draws_meet_every_reference_and_every_part_of_the_way_equally_often():
    from triscope.where.path_averages import _draws

    order, places = _draws(3, 30, 0)
    assert np.bincount(order).tolist() == [10, 10, 10]
    assert np.floor(np.sort(places) * 30).tolist() == list(range(30))
    assert places != sorted(places)


def test_references_of_another_size_are_resized():
    network, image = nets.network(), torch.rand(1, 3, 5, 7)
    large = torch.rand(2, 3, 10, 14)
    options = {"samples": 2, "seed": 3}
    heat = ts.expected_gradients(network, image, 2, references=large, **options)
    small = F.interpolate(large, (5, 7), mode="bilinear", antialias=True)
    close(heat.values, ts.expected_gradients(network, image, 2, references=small, **options).values, 1e-4)
