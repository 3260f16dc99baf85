"""Units against closed forms, and their gradients against finite differences."""

import numpy as np
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import LayerNotFound, NetworkError, ObjectiveError
from triscope.objectives.base import Need

CLASSES = ["cat", "dog", "crane", "fire_engine", "crane"]
WEIGHT = torch.arange(5 * 3 * 5 * 7, dtype=torch.float64).view(5, 3, 5, 7).sin()
BIAS = torch.tensor([0.1, -0.2, 0.3, 0.0, 0.5], dtype=torch.float64)


@pytest.fixture
def linear():
    """scores = weight * pixels + bias, no normalisation: every answer is known."""
    return nets.network(nets.linear(WEIGHT, BIAS), mean=None, std=None, classes=CLASSES)


@pytest.fixture
def convolution():
    """One layer of two 1 x 1 filters, whose maps are known: red - green, and blue."""
    layer = nn.Conv2d(3, 2, 1, bias=False, dtype=torch.float64)
    layer.weight.data = torch.tensor([[1.0, -1, 0], [0, 0, 1]], dtype=torch.float64)[:, :, None, None]
    return nets.network(nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()), mean=None, std=None)


@pytest.fixture
def images():
    return torch.rand(3, 3, 5, 7, dtype=torch.float64)


def scores(network, images, objective):
    asked = ts.unit(objective) if isinstance(objective, str) else objective
    asked = asked.bind(network)
    return asked(network.look(images, asked.needs))


def logits(images):
    return torch.einsum("bchw,kchw->bk", images, WEIGHT) + BIAS


def test_a_class_is_its_logit(linear, images):
    torch.testing.assert_close(scores(linear, images, ts.Logit(3)), logits(images)[:, 3])
    torch.testing.assert_close(scores(linear, images, "dog"), logits(images)[:, 1])
    torch.testing.assert_close(ts.saliency(linear, images, 3).values, WEIGHT[3].abs().amax(0).expand(3, 1, 5, 7))


def test_probabilities_are_those_of_softmax(linear, images):
    wanted = logits(images).softmax(1)[:, 2]
    torch.testing.assert_close(scores(linear, images, "prob:2"), wanted)
    torch.testing.assert_close(scores(linear, images, "logprob:2"), wanted.log())
    far = nets.network(nets.linear(WEIGHT * 1e4), mean=None, std=None)
    assert scores(far, images, "logprob:2").isfinite().all()


def test_one_class_for_each_image(linear, images):
    wanted = logits(images)[[0, 1, 2], [4, 0, 2]]
    torch.testing.assert_close(scores(linear, images, ts.Logit([4, 0, 2])), wanted)
    torch.testing.assert_close(scores(linear, images, ts.Logit([4, "cat", 2])), wanted)
    heat = ts.input_x_gradient(linear, images, "4|0|2")
    torch.testing.assert_close(heat.values, (images * WEIGHT[[4, 0, 2]]).sum(1, keepdim=True))
    for count in (2, 4):
        with pytest.raises(ObjectiveError, match=f"{count} classes were given for 3 images"):
            scores(linear, images, ts.Logit(range(count)))


def test_without_an_objective_each_image_is_asked_its_top_class(linear, images):
    heat = ts.input_x_gradient(linear, images)
    best = logits(images).argmax(1)
    assert heat.objective == ts.Logit(best)
    assert heat.recipe.objective == "|".join(map(str, best.tolist()))
    assert heat.asked == tuple(CLASSES[index] for index in best)
    torch.testing.assert_close(heat.scores, logits(images).amax(1))
    torch.testing.assert_close(heat.values, (images * WEIGHT[best]).sum(1, keepdim=True))
    assert ts.saliency(linear, images[:1]).objective == ts.Logit(int(best[0]))


def test_of_classes_that_tie_one_is_asked(images):
    tied = nets.network(nets.linear(torch.stack([WEIGHT[0], WEIGHT[1], WEIGHT[1]])), mean=None, std=None)
    dark = torch.zeros_like(images)
    heat = ts.saliency(tied, dark)
    assert torch.equal(heat.values, ts.saliency(tied, dark, heat.objective).values)


