"""The maps against OKLab written the other way round: from sRGB to lightness and colour (Ottosson, 2020)."""

import math

import pytest
import torch
from torch.testing import assert_close

from triscope.render import scale_of, signed, unsigned

STEPS = torch.linspace(-1, 1, 401).expand(1, 401)
SHARES = torch.linspace(0, 1, 401).expand(1, 401)


def oklab(picture):
    """sRGB (3, H, W) to OKLab (3, H, W), in float64."""
    encoded = picture.double()
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return torch.stack(
        (
            0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
            1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
            0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
        )
    )


def test_unsigned_lightness_is_a_straight_line():
    assert_close(oklab(unsigned(SHARES, 1.0))[0], 0.12 + 0.85 * SHARES.double(), atol=1e-3, rtol=0)


def test_unsigned_never_grows_darker_on_a_screen():
    red, green, blue = unsigned(SHARES, 1.0) ** 2.2
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (luminance.diff() > 0).all()


def test_signed_lightness_is_a_straight_line_in_the_magnitude():
    assert_close(oklab(signed(STEPS, 1.0))[0], 0.97 - 0.56 * STEPS.abs().double(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("picture", [signed(STEPS, 1.0), unsigned(SHARES, 1.0)], ids=["signed", "unsigned"])
def test_equal_steps_look_about_equal(picture):
    steps = oklab(picture)[:, 0, ::10].diff().norm(dim=0)
    assert steps.max() / steps.min() < 1.2


def test_signed_is_neutral_at_zero_whatever_the_scale():
    for scale in (1e-6, 1.0, 1e6, None):
        picture = signed(torch.tensor([[-1.0, 0.0, 3.0]]), scale)
        assert_close(picture[:, 0, 1], torch.full((3,), 0.961), atol=1e-3, rtol=0)


def test_signed_is_blue_below_and_red_above_and_equally_strong():
    below, _, above = oklab(signed(torch.tensor([[-2.0, 0.0, 2.0]]), 4.0))[:, 0].T
    assert_close(below[0], above[0], atol=1e-3, rtol=0)
    assert_close(below[1:].norm(), above[1:].norm(), atol=1e-3, rtol=0)
    assert math.degrees(math.atan2(below[2], below[1])) % 360 == pytest.approx(260, abs=1)
    assert math.degrees(math.atan2(above[2], above[1])) % 360 == pytest.approx(25, abs=1)


def test_values_beyond_the_scale_get_the_full_colour():
    for draw in (signed, unsigned):
        assert_close(draw(torch.tensor([[9.0, torch.inf]]), 2.0), draw(torch.tensor([[2.0, 2.0]]), 2.0))
    assert_close(signed(torch.tensor([[-torch.inf]]), 2.0), signed(torch.tensor([[-2.0]]), 2.0))


def test_unsigned_draws_negative_values_as_zero():
    assert_close(unsigned(torch.tensor([[-5.0, -torch.inf]]), 1.0), unsigned(torch.zeros(1, 2), 1.0))


def test_nan_is_a_grey_of_neither_map():
    for draw in (signed, unsigned):
        assert_close(draw(torch.tensor([[torch.nan]]), 1.0), torch.full((3, 1, 1), 0.5))


AWKWARD = {
    "zeros": torch.zeros(5, 7),
    "constant": torch.full((5, 7), 3.0),
    "constant below zero": torch.full((5, 7), -3.0),
    "one pixel": torch.ones(1, 1),
    "smallest": torch.full((5, 7), 1e-45),
    "largest": torch.full((5, 7), 3e38),
    "infinite": torch.full((5, 7), torch.inf),
    "nan": torch.full((5, 7), torch.nan),
    "one value": torch.eye(100)[:1].expand(100, 100) * torch.eye(100)[:, :1],
}


@pytest.mark.parametrize("values", AWKWARD.values(), ids=AWKWARD.keys())
@pytest.mark.parametrize("draw", [signed, unsigned])
def test_awkward_values_still_give_a_picture(draw, values):
    picture = draw(values)
    assert picture.shape == (3, *values.shape)
    assert picture.dtype == torch.float32
    assert ((picture >= 0) & (picture <= 1)).all()


@pytest.mark.parametrize("draw", [signed, unsigned])
def test_a_batch_shares_one_scale(draw):
    maps = torch.randn(2, 4, 5, 7)
    pictures = draw(maps)
    assert pictures.shape == (2, 4, 3, 5, 7)
    assert_close(pictures[1, 2], draw(maps[1, 2], scale_of(maps)))


@pytest.mark.parametrize("draw", [signed, unsigned])
def test_drawing_is_outside_the_graph_and_changes_nothing(draw):
    values = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    before = values.detach().clone()
    assert not draw(values).requires_grad
    assert torch.equal(values, before)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_is_a_positive_number(scale):
    with pytest.raises(ValueError, match="positive number"):
        signed(torch.ones(2, 2), scale)


def test_the_scale_is_that_percentile_of_the_magnitudes():
    values = torch.arange(1.0, 201.0) * torch.tensor([1.0, -1.0]).repeat(100)
    shuffled = values[torch.randperm(200)].reshape(10, 20)
    assert scale_of(shuffled) == 199
    assert scale_of(shuffled, 50) == 100
    assert scale_of(shuffled, 100) == 200
    assert scale_of(torch.tensor([3.0, 1.0, 2.0]), 50) == 2


def test_the_scale_of_few_values_is_their_maximum():
    spike = torch.zeros(100, 100)
    spike[3, 4] = -5.0
    assert scale_of(spike) == 5
    assert scale_of(torch.zeros(5, 7)) == 1
    assert scale_of(torch.zeros(0)) == 1


def test_the_scale_leaves_out_what_is_not_finite():
    assert scale_of(torch.tensor([2.0, torch.inf, -torch.inf, torch.nan])) == 2


@pytest.mark.parametrize("percentile", [0, -1, 100.5, math.nan])
def test_a_percentile_has_a_range(percentile):
    with pytest.raises(ValueError, match="percentile"):
        scale_of(torch.ones(3), percentile)
