"""Modules with other state than weights: each call uses the current state, whatever a forward pass writes."""

import collections
import copy
import random
import types

import numpy as np
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets

ONE, OTHER = torch.rand(2, 1, 3, 12, 12, generator=torch.Generator().manual_seed(3))


class Holding(nn.Module):
    """Its scores are multiplied by what `factor` makes of what it holds, and writes to."""

    def __init__(self, held, factor):
        super().__init__()
        self.conv, self.head, self.factor = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 5), factor
        if isinstance(held, nn.Module):
            self.held = held
        elif isinstance(held, dict) and "buffer" in held:
            self.register_buffer("held", held["buffer"])
        elif held is not None:
            self.held = held

    def forward(self, x):
        found = self.conv(x).relu().mean((2, 3))
        return self.head(found) * self.factor(self, float(found.detach().mean()))


def counted(module, _):
    module.held += 1
    return module.held


def averaged(module, seen):
    module.held = 0.9 * module.held + seen
    return module.held


def written(module, seen):
    module.held.mul_(0.9).add_(seen)
    return module.held.clone()


def written_array(module, seen):
    module.held *= 0.9
    return float(module.held[0]) + seen


def first_seen(module, seen):
    if not hasattr(module, "held"):
        module.held = seen
    return module.held


def listed(module, seen):
    module.held.append(seen)
    return sum(module.held)


def noted(module, seen):
    module.held[len(module.held)] = seen
    return sum(module.held.values())


def gathered(module, seen):
    module.held.add(seen + len(module.held))
    return sum(module.held)


def nested(module, seen):
    module.held["a"][0].steps += 1
    return module.held["a"][0].steps


def replaced(module, _):
    module.conv = nn.Identity()
    return 2.0


#: What is held, and what is made of it.
WAYS = {
    "a counter": (1, counted),
    "a number": (0.0, averaged),
    "a tensor, replaced": (torch.zeros(()), averaged),
    "a tensor, in place": (torch.zeros(()), written),
    "a buffer, replaced": ({"buffer": torch.zeros(())}, averaged),
    "a buffer, in place": ({"buffer": torch.zeros(())}, written),
    "an array": (np.ones(2), written_array),
    "a new name": (None, first_seen),
    "a list": ([1.0], listed),
    "a queue": (collections.deque([1.0], maxlen=3), listed),
    "a dictionary": ({}, noted),
    "a set": (set(), gathered),
    "an object, inside": ({"a": (types.SimpleNamespace(steps=0),)}, nested),
    "its parts": (None, replaced),
    "a generator": (torch.Generator().manual_seed(2), lambda module, _: torch.rand((), generator=module.held)),
    "Python's generator": (random.Random(2), lambda module, _: 1 + module.held.random()),
    "NumPy's generator": (np.random.default_rng(2), lambda module, _: float(module.held.random())),
}


def states(module):
    """What it holds, in a form that can be compared."""
    held = getattr(module, "held", None)
    shown = {torch.Generator: lambda: held.get_state().tolist(), np.random.Generator: lambda: held.bit_generator.state}
    shown[random.Random] = getattr(held, "getstate", None)
    return repr(shown.get(type(held), lambda: held)()), type(module.conv)


@pytest.mark.parametrize("way", WAYS)
def test_every_question_is_answered_as_the_first_and_the_module_keeps_what_it_holds(way):
    module = Holding(*copy.deepcopy(WAYS[way])).eval()
    before, fresh, leaf = states(module), copy.deepcopy(module), ONE.clone().requires_grad_()
    scores = fresh(leaf)
    (gradient,) = torch.autograd.grad(scores[0, 1], leaf)
    net = ts.Network(module, size=12)
    assert len(net.layers) == 3  # found by passes of their own
    with torch.no_grad():
        net.look(OTHER, ["output"])
    for _ in range(2):
        heat = ts.saliency(net, ONE, 1)
        torch.testing.assert_close(heat.scores, scores.detach()[:, 1])
        torch.testing.assert_close(heat.values, gradient.abs().amax(1, keepdim=True))
    assert states(module) == before


@pytest.mark.parametrize("generator", [random.random, np.random.rand], ids=["Python's", "NumPy's"])
def test_draws_from_global_generators_follow_the_seed_and_leave_them_alone(generator):
    module = Holding(None, lambda _, seen: generator() + seen).eval()
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    net = ts.Network(module, size=12)
    with torch.no_grad():
        found = [net.look(ONE, ["output"], seed=seed)["output"] for seed in (4, 4, 5)]
    assert net.random
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def scaled(module, _):
    return module.held["scale"] * module.act(module.gain).mean() * module.options.rate


CHANGES = {
    "a number": lambda module: setattr(module, "gain", 3.0 * torch.ones(2)),
    "a tensor, in place": lambda module: module.gain.mul_(2),
    "a function": lambda module: setattr(module, "act", torch.tanh),
    "a dictionary": lambda module: module.held.update(scale=2.0),
    "an object": lambda module: setattr(module.options, "rate", 0.5),
    "a stride": lambda module: setattr(module.conv, "stride", (1, 1)),
    "a part's flag": lambda module: setattr(module.conv, "padding_mode", "circular"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_in_a_module_is_seen(change):
    module = Holding({"scale": 1.5}, scaled).eval()
    module.conv.padding = (1, 1)
    module.gain, module.act, module.options = torch.ones(2), torch.exp, types.SimpleNamespace(rate=2.0)
    net = ts.Network(module, size=12)
    before = ts.saliency(net, ONE, 1)
    CHANGES[change](module)
    after, fresh = ts.saliency(net, ONE, 1), ts.saliency(ts.Network(copy.deepcopy(module), size=12), ONE, 1)
    assert torch.equal(after.values, fresh.values)
    assert not torch.equal(after.values, before.values)
    with torch.no_grad():
        torch.testing.assert_close(after.scores, module(ONE)[:, 1])
        assert tuple(net.look(ONE, ["conv"])["conv"].shape) == tuple(module.conv(ONE).shape)
    assert net.layers["conv"].grid == tuple(module.conv(ONE).shape[2:])


def test_a_switch_to_training_and_back_changes_nothing():
    module = nets.fill(nets.cnn()).eval()
    net = nets.network(module)
    layers = net.layers
    module.train()
    assert net.layers is layers


class Reusing(nn.Module):
    """Gives a part of a tensor that it writes to each time."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(4, 3, 12, 12))

    def forward(self, x):
        self.kept = self.kept.detach()
        self.kept[: len(x)] = 2 * x
        return self.kept[: len(x)]


@pytest.mark.parametrize("layer", ["0", "output"])
def test_an_answer_stays_what_it_was_when_the_next_is_given(layer):
    net = ts.Network(nn.Sequential(Reusing()), size=12, task="maps")
    with torch.no_grad():
        first = net.look(ONE, [layer])
        net.look(OTHER, [layer])
    torch.testing.assert_close(first[layer], 2 * ONE)
