from collections import OrderedDict

import pytest
import torch

from triscope.errors import LayerNotFound, ObjectiveError
from triscope.network import Network
from triscope.objectives.base import Need
from triscope.objectives.distances import Diversity, FeatureDistance, GramDistance, gram

LAYER = Need("conv")


def network():
    return Network(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), size=8)


def test_the_distance_is_the_formula():
    target, values = torch.rand(1, 4, 3, 5), torch.rand(2, 4, 3, 5)
    found = FeatureDistance.from_activations({LAYER: target})({LAYER: values})
    for score, one in zip(found, values, strict=True):
        assert score.item() == pytest.approx(((one - target[0]) ** 2).sum().item() / (target**2).sum().item(), rel=1e-5)


def test_the_same_is_zero_silence_is_one_and_the_errors_are_roots():
    target = torch.rand(2, 4, 3, 5)
    distance = FeatureDistance.from_activations({LAYER: target})
    assert distance({LAYER: target}).tolist() == [0, 0]
    assert distance({LAYER: 0 * target}).tolist() == pytest.approx([1, 1])
    assert distance.errors({LAYER: 0.5 * target}).flatten().tolist() == pytest.approx([0.5, 0.5])


def test_layers_of_any_size_count_alike():
    small, large = Need("small"), Need("large", "mean")
    target = {small: torch.rand(1, 2), large: torch.rand(1, 900)}
    distance = FeatureDistance.from_activations(target)
    assert distance({small: 0 * target[small], large: target[large]}).item() == pytest.approx(0.5)
    assert distance({small: target[small], large: 0 * target[large]}).item() == pytest.approx(0.5)


def test_each_image_has_its_own_target_and_only_takes_one():
    target = torch.rand(3, 4)
    distance = FeatureDistance.from_activations({LAYER: target})
    values = torch.rand(3, 4)
    alone = [distance.only(index)({LAYER: values[index : index + 1]}).item() for index in range(3)]
    assert distance({LAYER: values}).tolist() == pytest.approx(alone)


def test_the_target_is_a_copy():
    target = torch.rand(1, 4)
    distance = FeatureDistance.from_activations({LAYER: target})
    target.zero_()
    assert distance({LAYER: torch.zeros(1, 4)}).item() == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_those_of_finite_differences(count):
    distance = FeatureDistance.from_activations({LAYER: torch.rand(count, 2, 3, 2, dtype=torch.float64)})
    values = torch.rand(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda acts: distance({LAYER: acts}), (values,))
    assert torch.autograd.gradcheck(lambda acts: Diversity("conv")({LAYER: acts}), (values,))


def test_other_shapes_and_layers_are_refused():
    distance = FeatureDistance.from_activations({LAYER: torch.rand(1, 4, 3, 5)})
    with pytest.raises(ObjectiveError, match="1 x 4 x 3 x 5 when the target"):
        distance({LAYER: torch.rand(1, 4, 3, 4)})
    with pytest.raises(LayerNotFound, match="conv"):
        distance.bind(network())
    with pytest.raises(ObjectiveError, match="needs a layer"):
        FeatureDistance.from_activations({})


def test_it_can_be_asked_of_a_network():
    net, image = network(), torch.rand(1, 3, 8, 8)
    distance = FeatureDistance.from_activations(net.look(image, ["0"])).bind(net)
    assert distance(net.look(image, distance.needs)).item() == 0
    assert repr(-distance) == "-FeatureDistance(0)"


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
    """What a look says of the Gram matrices of these maps."""
    return {Need(layer, "gram"): gram(values) if values.ndim == 4 else values for layer, values in maps.items()}


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
    alone = [distance.only(at)(looked(small=small[at : at + 1], large=large[at : at + 1])).item() for at in range(3)]
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
        distance.bind(network())
    with pytest.raises(ObjectiveError, match="made of maps"):
        GramDistance.from_activations(looked(conv=torch.rand(1, 4)))
    with pytest.raises(ObjectiveError, match="1 x 3 x 3 here"):
        distance(looked(conv=torch.rand(1, 3, 3, 5)))
    with pytest.raises(ObjectiveError, match="given none"):
        GramDistance.from_activations({})
