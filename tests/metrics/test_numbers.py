"""The numbers against closed forms: linear networks, whose maps are exact, and definitions written out."""

import dataclasses
import math
from itertools import pairwise

import pytest
import torch
from scipy import stats

import triscope as ts
from tests import nets
from triscope.errors import OptionError
from triscope.metrics import faithfulness, localisation, sanity
from triscope.metrics.baselines import BASELINES, baseline, sobel
from triscope.metrics.maps import evidence, rank_correlation, ranking, ranks
from triscope.metrics.perturbed import Subject
from triscope.network import Network
from triscope.objectives.units import Channel

SIZE = (6, 8)


def drawn(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def linear():
    """score 0 = sum of weight * pixels, and what is known of it: (subject, weight summed over colours, image)."""
    weight = drawn(2, 3, *SIZE, seed=1) - 0.4
    image = drawn(3, *SIZE, seed=2)
    network = Network(nets.linear(weight), size=SIZE)
    return Subject(network, image, ts.Logit(0).bind(network)), weight[0], image


def test_ranks_and_rank_correlation_are_those_of_scipy():
    first = torch.tensor([3.0, 1.0, 2.0, 2.0, 5.0, 2.0]).double()
    second = drawn(6)
    assert ranks(first).tolist() == [4.0, 0.0, 2.0, 2.0, 5.0, 2.0]
    assert rank_correlation(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert rank_correlation(first, first * 2 + 1) == pytest.approx(1.0)
    assert rank_correlation(first, torch.ones(6)) == 0.0


def test_the_strongest_pixel_comes_first():
    assert ranking(torch.tensor([[0.1, -3.0], [2.0, 0.1]])).tolist() == [2, 0, 3, 1]


def test_evidence_keeps_signs_of_one_channel_and_magnitudes_of_several():
    network = nets.network(nets.fill(nets.cnn()))
    images = torch.rand(1, 3, 5, 7)
    signed = ts.saliency(network, images, 0, channels="signed")
    torch.testing.assert_close(evidence(signed), signed.values[:, 0].double())
    colours = ts.input_x_gradient(network, images, 0, channels="keep")
    torch.testing.assert_close(evidence(colours), colours.values.double().abs().sum(1))


def test_insertion_of_a_linear_network_is_the_cumulated_contribution(linear):
    subject, weight, image = linear
    reference = torch.full_like(image, 0.5)
    contribution = (weight * (image - reference)).sum(0)
    order = contribution.flatten().argsort(descending=True)
    counts = [round(step / 8 * order.numel()) for step in range(9)]
    raised = torch.tensor([float(contribution.flatten()[order[:count]].sum()) for count in counts])
    scores = (weight * reference).sum() + raised
    low, high = sorted((float(scores[0]), float(scores[-1])))
    wanted = float(torch.trapezoid((scores - low) / (high - low), dx=1 / 8))
    assert faithfulness.insertion(subject, contribution, steps=8, reference="grey") == pytest.approx(wanted)
    assert faithfulness.insertion(subject, -contribution, steps=8, reference="grey") < wanted
    best = faithfulness.deletion(subject, contribution, steps=8)
    assert best < faithfulness.deletion(subject, -contribution, steps=8)


def test_the_area_of_a_class_is_that_of_its_probability():
    network = nets.network(nets.fill(nets.cnn()))
    image = torch.rand(3, 5, 7)
    subject = Subject.of(network, image, ts.Logit(1))
    assert subject.objective == ts.Logit(1, "probability")
    whole = float(network.look(image[None], ["output"])["output"].softmax(1)[0, 1])
    scores = faithfulness.curve(subject, torch.rand(5, 7), steps=4, reference="blur", insert=True)
    assert float(scores[-1]) == pytest.approx(whole, rel=1e-5)
    assert faithfulness.insertion(subject, torch.rand(5, 7), steps=4) <= 1
    assert Subject.of(network, image, Channel("3", 2)).objective == Channel("3", 2)


def test_a_gradient_predicts_a_linear_network_without_error(linear):
    subject, weight, image = linear
    inner = Subject(subject.network, 0.3 + 0.4 * image, subject.objective)  # noise stays inside [0, 1]
    told = weight.sum(0)
    grey = Network(nets.linear(told.expand(1, 3, *SIZE) / 3), size=SIZE)
    exact = Subject(grey, inner.image, ts.Logit(0).bind(grey))
    assert faithfulness.infidelity(exact, told, spread=0.02) == pytest.approx(0, abs=1e-12)
    assert faithfulness.infidelity(exact, 7 * told, spread=0.02) == pytest.approx(0, abs=1e-12)  # any scale
    assert faithfulness.infidelity(exact, torch.zeros(SIZE).double()) == pytest.approx(1)
    assert 0.3 < faithfulness.infidelity(exact, drawn(*SIZE, seed=9) - 0.5, samples=64) <= 1


def test_contributions_to_a_linear_network_have_sensitivity_one(linear):
    subject, weight, image = linear
    contribution = (weight * (image - 0.5)).sum(0)
    assert faithfulness.sensitivity_n(subject, contribution, cells=4) == pytest.approx(1)
    assert faithfulness.sensitivity_n(subject, -contribution, cells=4) == pytest.approx(-1)


def test_a_removed_pixel_is_imputed_from_its_neighbours():
    image = drawn(3, 5, 5)
    removed = torch.zeros(5, 5, dtype=torch.bool)
    removed[2, 2] = True
    made = faithfulness.imputed(image, removed, torch.Generator().manual_seed(0), noise=0.0)
    around = image[:, 1:4, 1:4]
    weights = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]).double() / 12
    torch.testing.assert_close(made[:, 2, 2], (around * weights).sum((1, 2)))
    torch.testing.assert_close(made[:, ~removed], image[:, ~removed])


