"""Occlusion, RISE, Shapley values and LIME: Captum, enumeration, and the definitions written slowly, in float64."""

import copy
import functools
import itertools
import math

import captum.attr
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.where import fills, lime, rise, superpixels
from triscope.where.target import kept_answers

CLASSES = [3, 17]


def wrapped(module):
    return nn.Sequential(nets.Normalise(), copy.deepcopy(module)).eval()


def close(found, wanted, tolerance=1e-5):
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.fixture(scope="module", params=["alexnet", "resnet18", "squeezenet1_1"])
def published(request):
    module = nets.torchvision(request.param)
    images = torch.rand(2, 3, 64, 66, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return module, nets.network(module, size=(64, 66)), images


@pytest.mark.parametrize(("window", "stride"), [(32, 32), (24, 20), (40, 11)])
def test_occlusion_equals_captum(published, window, stride):
    """Also where windows overlap, and where the last one reaches over the border."""
    module, network, images = published
    ours = ts.occlusion(network, images, ts.Logit(CLASSES), window=window, stride=stride, batch_size=5)
    theirs = captum.attr.Occlusion(wrapped(module)).attribute(
        images, (3, window, window), (3, stride, stride), baselines=0.5, target=CLASSES
    )
    close(ours.values, theirs.mean(1, keepdim=True))


def test_occlusion_of_a_linear_network_is_weight_times_what_is_hidden():
    weight = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    network = nets.network(nets.linear(weight), mean=None, std=None)
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    heat = ts.occlusion(network, images, ts.Logit([0, 1]), window=1, stride=1, fill="black")
    torch.testing.assert_close(heat.values, (weight * images).sum(1, keepdim=True))
    mean = ts.occlusion(network, images, ts.Logit([0, 1]), window=1, stride=1, fill="mean")
    gone = images - images.mean((2, 3), keepdim=True)
    torch.testing.assert_close(mean.values, (weight * gone).sum(1, keepdim=True))


def test_occlusion_leaves_what_no_window_covers_at_zero():
    heat = ts.occlusion(nets.network(), torch.rand(1, 3, 9, 9), 1, window=2, stride=4)
    covered = torch.zeros(9, 9, dtype=torch.bool)
    for row, col in itertools.product((0, 4, 8), repeat=2):
        covered[row : row + 2, col : col + 2] = True
    assert not heat.values[0, 0][~covered].any()
    assert heat.values[0, 0][covered].all()


def test_a_stopped_occlusion_has_the_windows_so_far():
    network, image = nets.network(), torch.rand(1, 3, 8, 8)
    steps = list(ts.occlusion.steps(network, image, 1, window=4, stride=4, batch_size=1))
    assert [(step.index, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert not steps[1].result.values[..., 4:, :].any()
    assert torch.equal(steps[1].result.values[..., :4, :], steps[3].result.values[..., :4, :])


def test_a_place_is_filled_from_its_surroundings():
    ramp = torch.linspace(0, 1, 32, dtype=torch.float64).expand(3, 24, 32).contiguous()
    hidden = torch.zeros(1, 24, 32, dtype=torch.bool)
    hidden[:, 8:16, 12:20] = True
    filled = fills.hiding(ramp[None], "inpainted")(0, hidden)
    assert torch.equal(filled[:, ~hidden[0]], ramp[:, ~hidden[0]])
    assert (filled - ramp).abs().max() < 0.2, "nearer than any one colour would be"
    assert (filled - ramp)[:, hidden[0]].abs().mean() < 0.05
    flat = torch.full((1, 3, 5, 7), 0.3)
    torch.testing.assert_close(fills.hiding(flat, "inpainted")(0, torch.ones(1, 5, 7).tril().bool()), flat[0])
    assert (fills.hiding(flat, "inpainted")(0, torch.ones(1, 5, 7, dtype=torch.bool)) == 0.5).all()


def test_blur_keeps_the_mean_colour_and_no_detail():
    images = torch.rand(2, 3, 60, 80, dtype=torch.float64)
    blurred = fills.filled(images, "blur")
    torch.testing.assert_close(blurred.mean((2, 3)), images.mean((2, 3)), atol=0.01, rtol=0)
    assert blurred.std() < 0.1 * images.std()
    flat = torch.full((1, 3, 5, 7), 0.3)
    torch.testing.assert_close(fills.filled(flat, "blur"), flat)


def test_rise_written_slowly():
    network, images = nets.network(nets.fill(nets.cnn()).double()), torch.rand(2, 3, 10, 14, dtype=torch.float64)
    masks = [mask.double() for mask in rise.random_masks(9, (10, 14), 3, 0.4, seed=2)]
    heat = ts.rise(network, images, ts.Logit([1, 2]), masks=9, cells=3, visible=0.4, seed=2, batch_size=4)
    for image, index in enumerate([1, 2]):
        scores = [
            network.look(images[image : image + 1] * mask, ["output"])[ts.Need("output")][0, index] for mask in masks
        ]
        mean = sum(scores) / 9
        wanted = sum((score - mean) * mask for score, mask in zip(scores, masks, strict=True)) / (9 * 0.4)
        close(heat.values[image], wanted, 1e-9)


def test_masks_are_as_often_on_as_is_stated_everywhere():
    masks = torch.stack(list(rise.random_masks(4000, (20, 28), 4, 0.3, seed=0)))
    assert masks.shape == (4000, 1, 20, 28)
    assert masks.min() >= 0
    assert masks.max() <= 1
    torch.testing.assert_close(masks.mean(0), torch.full((1, 20, 28), 0.3), atol=0.03, rtol=0)


def test_rise_finds_the_only_pixels_that_matter():
    """A network that reads one corner: in the limit, its map is the chance of being visible together with it."""
    weight = torch.zeros(1, 3, 16, 16)
    weight[:, :, 2:5, 10:13] = 1
    network = nets.network(nets.linear(weight), mean=None, std=None, size=(16, 16))
    heat = ts.rise(network, torch.full((1, 3, 16, 16), 0.5), 0, masks=2000, cells=4)
    top = heat.values[0, 0].flatten().argmax().item()
    assert 1 <= top // 16 <= 5
    assert 9 <= top % 16 <= 13
    assert heat.values[0, 0, 12:, :5].abs().max() < 0.2 * heat.values.max()


def game(network, image, objective, fill, count):
    target = superpixels.Target.of(network, network.prepare(image), objective.bind(network))
    return superpixels.Game.of(target, "grid", count, fill)


def by_enumeration(players, score):
    """Shapley values by their definition: every order of appearance."""
    values = torch.zeros(players, dtype=torch.float64)
    for order in itertools.permutations(range(players)):
        for place, player in enumerate(order):
            values[player] += score(frozenset(order[: place + 1])) - score(frozenset(order[:place]))
    return values / math.factorial(players)


@pytest.mark.parametrize("orders", [400, 2])
def test_shapley_values_by_enumeration(orders):
    """Few superpixels are answered exactly; a sample comes as near as its standard errors say."""
    network, image = nets.network(nets.fill(nets.cnn()).double()), torch.rand(1, 3, 6, 9, dtype=torch.float64)
    played = game(network, image, ts.Logit(1), "grey", 6)
    assert played.players(0) == 6

    @functools.cache
    def score(members):
        visible = torch.tensor([player in members for player in range(6)])
        return network.look(played.picture(0, visible)[None], ["output"])[ts.Need("output")][0, 1].item()

    wanted = by_enumeration(6, score)
    heat = ts.shapley(network, image, 1, segments=6, division="grid", orders=orders)
    found = heat.contributions()
    torch.testing.assert_close(found.sum().item(), score(frozenset(range(6))) - score(frozenset()))  # efficiency
    if orders == 400:
        assert heat.notes == ("6 superpixels; values are exact.",)
        close(found, wanted, 1e-9)
        assert not heat.errors.any()
    else:
        assert heat.notes == ("6 superpixels; values are estimated from 2 orders.",)
        assert heat.errors.isinf().all()
        assert (found - wanted).abs().max() > 0


def test_the_sampled_values_are_as_near_as_their_errors_say():
    module = nets.fill(nets.cnn()).double()
    for layer in (module[0], module[3]):
        layer.weight.data *= 4  # a smaller network is so linear that ten pairs do not show how far they are off
    network, image = nets.network(module), torch.rand(1, 3, 12, 12, dtype=torch.float64)
    exact = ts.shapley(network, image, 1, segments=9, division="grid", orders=10_000).contributions()
    off = []
    for seed in range(12):
        heat = ts.shapley(network, image, 1, segments=9, division="grid", orders=60, seed=seed)
        errors = torch.stack([heat.errors[0, 0][heat.segments[0, 0] == label][0] for label in range(9)])
        off.append((heat.contributions() - exact) / errors)
        torch.testing.assert_close(heat.contributions().sum(), exact.sum())
    spread = torch.stack(off).square().mean().sqrt()
    assert 0.6 < spread < 1.7, "standard errors of thirty pairs"


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "squeezenet1_1"])
def test_shapley_values_equal_captum(name):
    module = nets.torchvision(name)
    network = nets.network(module, size=(64, 66))
    image = torch.rand(1, 3, 64, 66, dtype=torch.float64)
    labels = superpixels.divided(image[0], "grid", 4)
    features = labels.expand(3, -1, -1)[None].contiguous()
    theirs = captum.attr.ShapleyValues(wrapped(module)).attribute(
        image, baselines=0.5, target=3, feature_mask=features, perturbations_per_eval=4
    )
    ours = ts.shapley(network, image, 3, segments=4, division="grid", orders=20)
    assert torch.equal(ours.segments[0], labels)
    close(ours.values, theirs[:, :1])


def test_lime_written_slowly():
    """Ridge regression by its normal equations, the intercept free, on the coalitions that were drawn."""
    network, image = nets.network(nets.fill(nets.cnn()).double()), torch.rand(1, 3, 6, 9, dtype=torch.float64)
    played = game(network, image, ts.Logit(1), "grey", 6)
    drawn = torch.stack(list(lime.drawn_coalitions(6, 30, "lime", seed=3)))
    scores = torch.stack(
        [network.look(played.picture(0, one)[None], ["output"])[ts.Need("output")][0, 1] for one in drawn]
    )
    kernel = torch.tensor([math.exp(-((1 - math.sqrt(one.sum().item() / 6)) ** 2) / 0.25**2) for one in drawn]).double()
    design = torch.cat([drawn.double(), torch.ones(30, 1, dtype=torch.float64)], 1)
    penalty = torch.diag(torch.tensor([1.0] * 6 + [0.0], dtype=torch.float64))
    wanted = torch.linalg.solve(design.T @ (kernel[:, None] * design) + penalty, design.T @ (kernel * scores))[:6]
    heat = ts.lime(network, image, 1, segments=6, division="grid", samples=30, seed=3, batch_size=7)
    close(heat.contributions(), wanted, 1e-5)
    assert heat.notes[0].startswith("The linear model explains ")


def test_lime_equals_captum():
    """With the same coalitions, which theirs is handed one by one."""
    module = nets.fill(nets.cnn()).double().eval()
    network, image = nets.network(module), torch.rand(1, 3, 6, 9, dtype=torch.float64)
    drawn = lime.drawn_coalitions(6, 40, "lime", seed=5)
    labels = superpixels.divided(image[0], "grid", 6)

    def similarity(original, perturbed, coalition, **_):
        return lime.lime_kernel(coalition)

    theirs = captum.attr.Lime(
        wrapped(module),
        interpretable_model=captum._utils.models.linear_model.SkLearnRidge(alpha=1.0),
        similarity_func=similarity,
        perturb_func=lambda *_, **__: next(drawn)[None].double(),
    ).attribute(
        image,
        baselines=0.5,
        target=1,
        feature_mask=labels.expand(3, -1, -1)[None],
        n_samples=40,
        return_input_shape=False,
    )
    heat = ts.lime(network, image, 1, segments=6, division="grid", samples=40, seed=5)
    close(heat.contributions(), theirs[0].double(), 1e-4)


def test_kernel_shap_with_all_coalitions_is_exact():
    """Least squares under the Shapley kernel over every coalition gives the Shapley values (Lundberg and Lee, 2017)."""
    weights, members, gains = [], [], []
    values = {
        frozenset(s): torch.rand(()).double().item() for n in range(6) for s in itertools.combinations(range(5), n)
    }
    nothing, everything = values[frozenset()], values[frozenset(range(5))]
    for coalition, value in values.items():
        if 0 < len(coalition) < 5:
            size = len(coalition)
            weights.append(4 / (math.comb(5, size) * size * (5 - size)))
            members.append([float(player in coalition) for player in range(5)])
            gains.append(value - nothing)
    root = torch.tensor(weights, dtype=torch.float64).sqrt()
    found = lime.constrained(
        root[:, None] * torch.tensor(members, dtype=torch.float64),
        root * torch.tensor(gains).double(),
        everything - nothing,
    )
    close(found, by_enumeration(5, lambda members: values[members]), 1e-9)


def test_kernel_shap_comes_near_shapley_values_and_sums_to_the_difference():
    network, image = nets.network(nets.fill(nets.cnn()).double()), torch.rand(1, 3, 6, 9, dtype=torch.float64)
    exact = ts.shapley(network, image, 1, segments=6, division="grid", orders=400).contributions()
    heat = ts.lime(network, image, 1, segments=6, division="grid", kernel="shapley", samples=400)
    close(heat.contributions(), exact, 0.02)
    torch.testing.assert_close(heat.contributions().sum(), exact.sum())
    few = ts.lime(network, image, 1, segments=6, division="grid", kernel="shapley", samples=3)
    torch.testing.assert_close(few.contributions().sum(), exact.sum())


def test_coalitions_of_the_shapley_kernel_come_in_complements_of_the_right_sizes():
    drawn = torch.stack(list(lime.drawn_coalitions(5, 4000, "shapley", seed=0)))
    assert torch.equal(drawn[0::2], ~drawn[1::2])
    share = torch.bincount(drawn.sum(1), minlength=6)[1:5] / 4000
    chance = torch.tensor([1 / (size * (5 - size)) for size in range(1, 5)])
    torch.testing.assert_close(share, chance / chance.sum(), atol=0.03, rtol=0)


def test_superpixels_follow_colours():
    image = torch.zeros(3, 20, 30)
    image[0, :, 15:] = 1
    labels = superpixels.divided(image, "slic", 6)
    left, right = set(labels[0, :, :14].unique().tolist()), set(labels[0, :, 16:].unique().tolist())
    assert not left & right
    assert sorted(left | right) == list(range(int(labels.max()) + 1))


def test_superpixels_of_grey_images_and_of_one_pixel_each():
    assert superpixels.divided(torch.rand(1, 9, 12), "slic", 5).shape == (1, 9, 12)
    assert superpixels.divided(torch.rand(3, 2, 3), "grid", 100).unique().tolist() == list(range(6))
    assert not superpixels.divided(torch.rand(3, 2, 3), "grid", 1).any()


@pytest.mark.parametrize("method", [ts.shapley, ts.lime])
def test_a_stopped_job_keeps_what_it_knows(method):
    network, images = nets.network(), torch.rand(2, 3, 8, 8)
    more = {"orders": 6} if method is ts.shapley else {"samples": 20}
    steps = list(method.steps(network, images, 1, segments=6, division="grid", batch_size=4, **more))
    assert steps[-1].index == steps[-1].total
    assert [step.index for step in steps] == sorted(step.index for step in steps)
    halfway = next(step for step in steps if step.index >= step.total / 2)
    assert halfway.result.values[0].any()


class Viewing(torch.nn.Module):
    """A network that takes images in one order in memory only."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Linear(4 * 5 * 7, 3)

    def forward(self, x):
        return self.head(self.conv(x).relu().view(len(x), -1))


def test_a_network_that_takes_one_order_in_memory_is_asked_in_it():
    torch.manual_seed(0)
    viewing, images = Viewing(), torch.rand(1, 3, 5, 7)
    free = torch.nn.Sequential(viewing.conv, torch.nn.ReLU(), torch.nn.Flatten(), viewing.head)
    found = [ts.occlusion(ts.Network(one, size=(5, 7)), images, 1, window=3).values for one in (viewing, free)]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    "method", [ts.occlusion, functools.partial(ts.rise, masks=40), functools.partial(ts.lime, samples=40)]
)
def test_a_map_of_another_class_needs_no_more_passes_where_answers_are_kept(method):
    shown = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 4, 5, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))

        def forward(self, images):
            shown.append(len(images))
            return self.inner(images)

    torch.manual_seed(0)
    module = Counting()
    module(torch.rand(1, 3, 32, 32))
    network = ts.Network(module, size=32)
    image = torch.rand(1, 3, 32, 32)
    apart = [method(network, image, ts.Logit(unit)).values for unit in (1, 2)]
    shown.clear()
    with kept_answers():
        first = method(network, image, ts.Logit(1)).values
        passes = sum(shown)
        second = method(network, image, ts.Logit(2)).values
    assert passes > 20
    assert sum(shown) - passes <= 2  # the image itself, once more
    assert torch.equal(first, apart[0])
    assert torch.equal(second, apart[1])
    shown.clear()
    method(network, image, ts.Logit(2))
    assert sum(shown) >= passes  # nothing is kept afterwards
