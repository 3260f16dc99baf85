import pytest
import torch

from triscope.what.optimisation.transforms import Fit, FitMultiple, Jitter, Rotate, Scale, draw

ALL = [Jitter(3), Scale(0.8, 1.2), Rotate(10), Fit(9, 9), Fit(6, 13), FitMultiple(4)]


def views(transform, images, count=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [transform.draw(generator)(images) for _ in range(count)]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_views_follow_the_generator_and_nothing_else(transform):
    images = torch.rand(1, 3, 8, 11)
    before = torch.get_rng_state()
    first, second = views(transform, images), views(transform, images)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_one_throw_holds_for_the_whole_batch_and_can_be_used_again(transform):
    images = torch.rand(3, 3, 8, 11)
    view = transform.draw(torch.Generator().manual_seed(1))
    together = view(images)
    for index in range(3):
        torch.testing.assert_close(view(images[index : index + 1]), together[index : index + 1])


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_gradients_flow_through_and_flat_pictures_stay_flat(transform):
    images = torch.full((1, 3, 8, 11), 0.25, requires_grad=True)
    view = transform.draw(torch.Generator().manual_seed(2))(images)
    torch.testing.assert_close(view, torch.full_like(view, 0.25))
    view.sum().backward()
    assert images.grad.abs().sum() > 0


def test_jitter_reaches_every_shift_and_no_more():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 4, 4] = 1
    places = {tuple(view.nonzero()[0, 2:].tolist()) for view in views(Jitter(1), images, 200)}
    assert places == {(row, col) for row in (3, 4, 5) for col in (3, 4, 5)}


def test_scale_takes_twenty_sizes_between_its_ends():
    sizes = {tuple(view.shape[2:]) for view in views(Scale(0.5, 1.5), torch.rand(1, 1, 190, 380), 300)}
    assert sorted(sizes) == [(95 + 10 * place, 190 + 20 * place) for place in range(20)]


def test_fit_mirrors_outwards_and_cuts_in_the_middle():
    images = torch.rand(1, 3, 6, 8)
    wider = Fit(10, 12).draw(torch.Generator())(images)
    assert torch.equal(wider[..., 2:-2, 1], wider[..., 2:-2, 3])
    assert torch.equal(Fit(6, 8).draw(torch.Generator())(wider), images)
    assert Fit(9, 9).draw(torch.Generator())(images).shape[2:] == (9, 9)


def test_a_quarter_turn_is_a_quarter_turn():
    images = torch.zeros(1, 1, 5, 5)
    images[..., 0, 2] = 1
    turned = [view for view in views(Rotate(180), images, 300) if view[..., 2, 4] > 0.95 or view[..., 2, 0] > 0.95]
    assert turned


def test_a_chain_is_drawn_in_order():
    images = torch.rand(2, 3, 8, 8)
    look = draw((Scale(0.5, 0.5), Fit(8, 8)), torch.Generator().manual_seed(0))
    assert look(images).shape == (2, 3, 8, 8)
    assert draw((Fit(8, 8), Scale(0.5, 0.5)), torch.Generator().manual_seed(0))(images).shape == (2, 3, 4, 4)
    assert draw((), torch.Generator())(torch.ones(1)).item() == 1
