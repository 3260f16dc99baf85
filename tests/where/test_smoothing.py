"""SmoothGrad, its square and VarGrad against Captum with the same noise, in float64; and around other methods."""

import copy
from dataclasses import replace
from unittest.mock import patch

import captum.attr
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.where.smoothing import noisy_copies

THEIRS = {"mean": "smoothgrad", "squared": "smoothgrad_sq", "variance": "vargrad"}


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1"])
@pytest.mark.parametrize("statistic", THEIRS)
@pytest.mark.filterwarnings("ignore:Input Tensor:UserWarning")
def test_equals_captum(name, statistic):
    module = nets.torchvision(name)
    image = torch.rand(1, 3, 64, 66, dtype=torch.float64)
    model = nn.Sequential(nets.Normalise(), copy.deepcopy(module)).eval()
    noise = torch.cat(list(noisy_copies(image, 5, 0.2, seed=4))) - image
    with patch("torch.normal", lambda mean, std: noise):  # the noise that theirs would draw
        theirs = captum.attr.NoiseTunnel(captum.attr.Saliency(model)).attribute(
            image.clone().requires_grad_(), nt_type=THEIRS[statistic], nt_samples=5, target=3, abs=False
        )
    network = nets.network(module, size=(64, 66))
    ours = ts.smooth_grad(
        network, image, 3, samples=5, noise=0.2, statistic=statistic, seed=4, channels="signed", batch_size=2
    )
    wanted = theirs.detach().sum(1, keepdim=True)
    assert (ours.values - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_noise_has_the_stated_spread_in_the_image_s_own_range():
    images = torch.rand(2, 3, 40, 50)
    images[1] *= 0.1
    noise = torch.stack(list(noisy_copies(images, 20, 0.3, seed=0))) - images
    spread = noise.std((0, 2, 3, 4)) / (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))
    torch.testing.assert_close(spread, torch.full((2,), 0.3), rtol=0.02, atol=0)


def test_no_noise_is_the_gradient_itself():
    network, images = nets.network(), torch.rand(2, 3, 5, 7)
    plain = ts.saliency(network, images, 1)
    torch.testing.assert_close(ts.smooth_grad(network, images, 1, noise=0.0, samples=3).values, plain.values)
    torch.testing.assert_close(
        ts.smooth_grad(network, images, 1, noise=0.0, samples=3, statistic="variance").values,
        torch.zeros_like(plain.values),
    )


def test_the_unit_is_settled_on_the_image_and_not_on_its_noisy_copies():
    network, images = nets.network(), torch.rand(4, 3, 5, 7)
    heat = ts.smooth_grad(network, images, noise=3.0, samples=20)
    assert heat.objective == ts.saliency(network, images).objective
    named = ts.smooth_grad(network, images, heat.objective, noise=3.0, samples=20)
    assert torch.equal(heat.values, named.values)


@pytest.mark.parametrize("statistic", THEIRS)
def test_around_another_method_it_is_the_same_average_of_its_maps(statistic):
    network, images = nets.network(), torch.rand(2, 3, 5, 7)
    heat = ts.smooth(ts.grad_cam, samples=6, noise=0.1, statistic=statistic)(
        network, images, 1, layer=["3"], relu=False
    )
    seen = network.prepare(images)
    maps = torch.stack(
        [
            ts.grad_cam(network, replace(seen, images=noisy), 1, layer=["3"], relu=False).values
            for noisy in noisy_copies(images, 6, 0.1, seed=0)
        ]
    )
    wanted = {
        "mean": maps.mean(0),
        "squared": maps.square().mean(0),
        "variance": maps.var(0, correction=0),
    }[statistic]
    torch.testing.assert_close(heat.values, wanted, rtol=1e-3, atol=1e-6)
    assert heat.notes[-1] == f"The {statistic} of grad_cam over 6 noisy copies."


def test_smoothed_gradients_of_any_method_equal_smooth_grad():
    network, images = nets.network(), torch.rand(2, 3, 5, 7)
    heat = ts.smooth(ts.saliency, samples=4, seed=2)(network, images, 1, channels="signed")
    grad = ts.smooth_grad(network, images, 1, samples=4, seed=2, channels="signed")
    torch.testing.assert_close(heat.values, grad.values)
