"""The scores of a result are the objective's values for the returned image, without the priors."""

import pytest
import torch

import triscope as ts
from tests.contract.asking import ASKING, QUESTIONED, ask, pictures, tiny
from triscope.objectives.distances import FeatureDistance
from triscope.objectives.priors import TotalVariation
from triscope.verbs import METHODS
from triscope.what.optimisation.regularisers import REGULARISERS

FREE = {"dream": {"layer": None}}


def shown(result):
    """The images that a result's scores are of."""
    return getattr(result, "image", result.values)


def distance(network, seed, size=16):
    return FeatureDistance.from_activations(network.look(pictures(1, size=(size, size), seed=seed), ["3"]))


QUESTIONS = {
    "channel": lambda network: ts.Channel("3", 2),
    "twice the same": lambda network: ts.Channel("3", 2) + ts.Channel("3", 2),
    "weighed": lambda network: 2 * ts.Logit(1) - 0.5 * ts.Channel("3", 1),
    "two targets in one layer": lambda network: -distance(network, 5) - distance(network, 6),
    "a prior of its own": lambda network: ts.Channel("3", 2) - 3 * TotalVariation(),
    "the same prior twice": lambda network: ts.Logit(0) - TotalVariation() - TotalVariation(),
}


def assert_scored(network, result):
    answer = result.objective(network.look(shown(result), result.objective.needs))
    torch.testing.assert_close(result.scores, answer.detach(), rtol=1e-4, atol=1e-5)
    parts = getattr(result, "parts", None)
    if parts is not None:
        torch.testing.assert_close(parts.sum(1), result.scores)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", QUESTIONED)
def test_scores_are_the_answer_to_the_question(name, question):
    network = tiny(name)
    asked = QUESTIONS[question](network)
    result = ask(name, network, pictures(2, size=(16, 16)), objective=asked, **FREE.get(name, {}))
    assert repr(result.objective) == repr(asked.bind(network))
    assert_scored(network, result)


@pytest.mark.parametrize("regulariser", REGULARISERS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_regularisers_are_left_out_of_the_scores(regulariser, question):
    network = tiny()
    asked = QUESTIONS[question](network)
    one_size = question == "two targets in one layer"
    for options in ({"tv": 5.0, "l2": 2.0}, {"octaves": 1 if one_size else 2}, {"diverse": 2}):
        result = ts.ascend(network, asked, steps=5, size=16, regulariser=regulariser, **options)
        assert_scored(network, result)


SCORED = [name for name in ASKING if "scores" in METHODS[name].returns.__dataclass_fields__]


@pytest.mark.parametrize("name", SCORED)
def test_scores_and_objective_belong_together_whatever_was_asked(name):
    network = tiny(name)
    result = ask(name, network)
    if name == "units":
        for unit, picture, score in zip(map(ts.unit, result.asked), result.values, result.scores, strict=True):
            torch.testing.assert_close(unit(network.look(picture[None], unit.needs))[0], score, rtol=1e-4, atol=1e-5)
    elif result.objective is not None:
        assert_scored(network, result)
    elif name == "invert":
        target = network.look(pictures(), ["3"])["3"]
        (found,) = FeatureDistance({ts.Need("3"): target}).errors(network.look(result.values, ["3"])).T
        torch.testing.assert_close(result.errors[:, 0], found, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(result.scores, -found.square(), rtol=1e-4, atol=1e-5)
    else:
        assert name in ("texture", "stylize")  # a sum over layers that no objective of the public face stands for
        assert result.scores.item() < 0


def test_a_job_that_was_left_says_what_its_score_is_of():
    steps = ts.ascend.steps(tiny(), 1, size=16, steps=5, octaves=1)
    notes = [step.result.notes for step in steps]
    assert notes[-1] == ()
    assert notes[1] == ("Left at step 2 of 5: the score is that of the last random view.",)
    plain = ts.ascend.steps(tiny(), 1, size=16, steps=5, octaves=1, regulariser="l2")
    assert {step.result.notes for step in plain} == {()}


def test_a_job_that_was_left_at_a_coarse_size_says_so():
    results = [step.result for step in ts.ascend.steps(tiny(), 1, size=16, steps=4, octaves=2, regulariser="l2")]
    assert {tuple(result.values.shape) for result in results} == {(1, 3, 16, 16)}
    small = "the image was of 11 x 11 pixels, of which the score is; it is shown enlarged."
    left = [(f"Left at step {step} of 4: {small}",) for step in (1, 2)]
    assert [result.notes for result in results] == [*left, (), ()]


@pytest.mark.parametrize("regulariser", ["natural", "none"])
def test_scores_of_steps_in_bfloat16_are_those_of_the_network(regulariser):
    network = tiny()
    made = ts.ascend(network, 1, size=16, steps=6, precision="bfloat16", regulariser=regulariser)
    exact = network.look(made.values, ["output"])["output"][:, 1]
    torch.testing.assert_close(made.scores, exact, rtol=1e-6, atol=1e-6)
    assert not made.values.equal(ts.ascend(network, 1, size=16, steps=6, regulariser=regulariser).values)
