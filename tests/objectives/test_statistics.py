"""Distances of textures: their formulas written slowly, closed forms, and invariances."""

from collections import OrderedDict

import pytest
import scipy.linalg
import torch
from torch import Tensor

from triscope.errors import LayerNotFound, ObjectiveError
from triscope.network import Network
from triscope.objectives.base import Need
from triscope.objectives.pooling import gram, mean
from triscope.objectives.statistics import (
    CovarianceDistance,
    Diversity,
    GramDistance,
    TextureDistance,
    WassersteinDistance,
)

LAYER = Need("conv")
KINDS = [GramDistance, CovarianceDistance, WassersteinDistance]


def test_the_gradient_of_diversity_is_that_of_finite_differences():
    values = torch.rand(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda acts: Diversity("conv")({LAYER: acts}), (values,))


def test_pictures_of_one_texture_are_not_diverse():
    same = torch.rand(1, 3, 4, 4).expand(2, -1, -1, -1)
    apart = torch.zeros(2, 2, 4, 4)
    apart[0, 0], apart[1, 1] = 1, 1
    assert Diversity("conv")({LAYER: same}).tolist() == pytest.approx([-1, -1])
    assert Diversity("conv")({LAYER: apart}).tolist() == [0, 0]
    assert Diversity("conv")({LAYER: same[:1]}).tolist() == pytest.approx([0], abs=1e-6)


def gram_slowly(features):
    """G[i, j]: the mean over positions of channel i times channel j."""
    channels, rows, cols = features.shape
    found = torch.zeros(channels, channels, dtype=features.dtype)
    for i in range(channels):
        for j in range(channels):
            for row in range(rows):
                for col in range(cols):
                    found[i, j] += features[i, row, col] * features[j, row, col]
    return found / (rows * cols)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_gram_matrix_is_the_mean_of_products(layout):
    features = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    found = gram(features.contiguous(memory_format=layout))
    torch.testing.assert_close(found, torch.stack([gram_slowly(one) for one in features]))


def test_half_precision_is_summed_in_float32():
    features = torch.rand(1, 2, 200, 200)
    found = gram(features.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, gram(features.bfloat16().float()))


def looked(**maps):
    """The Gram matrices of these maps, as a look."""
    return {Need(layer, "gram"): gram(values) if values.ndim == 4 else values for layer, values in maps.items()}