@pytest.mark.parametrize("given", [2, np.int64(2), np.array(2), torch.tensor(2), "2", 2.0])
def test_an_index_of_any_kind_is_one(linear, images, given):
    if isinstance(given, float):
        with pytest.raises(ObjectiveError, match=r"A class is a name or an index, not 2\.0"):
            ts.Logit(given)
        return
    torch.testing.assert_close(scores(linear, images, ts.Logit(given)), logits(images)[:, 2])


@pytest.mark.parametrize("given", [[1, 2, 0], (1, 2, 0), np.array([1, 2, 0]), torch.tensor([1, 2, 0]), iter([1, 2, 0])])
def test_indices_of_any_kind_are_one_for_each_image(given):
    asked = ts.Logit(given)
    assert asked.classes == (1, 2, 0)
    assert asked == ts.Logit([1, 2, 0])
    assert hash(asked) == hash(ts.Logit([1, 2, 0]))


def test_class_names(linear, images):
    assert ts.Logit("Fire Engine").bind(linear) == ts.Logit("fire_engine").bind(linear) == ts.Logit(3)
    assert ts.Logit("0").bind(linear) == ts.Logit(0)
    with pytest.raises(ObjectiveError, match=r"2 classes called 'crane'; use an index: 2, 4\."):
        scores(linear, images, "crane")
    with pytest.raises(ObjectiveError, match=r"no class 'fire_engin'\. Nearest: fire_engine\. A class is a name"):
        scores(linear, images, "fire_engin")
    for wrong in (5, -1, "5"):
        with pytest.raises(ObjectiveError, match="has classes 0 to 4; there is no class"):
            scores(linear, images, ts.Logit(wrong))
    nameless = nets.network(nets.linear(WEIGHT), mean=None, std=None)
    with pytest.raises(ObjectiveError, match="has no class names, so 'cat' cannot be found"):
        scores(nameless, images, "cat")
    with pytest.raises(ObjectiveError, match=r"is not resolved to an index yet; call objective\.bind"):
        ts.Logit("cat")(linear.look(images, ["output"]))


def test_bad_forms_and_empty_lists():
    with pytest.raises(ObjectiveError, match="not 'percent'"):
        ts.Logit(1, form="percent")
    with pytest.raises(ObjectiveError, match="is empty"):
        ts.Logit([])


def test_channels_and_neurons(convolution, images):
    maps = torch.stack([images[:, 0] - images[:, 1], images[:, 2]], 1)
    torch.testing.assert_close(scores(convolution, images, "0:0"), maps[:, 0].mean((1, 2)))
    torch.testing.assert_close(scores(convolution, images, "max:0:1"), maps[:, 1].amax((1, 2)))
    torch.testing.assert_close(scores(convolution, images, "0:0@4,6"), maps[:, 0, 4, 6])
    torch.testing.assert_close(scores(convolution, images, "0:1@0,6"), maps[:, 1, 0, 6])
    torch.testing.assert_close(scores(convolution, images, "2:1"), maps[:, 1].mean((1, 2)))  # a layer of vectors
    torch.testing.assert_close(scores(convolution, images, "2:1@0,0"), maps[:, 1].mean((1, 2)))
    wanted = torch.zeros(3, 3, 5, 7, dtype=torch.float64)
    wanted[:, 0, 4, 6], wanted[:, 1, 4, 6] = 1, -1
    assert torch.equal(ts.gradient(convolution, images, "0:0@4,6").values, wanted)


