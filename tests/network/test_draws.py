"""Random numbers of a network come from a separate generator."""

import pytest
import torch
import torch.nn.functional as F

from tests import nets, processes
from triscope.network import load
from triscope.network.draws import Draws, seeded

WAYS = {
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "dropout of maps": lambda x: F.dropout2d(x, 0.5, training=True),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "normal": lambda x: x + torch.randn_like(x),
    "uniform": lambda x: x + torch.rand(x.shape),
    "permuted": lambda x: x.flatten(1)[:, torch.randperm(x[0].numel())],
    "chosen": lambda x: x.flatten(1)[:, torch.multinomial(torch.ones(x[0].numel()), 40, replacement=True)],
    "poisson": lambda x: torch.poisson(10 * x),
    "bernoulli": torch.bernoulli,
    "written in place": lambda x: x + torch.empty_like(x).exponential_(),
    "gumbel": lambda x: F.gumbel_softmax(x.flatten(1)),
    "leaky": lambda x: F.rrelu(x - 0.5, training=True),
    "pooling": lambda x: F.fractional_max_pool2d(x, 2, output_size=(2, 3)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    "distribution": lambda x: x + torch.distributions.Beta(2.0, 3.0).sample(),
}
MODES = {"gradients": torch.enable_grad, "no gradients": torch.no_grad, "inference": torch.inference_mode}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_draw_follows_the_seed_and_leaves_the_global_generator_alone(way, mode):
    x = torch.rand(2, 3, 5, 7)
    before = torch.get_rng_state()
    found = []
    with MODES[mode]():
        for seed in (4, 4, 5):
            with Draws(seed) as draws:
                found += [(WAYS[way](x), WAYS[way](x))]
            assert draws.drew
            assert torch.equal(torch.get_rng_state(), before)
    (first, second), again, other = found
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, other[0])


@pytest.mark.parametrize("mode", MODES)
def test_what_draws_nothing_is_not_taken_for_drawing(mode):
    x = torch.rand(2, 3, 5, 7)
    with MODES[mode](), Draws(0) as draws:
        F.dropout(x, 0.5, training=False)
        F.rrelu(x, training=False)
        F.scaled_dot_product_attention(x, x, x)
        torch.rand(3, generator=torch.Generator().manual_seed(1))
    assert not draws.drew


def test_the_numbers_are_those_of_the_seed():
    with Draws(7):
        found = torch.rand(5)
    assert torch.equal(found, torch.rand(5, generator=torch.Generator().manual_seed(7)))


def test_a_generator_that_the_network_has_made_itself_is_its_own():
    own, other = (torch.Generator().manual_seed(3) for _ in range(2))
    with Draws(0):
        found = torch.cat([torch.rand(2, generator=own), torch.randn(2, generator=own)])
    assert torch.equal(found, torch.cat([torch.rand(2, generator=other), torch.randn(2, generator=other)]))


def test_the_global_generator_is_put_back_where_something_fails():
    before = torch.get_rng_state()
    for way in (Draws(0), seeded(3)):
        with pytest.raises(RuntimeError, match="prob"), way:
            torch.multinomial(torch.zeros(3), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_at_random_follow_their_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    hashes = [load("pocket", weights="random", seed=seed).sha256 for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(1), seeded(2):  # a network's own file may load another one
        pass


def test_a_network_that_does_not_draw_is_asked_without_a_mode():
    network = nets.network()
    network.look(torch.rand(1, 3, 5, 7), ["output"])
    depth = []

    class Counting(torch.nn.Module):
        def forward(self, x):
            depth.append(torch.utils._python_dispatch._len_torch_dispatch_stack())
            return x

    network.module.append(Counting())
    for _ in range(3):
        network.look(torch.rand(1, 3, 5, 7), ["output"])
    assert depth == [1, 0, 0]


def test_to_ask_a_network_loads_no_compiler():
    """It would take seconds, and add to the filters of warnings."""
    program = (
        "import sys, warnings\nwarnings.simplefilter('error')\nimport torch, triscope as ts\n"
        "net = ts.Network(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), size=8)\n"
        "ts.saliency(net, torch.rand(1, 3, 8, 8), '1:2')\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'sympy' or name == 'torch._dynamo']\n"
    )
    code, _, err = processes.ran(program, fresh=True)
    assert code == 0, err
