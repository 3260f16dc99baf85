"""Layers and outputs of complex, integer, boolean, sparse or nested tensors."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import TriscopeError

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))


class Odd(nn.Module):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x):
        return self.made(x)


class Inner(nn.Module):
    """Between two convolutions, `odd` gives what `made` makes of maps; `back` makes maps of it."""

    def __init__(self, made, back):
        super().__init__()
        self.stem, self.odd, self.back = nn.Conv2d(3, 4, 3, 2, 1), Odd(made), back
        self.body, self.head = nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.body(self.back(self.odd(self.stem(x)))).relu().mean((2, 3)))


INNER = {
    "complex numbers": (torch.fft.fft2, lambda y: torch.fft.ifft2(y).real),
    "whole numbers (int64)": (lambda y: (10 * y).long(), lambda y: y.float()),
    "yes or no": (lambda y: y > 0, lambda y: y.float()),
    "a tensor that is not dense (torch.sparse_coo)": (lambda y: y.to_sparse(), lambda y: y.to_dense()),
    "a tensor that is not dense (torch._mkldnn)": (lambda y: y.to_mkldnn(), lambda y: y.to_dense()),
    "a nested tensor": (
        lambda y: torch.nested.as_nested_tensor(list(y)), lambda y: torch.nested.to_padded_tensor(y, 0.0)
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("said", INNER)
@torch.no_grad()
def test_a_layer_of_other_numbers_is_listed_and_refused_and_the_rest_is_answered(said):
    module = nets.fill(Inner(*INNER[said])).eval()
    net = ts.Network(module, size=16)
    assert net.layers["odd"].note == f"gives {said}"
    for ask in (lambda: ts.activations(net, IMAGES[:1], "odd"), lambda: ts.saliency(net, IMAGES, ts.unit("odd:1"))):
        with pytest.raises(TriscopeError, match=r"odd gives .*, so it cannot be used"):
            ask()
    seen = net.look(IMAGES, ["body", "output"])
    torch.testing.assert_close(seen["output"], module(IMAGES))
    assert net.layers["body"].layout.kind in ("maps", "other")


OUTPUTS = {
    "whole numbers": lambda scores: scores.argmax(1),
    "yes or no": lambda scores: scores > 0,
    "complex numbers": lambda scores: torch.complex(scores, scores),
    "not dense": lambda scores: scores.to_sparse(),
}


@pytest.mark.parametrize("said", OUTPUTS)
def test_an_output_of_other_numbers_is_none_and_the_layers_before_it_can_be_asked(said):
    module = nets.fill(nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())).eval()
    net = ts.Network(module, size=16, output=OUTPUTS[said])
    assert "output" not in net.layers
    for ask in (ts.predict, ts.saliency):
        with pytest.raises(TriscopeError, match=rf"no scores of classes: it gives .*{said}.*output=.*LAYER:CHANNEL"):
            ask(net, IMAGES)
    assert ts.saliency(net, IMAGES, ts.unit("0:1")).values.isfinite().all()


class Similar(nn.Module):
    """How alike its images are: as many numbers for each as there are images."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2)

    def forward(self, x):
        found = F.normalize(self.conv(x).relu().mean((2, 3)), dim=1)
        return found @ found.T


def test_numbers_of_pairs_of_pictures_are_refused():
    net = ts.Network(nets.fill(Similar()).eval(), size=16)
    for images in (IMAGES, IMAGES[:1]):
        for ask in (ts.predict, ts.saliency):
            with pytest.raises(TriscopeError, match="it gives as many numbers for each image as there are images"):
                ask(net, images)
    assert "output" not in net.layers


def test_two_classes_are_no_pairs_of_pictures():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    net = ts.Network(nets.fill(module).eval(), size=16)
    assert net.layers["output"].shape == (2,)
    assert ts.predict(net, IMAGES[:1], k=2).values.shape == (1, 2)


class Lengthening(nn.Module):
    """Gives more numbers for each image the more images there are."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2)

    def forward(self, x):
        return self.conv(x).mean((2, 3)).repeat(1, len(x))


def test_numbers_that_depend_on_how_many_pictures_there_are_are_refused():
    net = ts.Network(nets.fill(Lengthening()).eval(), size=16)
    assert len(net.layers) == 2
    with pytest.raises(TriscopeError, match="gives 8 numbers for each of two images, and 4 for each of 1, so they"):
        ts.saliency(net, IMAGES[:1], 1)


class Mapped(nn.Module):
    """Each image by itself, by `torch.func.vmap`."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, 2), nn.Linear(4, 5)

    def forward(self, x):
        return torch.func.vmap(lambda one: self.head(self.conv(one[None]).relu().mean((2, 3)))[0])(x)


class Tempered(nn.Module):
    """Its first weight is a single number of another precision than the rest."""

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, x):
        return self.net(x) / self.temperature.float()


@pytest.mark.parametrize("make", [Mapped, Tempered])
def test_scores_and_gradients_are_those_of_autograd(make):
    module = make().eval()
    leaf = IMAGES.clone().requires_grad_()
    scores = copy.deepcopy(module)(leaf)[:, 1]
    (wanted,) = torch.autograd.grad(scores.sum(), leaf)
    net = ts.Network(module, size=16)
    assert net.layers["output"].shape == (5,)
    heat = ts.saliency(net, IMAGES, 1)
    torch.testing.assert_close(heat.values, wanted.abs().amax(1, keepdim=True))
    torch.testing.assert_close(heat.scores, scores.detach())