@pytest.mark.parametrize("weighted", [False, True])
def test_gram_matrices_can_be_derived_twice(weighted):
    features = torch.rand(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(1, 1, 4, 5, dtype=torch.float64) if weighted else None
    assert torch.autograd.gradcheck(lambda maps: gram(maps, weights), (features,))
    assert torch.autograd.gradgradcheck(lambda maps: gram(maps, weights), (features,))


def test_the_way_back_from_a_gram_matrix_in_half_precision_is_as_good_as_its_numbers():
    features = torch.rand(1, 8, 16, 16).bfloat16()
    slopes = []
    for kind in (torch.bfloat16, torch.float64):
        maps = features.detach().to(kind).requires_grad_()
        (slope,) = torch.autograd.grad((gram(maps) - 0.3).square().sum(), maps)
        assert slope.dtype == kind
        slopes.append(slope.double())
    assert (slopes[0] - slopes[1]).norm() < 2**-8 * slopes[1].norm()


def test_the_gram_distance_is_the_formula_and_ignores_where_things_are():
    target, values = torch.rand(1, 3, 4, 5), torch.rand(2, 3, 4, 5)
    distance = GramDistance.from_activations(looked(conv=target))
    wanted = gram_slowly(target[0])
    for score, one in zip(distance(looked(conv=values)), values, strict=True):
        away = (gram_slowly(one) - wanted).square().sum() / wanted.square().sum()
        assert score.item() == pytest.approx(away.item(), rel=1e-4)
    moved = target.roll((1, 2), (2, 3)).repeat(1, 1, 2, 3)  # of another size too: only what occurs with what counts
    assert distance(looked(conv=moved)).item() == pytest.approx(0, abs=1e-10)
    assert distance(looked(conv=0 * target)).item() == pytest.approx(1)


def test_gram_layers_count_alike_and_each_image_may_have_its_own_target():
    small, large = torch.rand(3, 2, 4, 4), 100 * torch.rand(3, 7, 2, 2)
    distance = GramDistance.from_activations(looked(small=small, large=large))
    found = distance(looked(small=0 * small, large=large))
    assert found.tolist() == pytest.approx([0.5] * 3)
    small, large = torch.rand_like(small), torch.rand_like(large)
    alone = [distance.of(at)(looked(small=small[at : at + 1], large=large[at : at + 1])).item() for at in range(3)]
    assert distance(looked(small=small, large=large)).tolist() == pytest.approx(alone)
    assert repr(distance) == "GramDistance(small, large)"


def test_the_mean_target_has_the_gradient_of_the_sum_of_distances():
    one, two, values = torch.rand(3, 1, 3, 4, 5, dtype=torch.float64)
    values.requires_grad_()
    grams = [GramDistance.from_activations(looked(conv=each)) for each in (one, two)]
    mixed = GramDistance.mixed([(3, grams[0]), (1, grams[1])])
    summed = sum(
        weight / 4 * (gram(values) - each.targets[Need("conv", "gram")]).square().sum()
        for weight, each in zip((3, 1), grams, strict=True)
    )
    (wanted,) = torch.autograd.grad(summed, values)
    (found,) = torch.autograd.grad(mixed(looked(conv=values)).sum() * mixed.energy(Need("conv", "gram")).sum(), values)
    torch.testing.assert_close(found, wanted)


def test_gram_gradients_are_those_of_finite_differences():
    distance = GramDistance.from_activations(looked(conv=torch.rand(1, 2, 3, 2, dtype=torch.float64)))
    values = torch.rand(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda acts: distance(looked(conv=acts)), (values,))


def test_bad_gram_questions_each_have_a_sentence():
    distance = GramDistance.from_activations(looked(conv=torch.rand(1, 4, 3, 5)))
    named = Network(torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(3, 4, 3))), size=8)
    assert distance.bind(named) is distance
    with pytest.raises(LayerNotFound):
        distance.bind(Network(torch.nn.Conv2d(3, 4, 3), size=8))
    with pytest.raises(ObjectiveError, match="needs maps"):
        GramDistance.from_activations(looked(conv=torch.rand(1, 4)))
    with pytest.raises(ObjectiveError, match="1 x 3 x 3 here"):
        distance(looked(conv=torch.rand(1, 3, 3, 5)))
    with pytest.raises(ObjectiveError, match="needs at least one layer"):
        GramDistance.from_activations({})


# Moments: all three statistics, each against its formula.


def moments_of(**maps: Tensor) -> dict[Need, Tensor]:
    """The Gram matrices and means of these maps, as a look."""
    return looked(**maps) | {Need(layer, "mean"): values.mean((2, 3)) for layer, values in maps.items()}


def covariance_by_numpy(features: Tensor) -> Tensor:
    return torch.cov(features.flatten(1), correction=0)


def test_the_covariance_distance_is_the_formula():
    target, values = torch.rand(1, 3, 4, 5).double(), torch.rand(2, 3, 6, 5).double()
    distance = CovarianceDistance.from_activations(moments_of(conv=target))
    wanted, at = covariance_by_numpy(target[0]), target[0].mean((1, 2))
    for score, one in zip(distance(moments_of(conv=values)), values, strict=True):
        spread = (covariance_by_numpy(one) - wanted).square().sum() / wanted.square().sum()
        shift = (one.mean((1, 2)) - at).square().sum() / at.square().sum()
        assert score.item() == pytest.approx((spread.item() + shift.item()) / 2, rel=1e-6)