def test_imputed_pixels_solve_their_system_together_and_at_borders():
    image = drawn(1, 6, 7, seed=4)
    removed = drawn(6, 7, seed=5) < 0.5
    made = faithfulness.imputed(image, removed, torch.Generator().manual_seed(0), noise=0.0)[0]
    for row, col in removed.nonzero().tolist():
        total = weight = 0.0
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                r, c = row + down, col + across
                if (down, across) != (0, 0) and 0 <= r < 6 and 0 <= c < 7:
                    own = 1 / 6 if 0 in (down, across) else 1 / 12
                    total, weight = total + own * float(made[r, c]), weight + own
        assert float(made[row, col]) == pytest.approx(total / weight, abs=1e-9)


def test_road_tells_a_right_map_from_a_wrong_one(linear):
    subject, weight, image = linear
    told = (weight * (image - image.mean())).sum(0)
    assert faithfulness.road(subject, told) > 0 > faithfulness.road(subject, -told)


def test_edges_are_those_of_a_step():
    step = torch.zeros(5, 6, dtype=torch.float64)
    step[:, 3:] = 1
    assert sobel(step)[2].tolist() == [0, 0, 4, 4, 0, 0]
    assert sobel(step.T.contiguous())[:, 2].tolist() == [0, 0, 4, 4, 0, 0]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_the_size_of_the_image(name):
    image = drawn(3, 5, 9)
    made = baseline(name, image)
    assert made.shape == (5, 9)
    assert torch.equal(made, baseline(name, image))
    if name == "gaussian":
        assert int(made.argmax()) == 2 * 9 + 4


def test_pointing_and_energy():
    mask = localisation.box_mask((8, 9), (2, 3, 2, 4))
    assert int(mask.sum()) == 8
    values = torch.zeros(8, 9)
    values[3, 5] = 2.0
    values[7, 0] = 1.0
    values[0, 0] = -5.0
    assert localisation.pointing(values, mask, tolerance=0) == 1.0
    assert localisation.energy(values, mask) == pytest.approx(2 / 3)
    values[7, 0] = 3.0
    assert localisation.pointing(values, mask, tolerance=0) == 0.0
    assert localisation.pointing(values, mask, tolerance=4) == 1.0


