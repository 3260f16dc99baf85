"""The gradient methods against something else, in float64: Captum where it is right, else the definition, slowly.

Captum hooks modules, so it sees no functional ReLU, and treats a ReLU whose input feeds a second branch wrongly.
"""

import copy
import math
from contextlib import contextmanager
from unittest.mock import patch

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

import triscope as ts
from tests import nets
from triscope.network.backward_rules import GUIDED

METHODS = {
    "saliency": ts.saliency,
    "input_x_gradient": ts.input_x_gradient,
    "guided_backprop": ts.guided_backprop,
    "deconvnet": ts.deconvnet,
}
CLASSES = [3, 17]


class SlowReLU(torch.autograd.Function):
    """The three rules as their papers state them."""

    rule = "gradient"

    @staticmethod
    def forward(ctx, x, inplace=False, top=math.inf):
        ctx.save_for_backward(x)
        ctx.top = top
        return torch.where(x > 0, x, 0.0).clamp(max=top)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        active, positive = ((x > 0) & (x < ctx.top)).to(g), (g > 0).to(g)
        factor = {"gradient": active, "deconvnet": positive, "guided": active * positive}[SlowReLU.rule]
        return g * factor, None, None


@contextmanager
def slowly(rule):
    """Every ReLU is the slow one: `nn.ReLU` and torchvision call it as F.relu."""
    with patch.object(SlowReLU, "rule", rule), patch.object(F, "relu", SlowReLU.apply):
        yield


def written_slowly(module, images, classes, rule):
    images = images.clone().requires_grad_()
    with slowly(rule):
        scores = module(images)
        total = sum(scores[i, c] for i, c in enumerate(classes))
        return torch.autograd.grad(total, images)[0]


def reference(name, module, images, classes):
    rule = {"guided_backprop": "guided", "deconvnet": "deconvnet"}.get(name, "gradient")
    gradient = written_slowly(module, images, classes, rule)
    return as_ours(name, gradient, images)


def as_ours(name, gradient, images):
    if name == "saliency":
        return gradient.abs().amax(1, keepdim=True)
    return (gradient * images).sum(1, keepdim=True) if name == "input_x_gradient" else gradient


def captum_says(name, module, images, classes):
    explain = {
        "saliency": lambda: captum.attr.Saliency(module).attribute(images, target=classes, abs=False),
        "input_x_gradient": lambda: captum.attr.Saliency(module).attribute(images, target=classes, abs=False),
        "guided_backprop": lambda: captum.attr.GuidedBackprop(module).attribute(images, target=classes),
        "deconvnet": lambda: captum.attr.Deconvolution(module).attribute(images, target=classes),
    }[name]
    images = images.clone().requires_grad_()
    return as_ours(name, explain().detach(), images.detach())


def assert_equal(found, wanted):
    scale = wanted.abs().max()
    assert scale > 0
    assert (found - wanted).abs().max() <= 1e-6 * scale


def wrapped(module):
    return nn.Sequential(nets.Normalise(), module)


@pytest.fixture(scope="module", params=["alexnet", "vgg11_bn", "resnet18", "squeezenet1_1"])
def published(request):
    return nets.torchvision(request.param)


@pytest.mark.parametrize("name", METHODS)
# Captum warns that it sets hooks and gradients on what it is given; it is given a copy.
@pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks:UserWarning", "ignore:Input Tensor:UserWarning")
def test_equals_captum(published, name):
    images = torch.rand(2, 3, 64, 66, dtype=torch.float64)
    network = nets.network(published, size=(64, 66))
    heat = METHODS[name](network, images, ts.Logit(CLASSES))
    theirs = copy.deepcopy(published)
    for part in theirs.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # its hooks cannot stand in-place operations
    assert heat.values.dtype == torch.float64
    assert_equal(heat.values, captum_says(name, wrapped(theirs).eval(), images, CLASSES))
    torch.testing.assert_close(heat.scores, wrapped(theirs)(images)[[0, 1], CLASSES].detach())


FUNCTIONAL = ["googlenet", "densenet121"]


@pytest.fixture(scope="module", params=FUNCTIONAL)
def functional(request):
    return nets.torchvision(request.param)


@pytest.mark.parametrize("name", METHODS)
def test_functional_relus_follow_the_definition(functional, name):
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    heat = METHODS[name](nets.network(functional, size=(32, 48)), images, ts.Logit(CLASSES))
    assert_equal(heat.values, reference(name, wrapped(functional), images, CLASSES))


@pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks:UserWarning", "ignore:Input Tensor:UserWarning")
def test_captum_is_wrong_on_functional_relus():
    """Or else the definition would not be needed above."""
    module = nets.fill(nets.Forms(F.relu)).double().eval()
    images = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    theirs = captum_says("guided_backprop", wrapped(module), images, [1])
    ours = ts.guided_backprop(nets.network(module), images, 1).values
    assert (theirs - ours).abs().max() > 0.1 * ours.abs().max()


