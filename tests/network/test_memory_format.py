"""Weights are rearranged once, and only for the passes inside."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

from triscope.network.memory_format import ChannelsLastWeights
from triscope.network.twin import TwinKeeper


class Seen(ChannelsLastWeights):
    """Which tensors convolutions were given as weights."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def _rearranged(self, weight):
        self.weights.append(super()._rearranged(weight))
        return self.weights[-1]


def passed(module, images):
    """What comes out, and what comes back."""
    images = images.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    answer = module(images)
    return answer.detach(), torch.autograd.grad(answer.square().sum(), images)[0]


def test_answers_and_gradients_are_the_same_and_weights_are_rearranged_once():
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=2)).requires_grad_(False)
    images = torch.rand(2, 3, 12, 12)
    wanted = passed(module, images)
    before = [weight.stride() for weight in module.parameters()]
    mode = Seen()
    for _ in range(2):
        with mode:
            torch.testing.assert_close(passed(module, images), wanted)
    assert [weight.stride() for weight in module.parameters()] == before
    first, second = mode.weights[:2], mode.weights[2:]
    assert all(one is other for one, other in zip(first, second, strict=True))
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in first)


def test_weights_that_are_computed_in_each_pass_are_left_alone():
    module = parametrizations.weight_norm(nn.Conv2d(3, 8, 3)).requires_grad_(False)
    mode = Seen()
    with mode:
        passed(module, torch.rand(1, 3, 12, 12))
    assert mode.weights == []


class Products(TorchDispatchMode):
    """The shapes of the weights in matrix products of many matrices."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.bmm.default:
            self.weights.append(tuple(args[1].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("first", [True, False], ids=["pictures first", "tokens first"])
@pytest.mark.parametrize("keys", ["the same", "others"])
def test_attention_multiplies_all_tokens_with_its_weights_at_once_and_answers_as_before(first, keys):
    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=first)

        def forward(self, x):
            tokens = x.flatten(2).transpose(1, 2) if first else x.flatten(2).permute(2, 0, 1)
            others = tokens if keys == "the same" else tokens.flip(1 if first else 0)
            return self.attention(tokens, others, others, need_weights=False)[0]

    module, images = Attending().eval().requires_grad_(False), torch.rand(3, 8, 4, 5)
    wanted = passed(module, images)
    keeper = TwinKeeper(module, "n")
    torch.testing.assert_close(passed(keeper.get(), images), wanted)
    products = Products()
    with products:
        keeper.get()(images.clone().requires_grad_())
    assert not [shape for shape in products.weights if shape[-2:] in ((8, 8), (8, 24), (8, 16))]
