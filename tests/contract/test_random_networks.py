"""Networks with random forward passes (a dropout that is always on, a VAE, an MAE): results are reproducible, and the
global generator is not changed.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from tests.contract.asking import ASKING, ask, pictures, row
from tests.contract.test_scores import assert_scored
from tests.network.test_borrowing import in_training, untouched, world


class AlwaysOn(nn.Module):
    """A dropout that does not ask whether the network is being trained."""

    def forward(self, x):
        return F.dropout(x, 0.3, training=True)


class Latent(nn.Module):
    """A VAE's middle: a mean, and noise on it."""

    def forward(self, x):
        return x + 0.3 * torch.randn_like(x)


class Masked(nn.Module):
    """An MAE's first step: some of the positions, drawn at random, are left out."""

    def forward(self, x):
        order = torch.rand(len(x), *x.shape[2:]).flatten(1).argsort(1)
        kept = (order < 0.7 * order.shape[1]).view(len(x), 1, *x.shape[2:])
        return x * kept


DRAWING = {"dropout": AlwaysOn, "vae": Latent, "mae": Masked}


def drawing(kind, *, attends=False):
    """Layer 3 and all that comes after it are drawn anew each time."""
    module = nets.cnn(attention=attends)
    module[2] = nn.Sequential(module[2], DRAWING[kind]())
    return nets.fill(module)


@pytest.mark.parametrize("kind", DRAWING)
@pytest.mark.parametrize("name", ASKING)
def test_the_same_question_has_the_same_answer_and_nobody_else_notices(name, kind):
    module, images = in_training(drawing(kind, attends=row(name).attends)), pictures()
    network = nets.network(module)
    with untouched(module, images):
        first = ask(name, network, images)
    torch.rand(5)  # somebody else uses the global generator
    with untouched(module, images):
        again = ask(name, network, images)
    assert torch.equal(first.values, again.values)
    said = "Sequential draws random numbers in its forward pass; they follow the seed, 0."
    assert [note == said for note in again.notes].count(True) == (name != "filters")  # which asks nothing
    assert torch.equal(first.values, ask(name, nets.network(module), images).values)


@pytest.mark.parametrize("kind", DRAWING)
def test_the_seed_reaches_what_the_network_draws(kind):
    network = nets.network(drawing(kind))
    one, same, other = (network.look(pictures(), ["3", "output"], seed=seed) for seed in (1, 1, 2))
    for layer in ("3", "output"):
        assert torch.equal(one[layer], same[layer])
        assert not torch.equal(one[layer], other[layer])
    made = [ts.ascend(network, 1, steps=3, size=16, seed=seed, regulariser="none").values for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("kind", DRAWING)
def test_every_step_of_an_ascent_has_its_own_draw_and_the_scores_are_those_of_the_seed(kind):
    network = nets.network(drawing(kind))
    result = ts.ascend(network, 1, steps=6, size=16, regulariser="none")
    assert_scored(network, result)
    asked = ts.Logit(1)
    other = ts.ascend(network, asked, steps=6, size=16, regulariser="none", seed=3)
    answer = asked(network.look(other.values, asked.needs, seed=3))
    torch.testing.assert_close(other.scores, answer.detach())


@pytest.mark.parametrize("kind", DRAWING)
def test_threads_get_the_answer_of_one_alone(kind):
    network = nets.network(drawing(kind))
    images = [pictures(1, seed=seed) for seed in range(8)]
    alone = [ts.saliency(network, image, 1).values for image in images]
    fresh = nets.network(drawing(kind))  # the threads also race to find out that it draws
    before = world()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: ts.saliency(fresh, image, 1).values, images * 5))
    for number, values in enumerate(together):
        assert torch.equal(values, alone[number % len(images)])
    assert world() == before


def test_a_network_says_whether_it_draws():
    assert not nets.network().random
    plain, random = nets.network(), nets.network(drawing("vae"))
    for network in (plain, random):
        network.look(pictures(), ["output"])
    assert random.random
    assert not plain.random
    for path in ("0", "input"):  # what stops before anything is drawn: a layer, which is looked for in a whole pass
        fresh = nets.network(drawing("vae"))
        fresh.look(pictures(), [path])
        assert fresh.random == (path == "0")