@pytest.mark.parametrize("name", METHODS)
def test_a_trained_network_written_with_functional_relu(shared, name):
    module = nets.CifarResNet20()
    module.load_state_dict(load_file(shared / "models/cifar_resnet20.safetensors"), strict=False)
    module.double().eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    heat = METHODS[name](nets.network(module, size=(32, 32)), images, ts.Logit([3, 7]))
    assert_equal(heat.values, reference(name, wrapped(module), images, [3, 7]))


def rectify(x):
    """Found anew at every call, so that it can be the slow one."""
    return F.relu(x)


FORMS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "x.relu()": lambda x: x.relu(),
    "x.relu_()": lambda x: x.relu_(),
    "x.clamp(min=0)": lambda x: x.clamp(min=0),
    "x.clamp(0)": lambda x: x.clamp(0),
    "x.clamp_(min=0)": lambda x: x.clamp_(min=0),
    "x.clamp_min(0)": lambda x: x.clamp_min(0),
    "torch.clamp": lambda x: torch.clamp(x, min=0.0),
    "torch.clamp_min_": lambda x: torch.clamp_min_(x, 0),
    "x.clip(min=0)": lambda x: x.clip(min=0),
    "Threshold": nn.Threshold(0, 0),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
}


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "saliency"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu(form, method):
    """`Forms` uses the same one twice, so this is a shared ReLU too."""
    relu = FORMS[form]
    module = nets.fill(nets.Forms(relu)).double()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    slow = nets.fill(nets.Forms(rectify)).double()
    heat = METHODS[method](nets.network(module), images, ts.Logit([0, 3]))
    assert_equal(heat.values, reference(method, wrapped(slow), images, [0, 3]))


@pytest.mark.parametrize("method", ["saliency", "guided_backprop", "deconvnet"])
@pytest.mark.parametrize(
    "form",
    [nn.ReLU6(), nn.ReLU6(inplace=True), F.relu6, lambda x: F.hardtanh(x, 0, 6), lambda x: x.clamp(0, 6)],
    ids=["module", "in place", "functional", "hardtanh", "clamp"],
)
def test_relu6(form, method):
    module = nets.fill(nets.Forms(form)).double()
    module.one.weight.data *= 20  # so that some units are above 6
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    slow = nets.Forms(lambda x: SlowReLU.apply(x, False, 6.0))
    slow.one, slow.two, slow.three = module.one, module.two, module.three
    assert (slow.one(nets.Normalise()(images)) > 6).any()
    heat = METHODS[method](nets.network(module), images, ts.Logit([0, 3]))
    assert_equal(heat.values, reference(method, wrapped(slow), images, [0, 3]))


@pytest.mark.parametrize("method", METHODS)
def test_a_relu_whose_input_feeds_a_second_branch(method):
    module = nets.fill(nets.PreActivation()).double()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    heat = METHODS[method](nets.network(module), images, ts.Logit([0, 3]))
    assert_equal(heat.values, reference(method, wrapped(module), images, [0, 3]))


@pytest.mark.parametrize(
    "relu",
    [lambda x: F.relu(x, inplace=True), nn.ReLU(inplace=True), lambda x: x.relu_(), lambda x: x.clamp_(min=0)],
    ids=["functional", "module", "method", "clamp"],
)
@pytest.mark.parametrize("method", ["saliency", "guided_backprop", "deconvnet"])
def test_an_in_place_relu_as_a_statement(relu, method):
    module = nets.fill(nets.Statement(relu)).double()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    heat = METHODS[method](nets.network(module), images, ts.Logit([0, 3]))
    torch.testing.assert_close(heat.scores, wrapped(module)(images)[[0, 1], [0, 3]].detach(), rtol=1e-12, atol=0)
    straight = nets.fill(nets.Forms(rectify)).double()
    straight.one, straight.two, straight.three = module.one, nn.Identity(), module.two
    # relu(relu(x)) is relu(x), and so is its message
    assert_equal(heat.values, reference(method, wrapped(straight), images, [0, 3]))


def test_an_inner_unit_and_an_inner_layer_follow_the_rule():
    """Guided backprop of a neuron, read at a layer: through the one ReLU that lies between."""
    module = nets.fill(nets.cnn(norm=False)).double().eval()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    found = ts.gradient(nets.network(module), images, ts.Neuron("3", 2, 1, 4), at="0", rule=GUIDED)
    hidden = module[0](nets.Normalise()(images)).detach().requires_grad_()
    with slowly("guided"):
        score = module[3](F.relu(hidden))[:, 2, 1, 4]
        (wanted,) = torch.autograd.grad(score.sum(), hidden)
    assert_equal(found.values, wanted)
    assert_equal(found.activations, hidden.detach())


def test_a_network_without_relu_is_refused():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ts.TriscopeError, match=r"none before this unit \(it has 1 gelu\)"):
        ts.guided_backprop(nets.network(nets.fill(module)), torch.rand(1, 3, 5, 7), 0)


def test_other_nonlinearities_are_counted():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    heat = ts.guided_backprop(nets.network(nets.fill(module)), torch.rand(1, 3, 5, 7), 0)
    assert heat.notes == ("Nonlinearities met: 1 ReLU, 1 silu; only ReLUs follow the rule.",)