def test_directions_and_energy(convolution, images):
    maps = torch.stack([images[:, 0] - images[:, 1], images[:, 2]], 1)
    vector = torch.tensor([2.0, -3.0])
    torch.testing.assert_close(
        scores(convolution, images, ts.Direction("0", vector)), maps.mean((2, 3)) @ vector.double()
    )
    torch.testing.assert_close(scores(convolution, images, ts.Energy("0")), maps.square().mean((1, 2, 3)))
    torch.testing.assert_close(scores(convolution, images, ts.Energy("2")), maps.mean((2, 3)).square().mean(1))
    for wrong in (torch.ones(3), torch.ones(1, 2), torch.tensor(1.0)):
        with pytest.raises(ObjectiveError, match="A direction in 0 of Sequential has 2 numbers"):
            ts.Direction("0", wrong).bind(convolution)


SPATIAL = {
    "channel": (ts.Channel("0", 0), lambda maps: maps[:, 0]),
    "largest": (ts.Channel("0", 1, pool="max"), lambda maps: maps[:, 1]),
    "neuron": (ts.Neuron("0", 1, 2, 3), lambda maps: maps[:, 1]),
    "direction": (ts.Direction("0", torch.tensor([2.0, -3.0])), lambda maps: 2 * maps[:, 0] - 3 * maps[:, 1]),
    "energy": (ts.Energy("0"), lambda maps: maps.square().mean(1)),
}


@pytest.mark.parametrize("kind", SPATIAL)
def test_maps_of_spatial_questions(convolution, images, kind):
    objective, wanted = SPATIAL[kind]
    maps = torch.stack([images[:, 0] - images[:, 1], images[:, 2]], 1)
    asked = objective.bind(convolution)
    shown = asked.map(convolution.look(images, asked.map_needs))
    torch.testing.assert_close(shown, wanted(maps))
    pooled = {"largest": shown.amax((1, 2)), "neuron": shown[:, 2, 3]}.get(kind, shown.mean((1, 2)))
    torch.testing.assert_close(scores(convolution, images, asked), pooled)


@pytest.mark.parametrize(
    ("objective", "error", "match"),
    [
        (ts.Channel("0", 2), ObjectiveError, "0 of Sequential has channels 0 to 1; there is no channel 2"),
        (ts.Channel("0", -1), ObjectiveError, "there is no channel -1"),
        (ts.Neuron("0", 5, 0, 0), ObjectiveError, "there is no channel 5"),
        (ts.Neuron("0", 1, 5, 0), ObjectiveError, "row 5, column 0 .* rows 0 to 4 and columns 0 to 6"),
        (ts.Neuron("0", 1, 0, 7), ObjectiveError, "row 0, column 7"),
        (ts.Neuron("0", 1, -1, 0), ObjectiveError, "row -1"),
        (ts.Channel("conv9", 1), LayerNotFound, "no layer 'conv9'"),
        (ts.Energy("conv9"), LayerNotFound, "no layer 'conv9'"),
        (ts.Direction("conv9", torch.ones(2)), LayerNotFound, "no layer 'conv9'"),
        (ts.Logit(1) - ts.Channel("0", 2), ObjectiveError, "there is no channel 2"),
    ],
)
def test_what_is_not_there_is_refused(convolution, images, objective, error, match):
    with pytest.raises(error, match=match):
        ts.saliency(convolution, images, objective)


def test_arithmetic(linear, images):
    one, two, three = (scores(linear, images, ts.Logit(index)) for index in range(3))
    a, b, c = ts.Logit(0), ts.Logit(1), ts.Logit(2)
    cases = {
        a + b: one + two,
        a - b: one - two,
        -a: -one,
        2 * a: 2 * one,
        a * 0.5: 0.5 * one,
        a / 4: one / 4,
        a - 0.5 * (b - c): one - 0.5 * (two - three),
        -(a - 2 * b) + c: -one + 2 * two + three,
        (a + b + c) / 3: (one + two + three) / 3,
    }
    for objective, wanted in cases.items():
        torch.testing.assert_close(scores(linear, images, objective), wanted)
    assert (a + b).needs == frozenset({Need("output")})
    assert a == ts.Logit(0), "operands are never changed"
    heat = ts.saliency(linear, images, a - 0.5 * b, channels="signed")
    torch.testing.assert_close(heat.values, (WEIGHT[0] - 0.5 * WEIGHT[1]).sum(0).expand(3, 1, 5, 7))


