import pytest
import torch

from triscope.what.optimisation.parametrisation import Fourier, Pixels, Spectrum

CANVASES = [
    Pixels(12, 9), Fourier(12, 9), Fourier(8, 8, 1), Fourier(7, 5, decay=1.5), Fourier(6, 6, 4),
    Spectrum(12, 9), Spectrum(7, 8, decay=0.7, chroma=2.0), Spectrum(6, 6, 1),
]  # fmt: skip


@pytest.mark.parametrize("canvas", CANVASES, ids=repr)
def test_a_picture_that_is_encoded_is_drawn_again(canvas):
    pictures = 0.05 + 0.9 * torch.rand(2, canvas.channels, *canvas.size)
    torch.testing.assert_close(canvas.draw(canvas.encode(pictures)), pictures, atol=1e-4, rtol=0)


@pytest.mark.parametrize("canvas", CANVASES, ids=repr)
def test_noise_is_a_picture_near_grey_that_follows_the_generator(canvas):
    one, same = (canvas.draw(canvas.noise(3, 0.1, torch.Generator().manual_seed(4))) for _ in range(2))
    assert one.shape == (3, canvas.channels, *canvas.size)
    assert torch.equal(one, same)
    assert 0.3 < one.min() < one.mean() < one.max() < 0.7


def test_black_and_white_stay_within_reach():
    canvas = Fourier(6, 6)
    picture = torch.cat([torch.zeros(1, 3, 3, 6), torch.ones(1, 3, 3, 6)], 2)
    drawn = canvas.draw(canvas.encode(picture))
    assert drawn.isfinite().all()
    torch.testing.assert_close(drawn, picture, atol=2e-3, rtol=0)


def test_a_spectrum_that_is_cut_off_draws_black_and_white_exactly():
    picture = torch.rand(1, 3, 6, 8).round()
    canvas = Spectrum(6, 8)
    torch.testing.assert_close(canvas.draw(canvas.encode(picture)), picture, atol=1e-5, rtol=0)
    louder = canvas.draw(3 * canvas.encode(picture))
    assert 0 <= louder.min() < louder.max() <= 1


def test_noise_has_the_spectrum_and_colours_of_photographs():
    canvas = Fourier(64, 64)
    pictures = canvas.draw(canvas.noise(16, 0.2, torch.Generator().manual_seed(0))).logit()
    power = torch.fft.fft2(pictures.mean(1), norm="ortho").abs().square().mean(0)
    low, high = power[0, 2:4].mean().sqrt(), power[0, 16:32].mean().sqrt()
    assert 5 < low / high < 15  # 1 / frequency, from 2.5 to about 24 cycles: 9.6
    light, blue_yellow = pictures.mean(1).std(), (pictures[:, 0] - pictures[:, 2]).std()
    assert 0.6 < blue_yellow / light < 0.8  # 0.286 x 1.41, against light's 0.577: 0.70


def test_numbers_of_a_spectrum_have_a_spread_of_one_at_every_size():
    canvases = [Fourier(16, 16, 1), Fourier(64, 64, 1)]
    spreads = [canvas.draw(canvas.noise(8, 1.0, torch.Generator())).logit().std().item() for canvas in canvases]
    assert spreads == pytest.approx([1.0, 1.0], abs=0.35)


def test_gradients_flow_to_the_numbers():
    for canvas in CANVASES:
        numbers = canvas.noise(1, 0.1, torch.Generator().manual_seed(0)).double().requires_grad_()
        weights = torch.rand(1, canvas.channels, *canvas.size, dtype=torch.float64)
        score = (canvas.draw(numbers.float()).double() * weights).sum()
        (gradient,) = torch.autograd.grad(score, numbers)
        assert gradient.abs().sum() > 0
        nudged = numbers.detach() + 1e-2 * gradient / gradient.norm()
        risen = (canvas.draw(nudged.float()).double() * weights).sum() - score
        assert risen.item() == pytest.approx(1e-2 * gradient.norm().item(), rel=0.05)


def test_pixels_are_confined_and_spectra_need_not_be():
    assert Pixels(2, 2).confine(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0, 0.5, 1]
    assert Fourier(2, 2).confine(torch.tensor([-9.0])).tolist() == [-9]


def test_a_canvas_is_a_value_of_any_size():
    assert Fourier(8, 6, decay=1.5).resized((3, 4)) == Fourier(3, 4, decay=1.5)
    assert Pixels(8, 6).size == (8, 6)
