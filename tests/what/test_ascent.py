import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.nets import network as tiny
from triscope.errors import NetworkError, ObjectiveError, OptionError, TriscopeWarning
from triscope.network import Network
from triscope.network.backward_rules import REDIRECTED, following
from triscope.objectives.base import Need, Objective
from triscope.objectives.priors import PNorm, TotalVariation
from triscope.objectives.units import Channel, Logit, Neuron
from triscope.what.ascend import ascend
from triscope.what.optimisation.ascent import noise, optimise
from triscope.what.optimisation.lbfgs import Lbfgs
from triscope.what.optimisation.optimisers import Adam, Momentum
from triscope.what.optimisation.parametrisation import Fourier, Pixels
from triscope.what.optimisation.spec import AscentSpec, cosine, steady
from triscope.what.optimisation.transforms import Jitter, Scale


def linear(rows=5, cols=7, classes=2):
    return Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * rows * cols, classes)), size=(rows, cols))


def last(plan, start):
    return list(optimise(plan, start))[-1]


@pytest.mark.parametrize(
    "optimiser", [lambda: Adam(0.02), lambda: Momentum(0.02), Lbfgs], ids=["adam", "momentum", "lbfgs"]
)
def test_a_linear_unit_under_an_l2_prior_has_the_optimum_of_the_closed_form(optimiser):
    """w.x - c mean((2x - 1)^2): the gradient w - 4c (2x - 1) / n is zero at x = 1/2 + n w / (8 c)."""
    net = linear()
    weight = net.module[1].weight.detach()[1].view(1, 3, 5, 7)
    count, strength = weight.numel(), 20.0
    plan = AscentSpec(net, Logit(1), Pixels(5, 7), priors=-strength * PNorm(2), optimiser=optimiser, steps=400)
    optimum = 0.5 + count * weight / (8 * strength)
    assert 0 < optimum.min() < optimum.max() < 1
    torch.testing.assert_close(last(plan, noise(plan)).result.values, optimum, atol=2e-3, rtol=0)


def test_the_best_image_of_unit_norm_for_a_first_layer_neuron_is_its_own_filter():
    """w.x - c |x - 1/2|^2 points along w whatever c is, and its length is free: the cosine with the filter is 1."""
    net = Network(nn.Sequential(nn.Conv2d(3, 6, 5, bias=False)), size=5)
    asked = Neuron("0", 3, row=0, col=0).bind(net)
    plan = AscentSpec(net, asked, Pixels(5, 5), priors=-30.0 * PNorm(2), optimiser=lambda: Adam(0.02), steps=300)
    away = last(plan, noise(plan)).result.values - 0.5
    assert torch.cosine_similarity(away.flatten(), net.module[0].weight.detach()[3].flatten(), dim=0) > 0.9999


def test_without_priors_pixels_end_in_the_corner_that_the_weights_point_to():
    net = linear()
    weight = net.module[1].weight.detach()[0].view(1, 3, 5, 7)
    plan = AscentSpec(net, Logit(0), Pixels(5, 7), optimiser=lambda: Adam(0.05), steps=60, pace=steady)
    assert torch.equal(last(plan, noise(plan)).result.values, (weight > 0).float())


def test_a_network_that_takes_one_order_in_memory_only_is_asked_in_that():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.maps, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * 6 * 6, 2)

        def forward(self, images):
            return self.head(self.maps(images).view(len(images), -1))

    class Flattening(Viewing):
        def forward(self, images):
            return self.head(self.maps(images).flatten(1))

    viewing, flattening = Viewing(), Flattening()
    flattening.load_state_dict(viewing.state_dict())
    made = [
        last(plan, noise(plan)).result.values
        for plan in (AscentSpec(Network(one, size=8), Logit(1), Pixels(8, 8), steps=5) for one in (viewing, flattening))
    ]
    torch.testing.assert_close(*made, atol=1e-5, rtol=0)


