"""Saliency equals autograd's gradient of the wrapped forward for every kind of output and objective."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import triscope as ts
from tests import nets

SIZE = 24
MASK = torch.zeros(6, 6)
MASK[1:3, 2:5] = 1
TOWARDS = torch.linspace(-1, 1, 5, dtype=torch.float64)
TEXTS = F.normalize(torch.tensor([[1.0, 2, 3, 4, 5], [5, -4, 3, -2, 1], [0, 1, 0, -1, 0]], dtype=torch.float64), dim=1)


class Body(nn.Module):
    """A map of five numbers on 6 x 6 positions; its parts are what the kinds of output are made of."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix, self.norm = nn.Conv2d(3, 5, 4, 4), nn.Conv2d(5, 5, 3, padding=1), nn.LayerNorm(5)
        self.first = nn.Parameter(torch.randn(1, 1, 5))

    def maps(self, x):
        return self.mix(F.gelu(self.conv(x)))

    def vector(self, x):
        return 8 * self.maps(x).mean((2, 3))

    def tokens(self, x):
        tokens = self.maps(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1) + tokens.mean(1, keepdim=True), tokens], 1)
        return self.norm(tokens)

    def boxes(self, x):
        """Centre, size and scores of 36 boxes, whose places do not depend on the image."""
        rows = torch.arange(36, dtype=x.dtype) // 6 * 4 + 2
        cols = torch.arange(36, dtype=x.dtype) % 6 * 4 + 2
        form = torch.stack([cols, rows, cols * 0 + 4, cols * 0 + 4], 1).expand(len(x), -1, -1)
        return form, self.maps(x).flatten(2).transpose(1, 2).sigmoid()


@dataclass
class Returned:
    """What a library may return."""

    logits: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class Kind:
    """A kind of output: the module, the arguments of `Network`, the objective, and the score written out."""

    forward: Callable[..., Any]
    ask: Any
    score: Callable[[Any], Tensor]
    said: dict[str, Any] | None = None


def box(y):
    _, scores = y
    return scores[:, 7, 2]  # the second row and column: rows and columns 4 to 8


KINDS = {
    "tensor": Kind(lambda m, x: m.vector(x), ts.Logit(2), lambda y: y[:, 2]),
    "probability of a class": Kind(lambda m, x: m.vector(x), ts.unit("prob:2"), lambda y: y.softmax(1)[:, 2]),
    "one of dict": Kind(lambda m, x: {"logits": m.vector(x), "n": 3}, ts.Logit(1), lambda y: y["logits"][:, 1]),
    "logits of a dataclass": Kind(
        lambda m, x: Returned(m.vector(x), m.maps(x)), ts.Logit(1), lambda y: y.logits[:, 1]
    ),
    "one of a tuple": Kind(lambda m, x: (m.vector(x),), ts.Logit(1), lambda y: y[0][:, 1]),
    "said of a tuple": Kind(
        lambda m, x: (m.maps(x), m.vector(x)), ts.Logit(1), lambda y: y[1][:, 1], {"output": 1}
    ),
    "function": Kind(
        lambda m, x: [m.maps(x), 0], ts.Logit(3), lambda y: y[0].amax((2, 3))[:, 3],
        {"output": lambda y: y[0].amax((2, 3))},
    ),
    "one number, (B,)": Kind(lambda m, x: m.vector(x)[:, 0], ts.Logit(0), lambda y: y),
    "probabilities": Kind(lambda m, x: m.vector(x).softmax(1), ts.unit("prob:4"), lambda y: y[:, 4]),
    "binary": Kind(
        lambda m, x: m.vector(x)[:, :1], ts.unit("prob:0"), lambda y: y.sigmoid()[:, 0], {"task": "binary"}
    ),
    "labels": Kind(lambda m, x: m.vector(x), ts.unit("prob:3"), lambda y: y.sigmoid()[:, 3], {"task": "labels"}),
    "embedding, its likeness": Kind(
        lambda m, x: m.vector(x), ts.Similarity("output", TOWARDS),
        lambda y: F.cosine_similarity(y, TOWARDS[None], dim=1), {"task": "embedding"},
    ),
    "texts as classes": Kind(
        lambda m, x: m.vector(x), ts.Logit("a dog"), lambda y: 10 * F.normalize(y, dim=1) @ TEXTS[1],
        {"output": lambda y: 10 * F.normalize(y, dim=1) @ TEXTS.T, "classes": ["a cat", "a dog", "a cow"]},
    ),
    "maps, everywhere": Kind(lambda m, x: m.maps(x), ts.Pixels(2), lambda y: y[:, 2].mean((1, 2))),
    "maps, a mask": Kind(lambda m, x: m.maps(x), ts.Pixels(2, MASK), lambda y: y[:, 2, 1:3, 2:5].mean((1, 2))),
    "maps, a box": Kind(
        lambda m, x: m.maps(x), ts.unit("output:3@1,2,4,6"), lambda y: y[:, 3, 1:4, 2:6].mean((1, 2))
    ),
    "maps, a position": Kind(lambda m, x: m.maps(x), ts.unit("output:3@4,1"), lambda y: y[:, 3, 4, 1]),
    "maps, where predicted": Kind(
        lambda m, x: m.maps(x), ts.Pixels(1, "predicted"),
        lambda y: (y[:, 1] * (y.argmax(1) == 1)).sum((1, 2)) / (y.argmax(1) == 1).sum((1, 2)),
    ),
    "boxes": Kind(
        lambda m, x: m.boxes(x), ts.Box(2, (4, 4, 8, 8)), box,
        {"task": "boxes", "output": lambda y: ts.detections(*y, form="cxcywh")},
    ),
    "a channel of the class token": Kind(lambda m, x: m.tokens(x), ts.unit("norm:3@class"), lambda y: y[:, 0, 3]),
    "a channel of a token": Kind(lambda m, x: m.tokens(x), ts.unit("norm:3@token5"), lambda y: y[:, 5, 3]),
    "a second input": Kind(
        lambda m, x, other: m.vector(x) + m.vector(other), ts.Logit(1), lambda y: y[:, 1],
        {"call": lambda m, x: m(x, x.flip(3))},
    ),
    "a keyword": Kind(
        lambda m, *, pixels: m.vector(pixels), ts.Logit(1), lambda y: y[:, 1], {"call": lambda m, x: m(pixels=x)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_saliency_is_the_gradient_of_the_wrapped_forward(name):
    kind = KINDS[name]
    torch.manual_seed(2)
    module = type("Asked", (Body,), {"forward": kind.forward})().double()
    said = kind.said or {}
    network = ts.Network(module, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), size=SIZE, **said)
    images = torch.rand(3, 3, SIZE, SIZE, dtype=torch.float64)
    heat = ts.saliency(network, images, kind.ask)
    leaf = images.clone().requires_grad_()
    call = said.get("call", lambda m, x: m(x))
    scores = kind.score(call(module, nets.Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))(leaf)))
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    wanted = gradient.abs().amax(1, keepdim=True)
    assert wanted.any()
    assert (heat.scores - scores).abs().max() <= 1e-6 * scores.abs().max()
    assert (heat.values - wanted).abs().max() <= 1e-6 * wanted.abs().max()
