"""Mosaics, overlays and enlargements of images small enough to write down."""

import pytest
import torch
from torch.testing import assert_close

from triscope.render import enlarge, grid, montage, overlay, resize, side_by_side


def plain(level, height, width):
    return torch.full((3, height, width), level)


def test_a_grid_puts_pictures_row_by_row():
    mosaic = grid([plain(level / 10, 2, 3) for level in range(5)], columns=2, gap=1, background=1.0)
    assert mosaic.shape == (3, 2 * 3 + 2, 3 * 2 + 1)
    wanted = torch.ones(8, 7)
    for place, (top, left) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4), (6, 0)]):
        wanted[top : top + 2, left : left + 3] = place / 10
    assert_close(mosaic, wanted.expand(3, 8, 7))


def test_a_grid_centres_smaller_pictures_on_the_background():
    mosaic = grid([plain(0.0, 1, 2), plain(0.5, 5, 4)], columns=1, gap=2, background=0.25)
    wanted = torch.full((12, 4), 0.25)
    wanted[2, 1:3] = 0.0
    wanted[7:] = 0.5
    assert_close(mosaic, wanted.expand(3, 12, 4))


@pytest.mark.parametrize(
    ("count", "size", "aspect", "columns"),
    [
        (64, (11, 11), 1.0, 8),
        (7, (5, 5), 1.0, 3),
        (6, (5, 5), 1.5, 3),
        (96, (11, 11), 1.5, 12),
        (4, (10, 40), 1.0, 1),
        (1, (5, 7), 1.5, 1),
    ],
)
def test_a_grid_comes_close_to_its_aspect(count, size, aspect, columns):
    mosaic = montage([plain(0.0, *size)] * count, gap=0, aspect=aspect).paint()
    assert mosaic.shape[-1] == columns * size[1]


def test_a_grid_has_no_empty_column():
    assert grid([plain(0.0, 5, 7)] * 3, columns=10, gap=0).shape == (3, 5, 21)


def test_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        grid([])
    with pytest.raises(ValueError, match="at least one column"):
        grid([plain(0.0, 5, 7)], columns=0)


def test_side_by_side_is_one_row():
    row = side_by_side(plain(0.0, 5, 7), plain(0.5, 5, 7), gap=3)
    assert_close(row[0, 2], torch.tensor([0.0] * 7 + [1.0] * 3 + [0.5] * 7))


def test_an_overlay_is_a_weighted_mean():
    picture, heat = torch.rand(3, 5, 7), torch.rand(3, 5, 7)
    assert_close(overlay(picture, heat, 0.25), 0.75 * picture + 0.25 * heat)
    assert_close(overlay(picture, heat, 0.0), picture)
    assert_close(overlay(picture, heat, 1.0), heat)


def test_an_overlay_takes_a_strength_for_each_place():
    picture, heat = torch.rand(3, 4, 6), torch.rand(3, 4, 6)
    strength = torch.zeros(4, 6)
    strength[:, 3:] = 1.0
    laid = overlay(picture, heat, strength)
    assert_close(laid[..., :3], picture[..., :3])
    assert_close(laid[..., 3:], heat[..., 3:])


def test_an_overlay_resizes_the_heat_and_not_the_picture():
    laid = overlay(torch.zeros(3, 20, 28), torch.ones(3, 5, 7), torch.full((2, 2), 0.5))
    assert_close(laid, torch.full((3, 20, 28), 0.5))


def test_enlarging_repeats_pixels():
    assert_close(
        enlarge(torch.tensor([[[1.0, 2.0]]]), 2),
        torch.tensor([[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]),
    )
    assert enlarge(torch.rand(4, 3, 5, 7), 3).shape == (4, 3, 15, 21)


def test_resizing_keeps_a_ramp_straight():
    ramp = torch.arange(4.0).expand(2, 4)
    assert_close(resize(ramp, 2, 8)[0], torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]))


def test_resizing_down_loses_nothing_between_the_samples():
    line = torch.zeros(4, 64)
    line[:, 24] = 1.0
    assert_close(resize(line, 4, 4)[0].sum(), torch.tensor(1 / 16))


def test_resizing_keeps_leading_axes_and_the_range():
    values = resize(torch.rand(2, 3, 50, 70), 5, 7)
    assert values.shape == (2, 3, 5, 7)
    assert values.min() >= 0
    assert values.max() <= 1