def plans(**changes):
    net = tiny(size=(16, 16))
    given = {
        "priors": -0.1 * TotalVariation(),
        "transforms": (Jitter(2), Scale(0.8, 1.2)),
        "steps": 8,
        "seed": 3,
    } | changes
    return AscentSpec(net, Logit([0, 1, 2]).bind(net), Fourier(16, 16), **given)


def test_the_same_seed_gives_the_same_picture_and_another_another():
    plan, other = plans(), plans(seed=4)
    assert torch.equal(last(plan, noise(plan, 3)).result.values, last(plan, noise(plan, 3)).result.values)
    assert not torch.equal(last(plan, noise(plan, 3)).result.values, last(other, noise(other, 3)).result.values)


def test_a_batch_is_as_many_ascents():
    plan = plans()
    together = last(plan, noise(plan, 3, alike=True)).result
    for index in range(3):
        alone = AscentSpec(plan.network, Logit(index), plan.canvas, plan.priors, plan.transforms, steps=8, seed=3)
        torch.testing.assert_close(
            last(alone, noise(alone)).result.values, together.values[index : index + 1], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize(
    "changes",
    [{}, {"octaves": 2}, {"transforms": (), "optimiser": Lbfgs}, {"optimiser": lambda: Momentum(0.05), "steps": 60}],
    ids=["adam", "octaves", "lbfgs", "momentum"],
)
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_resumed_ascent_ends_where_an_uninterrupted_one_does(tmp_path, changes, stop):
    whole = plans(**changes)
    expected = last(whole, noise(whole, 3)).result
    plan = plans(**changes, checkpoint=tmp_path / "ascent")
    steps = optimise(plan, noise(plan, 3))
    for _ in range(stop):
        next(steps)
    steps.close()
    resumed = list(optimise(plan, noise(plan, 3)))
    assert resumed[0].index == stop + 1
    assert torch.equal(resumed[-1].result.values, expected.values)
    assert torch.equal(resumed[-1].result.scores, expected.scores)
    (again,) = optimise(plan, noise(plan, 3))
    assert torch.equal(again.result.values, expected.values)


def test_another_jobs_checkpoint_and_other_files_are_refused(tmp_path):
    plan = plans(checkpoint=tmp_path / "ascent")
    last(plan, noise(plan, 3))
    other = plans(checkpoint=tmp_path / "ascent", redirect=9)
    with pytest.raises(OptionError, match="checkpoint of another job"):
        last(other, noise(other, 3))
    (tmp_path / "ascent").write_bytes(b"not a checkpoint")
    with pytest.raises(OptionError, match="not a checkpoint that can be read"):
        last(plan, noise(plan, 3))


def test_steps_count_up_and_their_terms_sum_to_their_score():
    plan = plans()
    steps = list(optimise(plan, noise(plan, 3)))
    assert [(step.index, step.total) for step in steps] == [(index, 8) for index in range(1, 9)]
    for step in steps:
        assert set(step.terms) == {"0|1|2", "TotalVariation()"}
        assert sum(step.terms.values()) == pytest.approx(step.score, abs=1e-5)
        assert step.terms["TotalVariation()"] < 0
        assert step.result.values.shape == (3, 3, 16, 16)
        assert 0 <= step.result.values.min() <= step.result.values.max() <= 1


def test_the_scores_of_the_result_are_what_the_network_says_of_the_picture():
    plan = plans()
    result = last(plan, noise(plan, 3)).result
    torch.testing.assert_close(result.scores, plan.asked(plan.network.look(result.values, plan.asked.needs)))
    assert result.objective == plan.asked


def test_without_random_views_the_best_picture_is_kept():
    plan = plans(transforms=(), priors=None, optimiser=lambda: Momentum(3.0), steps=20)
    steps = list(optimise(plan, noise(plan, 3)))
    best = [step.result.scores for step in steps]
    assert all((later >= earlier).all() for earlier, later in pairwise(best))
    assert steps[-1].result.scores.mean() >= max(step.score for step in steps) - 1e-5


def test_octaves_go_from_coarse_to_fine_at_the_sizes_said():
    plan = plans(octaves=3, steps=9)
    results = [step.result for step in optimise(plan, noise(plan, 3))]
    said = [re.findall(r"was of (\d+ x \d+) pixels", note) for result in results for note in result.notes[:1]]
    assert said == [["8 x 8"]] * 3 + [["11 x 11"]] * 3 + [[]] * 2  # of the last step nothing has to be said
    assert {result.values.shape[-1] for result in results} == {16}


@pytest.mark.parametrize(("steps", "sizes"), [(1, [16]), (2, [11, 16]), (3, [8, 11, 16])])
def test_of_few_steps_the_last_are_at_the_final_size(steps, sizes):
    plan = plans(octaves=3, steps=steps)
    results = [step.result for step in optimise(plan, noise(plan, 3))]
    left = [
        f"Left at step {step} of {steps}: the image was of {size} x {size} pixels" for step, size in enumerate(sizes, 1)
    ]
    assert [note.partition(",")[0] for result in results for note in result.notes[:1]] == left[:-1]


def test_a_job_of_few_steps_is_continued_with_more(tmp_path):
    for steps in (1, 2, 6):
        made = ascend(tiny(size=(16, 16)), 1, steps=steps, checkpoint=str(tmp_path / "job"))
        assert made.values.shape[-1] == 16


def test_whole_octaves_are_shown_at_the_final_size():
    net = linear()
    plan = AscentSpec(net, Logit(0), Fourier(5, 7), octaves=2, upscale_to_final=True, steps=6)
    assert last(plan, noise(plan)).result.values.shape == (1, 3, 5, 7)
    with pytest.raises(NetworkError, match="cannot run on an image of 4 x 5"):
        last(AscentSpec(net, Logit(0), Fourier(5, 7), octaves=2, steps=6), noise(plan))


def test_edits_are_made_after_every_step():
    seen = []

    def darken(pictures, slope, step):
        seen.append(step)
        return pictures * 0.5

    plan = plans(edits=(darken,), optimiser=lambda: Adam(1e-6), steps=3)
    result = last(plan, torch.full((3, 3, 16, 16), 0.8)).result
    assert seen == [1, 2, 3]
    torch.testing.assert_close(result.values, torch.full_like(result.values, 0.1), atol=1e-3, rtol=0)


class Asleep(nn.Module):
    """A ReLU that is silent on everything near grey; `dead`: on every image there is."""

    def __init__(self, dead):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.fill_(0.1)
            self.conv.bias.fill_(-1.6)
        self.dead = dead

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.relu(-x) if self.dead else x


def test_a_silent_unit_is_woken():
    net = Network(Asleep(dead=False), size=8)
    plan = AscentSpec(net, Channel("relu", 0), Pixels(8, 8), optimiser=lambda: Adam(0.05), steps=20)
    start = torch.full((1, 3, 8, 8), 0.5)
    assert plan.asked(net.look(start, plan.asked.needs)).item() == 0
    assert last(plan, start).result.scores.item() > 0.5
    with pytest.raises(ObjectiveError, match="exactly zero for every image tried"):
        last(AscentSpec(net, Channel("relu", 0), Pixels(8, 8), steps=20, redirect=0), start)


def test_a_unit_that_ends_silent_is_said():
    net = Network(Asleep(dead=False), size=8)
    plan = AscentSpec(net, Channel("relu", 0), Pixels(8, 8), priors=-1000.0 * PNorm(2), steps=40)
    result = last(plan, torch.full((1, 3, 8, 8), 0.9)).result
    assert result.scores.item() == 0
    (note,) = result.notes
    assert note.startswith("relu:0 in Asleep ended silent")
    awake = AscentSpec(net, Channel("relu", 0), Pixels(8, 8), steps=20)
    assert last(awake, torch.full((1, 3, 8, 8), 0.9)).result.notes == ()


@pytest.mark.parametrize(
    "relu",
    [nn.ReLU(), nn.ReLU(inplace=True), torch.relu, nn.ReLU6()],
    ids=["module", "in-place", "function", "relu6"],
)
def test_the_redirected_gradient_has_a_little_of_positive_gradients_at_inactive_units(relu):
    before = torch.tensor([-1.0, -1.0, 2.0, 2.0, 9.0])
    way = torch.tensor([3.0, -3.0, 3.0, -3.0, 3.0])
    leaf = before.clone().requires_grad_()
    with following(REDIRECTED):
        score = (relu(leaf.clone()) * way).sum()
    (found,) = torch.autograd.grad(score, leaf)
    expected = torch.tensor([0.03, 0, 3, -3, 0 if isinstance(relu, nn.ReLU6) else 3])
    torch.testing.assert_close(found, expected)


def test_a_dead_unit_is_an_error_and_one_of_several_a_warning():
    net = Network(Asleep(dead=True), size=8)
    plan = AscentSpec(net, Channel("relu~2", 0), Pixels(8, 8), steps=20)
    with pytest.raises(ObjectiveError, match=r"relu~2:0 .* exactly zero .* in 16 steps.*may be dead"):
        last(plan, torch.full((1, 3, 8, 8), 0.5))


def test_one_dead_picture_of_a_batch_is_a_note_and_a_warning():
    plan = AscentSpec(Network(Asleep(dead=False), size=8), Channel("relu", 0), Pixels(8, 8), steps=3, redirect=0)
    start = torch.stack([torch.ones(3, 8, 8), torch.full((3, 8, 8), 0.1)])
    with pytest.warns(TriscopeWarning, match="^Image 1: The gradient"):
        (note,) = last(plan, start).result.notes
    assert "exactly zero" in note


def test_user_state_is_as_before_also_when_left_early():
    plan = plans()
    before = {name: value.clone() for name, value in plan.network.module.state_dict().items()}
    torch.manual_seed(5)
    state = torch.get_rng_state()
    steps = optimise(plan, noise(plan, 3))
    next(steps)
    assert torch.is_grad_enabled()
    steps.close()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in plan.network.module.state_dict().items())
    assert all(weight.grad is None for weight in plan.network.module.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_it_optimises_whatever_the_callers_grad_mode(mode):
    plan = plans(steps=3)
    expected = last(plan, noise(plan, 3)).result.values
    with mode():
        assert torch.equal(last(plan, noise(plan, 3)).result.values, expected)


class Breaking(Objective):
    """The mean of the input, but not a number on the calls said."""

    def __init__(self, *when):
        object.__setattr__(self, "when", when)
        object.__setattr__(self, "calls", [0])

    needs = frozenset({Need("input"), Need("output")})

    def bind(self, network):
        return self

    def __call__(self, activations):
        self.calls[0] += 1
        mean = activations[Need("input")].flatten(1).mean(1)
        return mean * torch.nan if self.calls[0] in self.when else mean

    def __str__(self):
        return "Breaking"


def test_a_score_that_is_not_a_number_is_noted_and_stepped_back_from():
    plan = AscentSpec(linear(), Breaking(4), Pixels(5, 7), steps=30, pace=steady)
    result = last(plan, torch.full((1, 3, 5, 7), 0.2)).result
    assert result.notes == ("Step 4: Breaking was not a finite number; stepped back, and halved the rate.",)
    assert result.scores.item() > 0.7
    with pytest.raises(NetworkError, match="Breaking is not a finite number on the first image"):
        last(AscentSpec(linear(), Breaking(1), Pixels(5, 7)), torch.full((1, 3, 5, 7), 0.2))


def test_the_pace_falls_from_one_along_half_a_cosine():
    assert cosine(0) == 1
    assert cosine(0.5) == pytest.approx(0.525)
    assert cosine(1) == pytest.approx(0.05)
    assert steady(0.7) == 1
