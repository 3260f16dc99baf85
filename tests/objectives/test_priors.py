import math

import pytest
import torch

from triscope.errors import ObjectiveError
from triscope.objectives.base import Need
from triscope.objectives.priors import PNorm, TotalVariation

INPUT = Need("input")


def roughness_written_slowly(image, beta):
    channels, rows, cols = image.shape
    total = 0.0
    for channel in range(channels):
        for row in range(rows):
            for col in range(cols):
                here = float(image[channel, row, col])
                down = float(image[channel, row + 1, col]) - here if row + 1 < rows else 0.0
                right = float(image[channel, row, col + 1]) - here if col + 1 < cols else 0.0
                total += (down**2 + right**2) ** (beta / 2)
    return total / image.numel()


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0, 3.0])
def test_total_variation_is_the_formula(beta):
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    expected = [roughness_written_slowly(image, beta) for image in images]
    assert TotalVariation(beta)({INPUT: images}).tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("p", [1.0, 2.0, 6.0])
def test_p_norm_is_the_formula(p):
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    expected = [sum(abs(2 * x - 1) ** p for x in image.flatten().tolist()) / image.numel() for image in images]
    assert PNorm(p)({INPUT: images}).tolist() == pytest.approx(expected)


def test_grey_is_no_distance_and_black_and_white_is_one():
    assert PNorm(6)({INPUT: torch.full((1, 3, 4, 4), 0.5)}).item() == 0
    assert PNorm(6)({INPUT: torch.ones(1, 3, 4, 4)}).item() == 1


@pytest.mark.parametrize(
    "prior", [TotalVariation(1.0), TotalVariation(1.5), TotalVariation(2.0), PNorm(2.0), PNorm(6.0)], ids=repr
)
def test_gradients_are_those_of_finite_differences(prior):
    image = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda pixels: prior({INPUT: pixels}), (image,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("beta", [1.0, 1.2, 2.0, 3.0])
def test_the_gradient_of_roughness_is_finite_on_flat_images(beta):
    image = torch.full((1, 3, 4, 4), 0.3, requires_grad=True)
    TotalVariation(beta)({INPUT: image}).sum().backward()
    assert image.grad.isfinite().all()
    assert image.grad.abs().max() < 1e-3


def test_a_flat_image_is_hardly_rough_whatever_beta():
    assert TotalVariation(2)({INPUT: torch.full((1, 1, 8, 8), 0.7)}).item() == 0
    assert TotalVariation(1)({INPUT: torch.full((1, 1, 8, 8), 0.7)}).item() == pytest.approx(math.sqrt(1e-8), rel=1e-3)


@pytest.mark.parametrize("make", [lambda: TotalVariation(0.5), lambda: PNorm(0)])
def test_exponents_below_one_are_refused(make):
    with pytest.raises(ObjectiveError, match="must be at least 1"):
        make()


def test_priors_are_subtracted_and_shown():
    assert repr(0.5 * TotalVariation(1.5) - PNorm()) == "0.5 * TotalVariation(beta=1.5) - PNorm()"