def test_a_sum_reads_all_its_layers_and_resolves_its_terms(linear, images):
    asked = ts.TopClass() - 0.5 * ts.Channel("1", 2)
    assert asked.needs == {Need("output"), Need("1", "mean")}
    heat = ts.saliency(linear, images[:1], asked)
    best = int(logits(images)[0].argmax())
    assert heat.objective == ts.Logit(best) - 0.5 * ts.Channel("1", 2)
    assert heat.asked == (f"{CLASSES[best]} - 0.5*1:2",)


def test_a_network_without_classes_is_not_asked_for_one():
    maps = nets.network(nets.fill(nn.Sequential(nn.Conv2d(3, 4, 3))))
    for asked in (0, "cat", "prob:1", ts.TopClass() + ts.Logit(1)):
        with pytest.raises(NetworkError, match="4 x 3 x 5 numbers for an image, not one score per class"):
            ts.saliency(maps, torch.rand(1, 3, 5, 7), asked)
    headless = nets.network(nets.fill(nets.cnn()), missing=("8.weight", "8.bias"))
    with pytest.raises(NetworkError, match=r"classifier of Sequential is missing .*\(8\.bias, 8\.weight\)"):
        ts.saliency(headless, torch.rand(1, 3, 5, 7))
    assert ts.saliency(headless, torch.rand(1, 3, 5, 7), "3:1").values.any()


SMOOTH = {
    "logit": ts.Logit([1, 3]),
    "probability": ts.Logit(2, form="probability"),
    "log-probability": ts.Logit([0, 4], form="log-probability"),
    "top class": ts.TopClass(),
    "channel": ts.Channel("2", 3),
    "largest": ts.Channel("2", 3, pool="max"),
    "neuron": ts.Neuron("2", 3, 2, 4),
    "direction": ts.Direction("2", torch.linspace(-1, 1, 8, dtype=torch.float64)),
    "energy": ts.Energy("0"),
    "sum": 2 * ts.Logit(1) - 0.5 * ts.Energy("2") + ts.Channel("0", 1) / 3,
}


@pytest.mark.parametrize("kind", SMOOTH)
def test_gradients_equal_finite_differences(kind):
    """Central differences of a smooth network, at every pixel of the second image; the first does not matter to it."""
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Softplus(), nn.Conv2d(8, 8, 3, padding=1), nn.Softplus())
    module.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)])
    network = nets.network(nets.fill(module).double())
    images, step = torch.rand(2, 3, 5, 7, dtype=torch.float64), 1e-5
    asked = SMOOTH[kind].bind(network)
    found = ts.gradient(network, images, asked).values[1]
    moved = step * torch.eye(105, dtype=torch.float64).view(105, 3, 5, 7)

    def score(shifts):
        batch = images[1] + shifts
        if isinstance(asked, ts.Logit) and isinstance(asked.classes, tuple):
            one = asked.of(1)
            return one(network.look(batch, one.needs))
        return asked(network.look(batch, asked.needs))

    wanted = ((score(moved) - score(-moved)) / (2 * step)).view(3, 5, 7)
    assert (found - wanted).abs().max() <= 1e-7 * wanted.abs().max() + 1e-9


def test_objectives_are_values():
    assert ts.Channel("a", 1) == ts.Channel("a", 1, "mean") != ts.Channel("a", 1, "max")
    assert (
        len({ts.Logit(1), ts.Logit(1), ts.Neuron("a", 1, 2, 3), ts.Neuron("a", 1, 2, 3), ts.Logit(1) + ts.Logit(2)})
        == 3
    )
    with pytest.raises(AttributeError):
        ts.Logit(1).classes = 2
    bound = ts.Logit("cat").bind(nets.network(nets.linear(WEIGHT), mean=None, std=None, classes=CLASSES))
    assert bound == ts.Logit(0)
