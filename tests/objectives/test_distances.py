import pytest
import torch

from triscope.errors import LayerNotFound, ObjectiveError
from triscope.network import Network
from triscope.objectives.base import Need
from triscope.objectives.distances import FeatureDistance

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
    alone = [distance.of(index)({LAYER: values[index : index + 1]}).item() for index in range(3)]
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


def test_other_shapes_and_layers_are_refused():
    distance = FeatureDistance.from_activations({LAYER: torch.rand(1, 4, 3, 5)})
    with pytest.raises(ObjectiveError, match="1 x 4 x 3 x 5 for the target"):
        distance({LAYER: torch.rand(1, 4, 3, 4)})
    with pytest.raises(LayerNotFound, match="conv"):
        distance.bind(network())
    with pytest.raises(ObjectiveError, match="needs at least one layer"):
        FeatureDistance.from_activations({})


def test_it_can_be_asked_of_a_network():
    net, image = network(), torch.rand(1, 3, 8, 8)
    distance = FeatureDistance.from_activations(net.look(image, ["0"])).bind(net)
    assert distance(net.look(image, distance.needs)).item() == 0
    assert repr(-distance) == "-FeatureDistance(0)"
