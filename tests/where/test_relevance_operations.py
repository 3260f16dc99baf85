"""What relevance propagation does at operations without weights, each by itself: R = y handed to its inputs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import nets
from tests.where.test_relevance_rules import double
from triscope.network.backward_rules import following
from triscope.where.propagation.composites import Composite
from triscope.where.propagation.layer_rules import Epsilon
from triscope.where.propagation.relevance_rule import RelevanceRule


def handed_down(function, *inputs):
    """The relevance of each input of a function, behind layers of weights, where all of y is given R = y."""
    inputs = [one.clone().requires_grad_() for one in inputs]
    rule = RelevanceRule(Composite(Epsilon(0.0), Epsilon(0.0)))
    with following(rule) as tally:
        y = function(*(F.linear(one, torch.eye(one.shape[-1], dtype=one.dtype)) for one in inputs))
    back = torch.autograd.grad(y, inputs, torch.ones_like(y), allow_unused=True)
    # The first layer hands down relevance itself.
    return (
        y.detach(),
        [one if one is not None else torch.zeros_like(x) for one, x in zip(back, inputs, strict=True)],
        tally,
    )


ACTIVATIONS = [F.gelu, F.silu, F.mish, F.hardswish, F.elu, F.relu6, torch.tanh, F.softplus, torch.sigmoid, F.leaky_relu]


@pytest.mark.parametrize("function", ACTIVATIONS, ids=lambda function: function.__name__)
def test_an_activation_passes_relevance_on(function):
    y, (relevance,), tally = handed_down(function, 3 * double(4, 5))
    torch.testing.assert_close(relevance, y)
    assert not tally.others


@pytest.mark.parametrize(
    "silu", [F.silu, lambda x: x * x.sigmoid(), lambda x: x.mul(torch.sigmoid(x)), lambda x: F.silu(x, inplace=True)]
)
def test_an_activation_written_by_hand(silu):
    y, (relevance,), _ = handed_down(silu, double(4, 5))
    torch.testing.assert_close(relevance, y)


def test_a_product_halves_relevance():
    y, (one, other), _ = handed_down(torch.mul, double(4, 5), double(4, 5, seed=1))
    torch.testing.assert_close(one, y / 2)
    torch.testing.assert_close(other, y / 2)


@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid, lambda x: x.sigmoid()[:, None].squeeze(1)])
def test_a_gate_gets_nothing(gate):
    y, (signal, gated), _ = handed_down(lambda x, g: x * gate(g), double(4, 5), double(4, 5, seed=1))
    torch.testing.assert_close(signal, y)
    assert not gated.any()


def test_a_quotient_passes_relevance_to_its_numerator():
    y, (above, below), _ = handed_down(torch.div, double(4, 5), double(4, 5, seed=1))
    torch.testing.assert_close(above, y)
    assert not below.any()


NORMS = {
    "layer norm": (
        lambda x: F.layer_norm(x, (6,), torch.arange(1.0, 7).to(x), torch.ones(6).to(x)),
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        * torch.arange(1.0, 7).to(x) + 1,
    ),
    "rms norm": (
        lambda x: F.rms_norm(x, (6,), torch.arange(1.0, 7).to(x), 1e-5),
        lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * torch.arange(1.0, 7).to(x),
    ),
    "normalize": (lambda x: F.normalize(x, dim=-1), lambda x: x / x.norm(dim=-1, keepdim=True)),
    "group norm": (
        lambda x: F.group_norm(x, 2, torch.arange(1.0, 5).to(x)),
        lambda x: (
            (x.reshape(len(x), 2, -1) - x.reshape(len(x), 2, -1).mean(-1, keepdim=True))
            / (x.reshape(len(x), 2, -1).var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
        ).reshape(x.shape) * torch.arange(1.0, 5).to(x)[:, None],
    ),
    "instance norm": (
        F.instance_norm,
        lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_a_normalisation_by_hand_is_one(name):
    """By hand, its deviation is a root of squares of x, which would be given relevance if it were no constant."""
    library, by_hand = NORMS[name]
    x = double(3, 4, 6)
    (y, (found,), tally), (same, (wanted,), _) = handed_down(library, x), handed_down(by_hand, x)
    torch.testing.assert_close(y, same)
    torch.testing.assert_close(found, wanted)
    assert not tally.others


@pytest.mark.parametrize("masked", [None, "bool", "float", "causal"])
def test_fused_attention_is_its_parts(masked):
    q, k, v = (double(2, 3, 5, 4, seed=seed) for seed in range(3))
    mask = {"bool": torch.rand(5, 5) < 0.7, "float": double(5, 5, seed=4), "causal": torch.ones(5, 5).tril() > 0}
    mask["bool"][:, 0] = True
    given = {"is_causal": True} if masked == "causal" else {"attn_mask": mask.get(masked)}

    def parts(q, k, v):
        scores = q @ k.transpose(-2, -1) / 2
        if masked == "float":
            scores = scores + mask["float"]
        elif masked:
            scores = scores.masked_fill(~mask[masked], -torch.inf)
        return scores.softmax(-1) @ v

    fused = handed_down(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **given), q, k, v)
    apart = handed_down(parts, q, k, v)
    torch.testing.assert_close(fused[0], apart[0])
    for found, wanted in zip(fused[1], apart[1], strict=True):
        torch.testing.assert_close(found, wanted)


MULTI_HEAD = {
    "self": {},
    "cross": {"cross": True},
    "separate": {"kdim": 6, "vdim": 3, "cross": True},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
}


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("kind", MULTI_HEAD)
def test_multi_head_attention_taken_apart_says_the_same(kind, weights):
    options = dict(MULTI_HEAD[kind])
    cross = options.pop("cross", False)
    module = nets.fill(nn.MultiheadAttention(8, 2, **options)).double().eval().requires_grad_(False)
    query = double(5, 2, 8)
    key = double(4, 2, options.get("kdim", 8), seed=1) if cross else query
    value = double(4, 2, options.get("vdim", 8), seed=2) if cross else query
    padding = torch.zeros(2, 4, dtype=torch.bool) if cross else None
    if padding is not None:
        padding[1, 2:] = True
    mask = torch.ones(5, 4).triu(2).bool() if cross else None
    if "batch_first" in options:
        query = key = value = query.transpose(0, 1)
    given = {"need_weights": weights, "key_padding_mask": padding, "attn_mask": mask}
    wanted, attention = module(query, key, value, **given)
    wanting = query.clone().requires_grad_()
    others = (key, value) if cross else (wanting, wanting)
    rule = RelevanceRule(Composite(Epsilon(0.0), Epsilon(0.0)))
    with following(rule) as tally:
        found, seen = module(wanting, *others, **given)
    torch.testing.assert_close(found, wanted)
    assert tally.followed["dense layer"] >= 2
    assert (seen is None) is not weights
    if weights:
        torch.testing.assert_close(seen, attention)


def test_a_power_of_what_depends_on_the_image_is_counted_and_does_not_fail():
    _, (relevance,), tally = handed_down(lambda x: torch.pow(2.0, x), double(4, 5))
    assert relevance.isfinite().all()
    assert tally.others == {"pow": 1}
