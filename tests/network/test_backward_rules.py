"""The engine of backward rules: any rule can be applied, and operations that it cannot reach are reported."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import triscope as ts
from tests import nets
from triscope.network.backward_rules import GUIDED, Call, NonlinearityCount, following, gradient_following


@dataclass(frozen=True)
class Doubling:
    """Every convolution sends back twice its gradient."""

    name: str = "doubling"

    def apply(self, call, tally):
        output = call.plain()
        if getattr(call.function, "__name__", "") == "conv2d":
            tally.followed["convolution"] += 1
            output.register_hook(lambda gradient: 2 * gradient)
        return output

    def check(self, tally, network):
        assert tally.followed, network


def test_a_rule_of_ones_own():
    module = nets.fill(nets.cnn()).double()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    plain = ts.gradient(nets.network(module), images, 1)
    doubled = ts.gradient(nets.network(module), images, 1, rule=Doubling())
    torch.testing.assert_close(doubled.values, 4 * plain.values)
    assert doubled.tally.followed == {"convolution": 2}


class Rectifier(torch.autograd.Function):
    """A ReLU with a backward of its own, of which only the clamp inside can be seen."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


@pytest.mark.parametrize("method", [ts.guided_backprop, ts.deconvnet])
def test_a_relu_with_a_backward_of_its_own_is_refused(method):
    module = nets.fill(nets.Forms(Rectifier.apply))
    with pytest.raises(ts.TriscopeError, match=r"none before this unit \(it has 2 Rectifier\)"):
        method(nets.network(module), torch.rand(1, 3, 5, 7), 0)


def test_one_beside_real_relus_is_counted():
    module = nets.fill(nn.Sequential(nets.Forms(Rectifier.apply), nn.ReLU(), nn.Linear(4, 4)))
    heat = ts.guided_backprop(nets.network(module), torch.rand(1, 3, 5, 7), 0)
    assert heat.notes == ("Nonlinearities met: 1 ReLU, 2 Rectifier; only ReLUs follow the rule.",)


class Checkpointed(nn.Module):
    """The first part is computed again on the way back."""

    def __init__(self, module):
        super().__init__()
        self.first, self.rest = module[:6], module[6:]

    def forward(self, x):
        return self.rest(checkpoint(self.first, x, use_reentrant=False))


@pytest.mark.parametrize("method", [ts.guided_backprop, ts.deconvnet, ts.saliency])
@pytest.mark.parametrize("inplace", [True, False])
def test_checkpoints_follow_the_rule(method, inplace):
    module, images = nets.fill(nets.cnn(inplace=inplace)), torch.rand(2, 3, 5, 7)
    wanted = method(nets.network(module), images, ts.Logit([0, 3])).values
    found = method(nets.network(Checkpointed(module)), images, ts.Logit([0, 3])).values
    assert torch.equal(found, wanted)


def test_what_is_computed_without_gradients_is_not_counted():
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    with following(GUIDED) as tally:
        with torch.no_grad():
            x.relu()
        assert not tally.followed
        x.relu()
    assert tally.followed == {"ReLU": 1}


def test_the_mode_is_left_when_the_way_back_raises():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise KeyError("broken")

    x = torch.ones(2, requires_grad=True)
    with pytest.raises(KeyError):
        gradient_following(GUIDED, Broken.apply(x), x)
    assert not torch.overrides._get_current_function_mode_stack()


def test_tensors_in_lists_are_part_of_a_call():
    a, b, c = torch.ones(1), torch.zeros(1), torch.ones(2)
    call = Call(torch.cat, ([a, b],), {"out": c})
    assert [id(one) for one in call.tensors()] == [id(a), id(b), id(c)]
    changed = Call(torch.cat, ((a, b),), {"dim": 0}).replacing(lambda one: one + 1)
    assert changed.plain().tolist() == [2, 1]


def test_a_tally_in_words():
    tally = NonlinearityCount()
    tally.followed["ReLU"] += 2
    tally.others["silu"] += 1
    tally.others["gelu"] += 3
    assert tally.sentence() == "2 ReLU, 3 gelu, 1 silu"
