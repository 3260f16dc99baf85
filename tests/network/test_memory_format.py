"""Weights are rearranged once, and only for the passes inside."""

import torch
from torch import nn
from torch.nn.utils import parametrizations

from triscope.network.memory_format import ChannelsLastWeights


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