def test_the_wasserstein_distance_is_the_formula():
    target, values = torch.rand(1, 3, 4, 5).double(), torch.rand(2, 3, 6, 5).double()
    distance = WassersteinDistance.from_activations(moments_of(conv=target))
    wanted, at = covariance_by_numpy(target[0]).numpy(), target[0].mean((1, 2))
    root = scipy.linalg.sqrtm(wanted)
    for score, one in zip(distance(moments_of(conv=values)), values, strict=True):
        found = covariance_by_numpy(one).numpy()
        shared = scipy.linalg.sqrtm(root @ found @ root).trace()
        apart = (one.mean((1, 2)) - at).square().sum().item() + found.trace() + wanted.trace() - 2 * shared
        assert score.item() == pytest.approx(apart / target.square().sum(1).mean().item(), rel=1e-4)


def test_moving_or_stretching_a_cloud_of_features_costs_what_it_costs():
    cloud = torch.randn(1, 4, 20, 20).double()
    cloud -= cloud.mean((2, 3), keepdim=True)
    distance = WassersteinDistance.from_activations(moments_of(conv=cloud))
    energy = cloud.square().sum(1).mean().item()
    shift = torch.tensor([1.0, 0.0, -2.0, 0.5]).double()
    moved = distance(moments_of(conv=cloud + shift.view(1, 4, 1, 1))).item()
    assert moved == pytest.approx(shift.square().sum().item() / energy, rel=1e-4)
    assert distance(moments_of(conv=1.5 * cloud)).item() == pytest.approx(0.25, rel=1e-4)
    assert distance(moments_of(conv=0 * cloud)).item() == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texture_elsewhere_is_no_distance(kind):
    target = torch.rand(1, 3, 4, 5)
    distance = kind.from_activations(moments_of(conv=target))
    moved = target.roll((1, 2), (2, 3)).repeat(1, 1, 2, 3)
    assert distance(moments_of(conv=moved)).item() == pytest.approx(0, abs=1e-6)
    assert distance(moments_of(conv=torch.rand(1, 3, 4, 5).square())).item() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_with_more_features_than_positions_has_a_distance_and_a_gradient(kind):
    target, values = torch.rand(1, 9, 2, 2), torch.rand(1, 9, 2, 2, requires_grad=True)
    distance = kind.from_activations(moments_of(conv=target))
    score = distance(moments_of(conv=values)).sum()
    (gradient,) = torch.autograd.grad(score, values)
    assert gradient.isfinite().all()
    with torch.no_grad():
        nearer = distance(moments_of(conv=values - 0.1 * gradient / gradient.norm()))
    assert nearer.item() < score.item()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_all_statistics_are_those_of_finite_differences(kind, masked):
    def asked(maps: Tensor) -> dict[Need, Tensor]:
        return moments_of(conv=maps) | {LAYER: maps}

    distance: TextureDistance = kind.from_activations(asked(torch.rand(1, 3, 4, 4).double()))
    if masked:
        distance = distance.within(torch.rand(1, 1, 9, 7).double(), "here")
    values = torch.rand(1, 3, 4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda maps: distance(asked(maps)), (values,))


@pytest.mark.parametrize("kind", KINDS)
def test_within_a_mask_only_what_lies_there_counts(kind):
    target, values = torch.rand(1, 3, 4, 4).double(), torch.rand(1, 3, 4, 6).double()
    distance = kind.from_activations(moments_of(conv=target))
    where = torch.zeros(1, 1, 8, 12).double()
    where[..., :6] = 0.5  # how white it is makes no difference, only where it is whiter
    within = distance.within(where, "left")
    alone = distance(moments_of(conv=values[..., :3])).item()
    assert within({LAYER: values}).item() == pytest.approx(alone, rel=1e-6)
    assert within.needs == {LAYER}
    assert repr(within) == f"{kind.__name__}(conv in left)"


def test_means_are_weighed():
    maps, weights = torch.rand(2, 3, 4, 5), torch.rand(1, 1, 4, 5)
    wanted = (maps * weights).sum((2, 3)) / weights.sum()
    torch.testing.assert_close(mean(maps, weights), wanted)
    assert mean(maps.bfloat16()).dtype == torch.float32