@pytest.mark.parametrize("order", ["cascading", "independent"])
def test_weights_become_random_from_the_last_layer_down_and_ours_stay(order):
    module = nets.fill(nets.cnn())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    made = [one.module.state_dict() for one in sanity.randomised(nets.network(module), order=order)]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    weights = [name for name in before if name.endswith("weight")]
    changed = [{name for name in weights if not torch.equal(state[name], before[name])} for state in made]
    assert changed[0] == {"8.weight"}
    if order == "cascading":
        assert all(few < many for few, many in pairwise(changed))
        assert changed[-1] == set(weights)
    else:
        assert all(len(one) == 1 for one in changed)


def test_a_map_that_ignores_the_network_is_not_changed_by_random_weights():
    network, image = nets.network(nets.fill(nets.cnn())), torch.rand(3, 5, 7)
    edges = baseline("edges", image)
    assert sanity.randomisation(lambda _, one: baseline("edges", one), network, image, edges) == pytest.approx(1)
    assert sanity.max_sensitivity(lambda _, one: edges, network, image, edges) == 0
    told = evidence(ts.saliency(network, image[None], 0))[0]
    explain = lambda net, one: evidence(ts.saliency(net, one[None], 0))[0]  # noqa: E731 - as a judge makes it
    assert sanity.randomisation(explain, network, image, told) < 0.9
    assert sanity.max_sensitivity(explain, network, image, told) > 0


def test_the_table():
    network = nets.network(nets.fill(nets.cnn()), classes=list("abcde"))
    images = torch.rand(3, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    found = ts.judge(network, images, methods=["saliency", "guided_backprop"], numbers=["insertion", "class"], steps=4)
    assert found.rows == ("saliency", "guided_backprop", *BASELINES)
    assert found.values.shape == (3, 5, 2)
    assert bool(found.values[:, 2:, 1].isnan().all())  # a baseline has no other class
    assert bool(found.values[:, :2].isfinite().all())
    alone = ts.judge(network, images[1:2], methods=["saliency"], numbers=["insertion"], steps=4, baselines=False)
    assert float(found.values[1, 0, 0]) == pytest.approx(float(alone.values[0, 0, 0]), rel=1e-4)
    t = stats.t.ppf(0.975, 2)
    assert float(found.intervals()[0, 0]) == pytest.approx(t * float(found.values[:, 0, 0].std()) / math.sqrt(3))
    assert "guided_backprop" in str(found)
    assert "insertion" in found.sentence("saliency")
    with pytest.raises(OptionError, match="grad_cam was not judged; saliency"):
        found.sentence("grad_cam")
    assert found.forms[".csv"]().decode().count("\n") == 1 + 3 * 5
    steps = list(ts.judge.steps(network, images, methods=["saliency"], steps=4))
    assert [step.index for step in steps] == list(range(1, 13))
    assert len(steps[4].result) == 2


def test_a_map_that_is_blind_to_the_class_is_called_so():
    network = nets.network(nets.fill(nets.cnn()), classes=list("abcde"))
    found = ts.judge(network, torch.rand(1, 3, 5, 7), methods=["saliency"], steps=2)
    blind = found.values.clone()
    blind[:, 0, 2] = 0.99
    text = dataclasses.replace(found, values=blind).sentence("saliency")
    assert "hardly depends on the class: do not read it as an explanation" in text


def test_an_unknown_method_is_named_with_those_that_there_are():
    with pytest.raises(ts.TriscopeError, match=r"methods names 'salience'.* Nearest: saliency"):
        ts.judge(nets.network(), torch.rand(1, 3, 5, 7), methods=["salience"])
