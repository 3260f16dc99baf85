"""Relevance propagation against zennit where it is right, against LXT, and against the papers written slowly.

zennit (0.5) is given networks whose batch norms PyTorch folded: its own canonizers leave each a factor
1 / sqrt(1 + 1e-5). And it stabilizes sums and mean pooling, where we divide by nothing: that is switched off.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import triscope as ts
from tests import nets
from triscope.network.loading._torchvision import import_torchvision

EPSILON = 1e-6
CLASSES = [3, 17]
COMPOSITES = {
    "epsilon-plus-flat": "EpsilonPlusFlat",
    "epsilon-plus": "EpsilonPlus",
    "epsilon-alpha2-beta1-flat": "EpsilonAlpha2Beta1Flat",
    "epsilon-alpha2-beta1": "EpsilonAlpha2Beta1",
    "epsilon-gamma-box": "EpsilonGammaBox",
    "epsilon": None,
    "gamma": None,
}


def assert_equal(found, wanted, tolerance=1e-9):
    scale = wanted.abs().max()
    assert scale > 0
    assert (found - wanted).abs().max() <= tolerance * scale


def folded(module):
    """A copy whose batch norms are part of the convolutions before them, and whose ReLUs are not in place."""
    module = copy.deepcopy(module)
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.ReLU):
            part.inplace = False
        if isinstance(part, nn.Conv2d):
            before = path
        if isinstance(part, nn.BatchNorm2d):
            module.set_submodule(before, fuse_conv_bn_eval(module.get_submodule(before), part))
            module.set_submodule(path, nn.Identity())
    return module


def zennit_says(module, images, classes, name):
    import_torchvision()  # zennit imports it, which fails where its compiled half does not fit PyTorch
    pytest.importorskip("zennit")
    from zennit import composites, rules, types
    from zennit.attribution import Gradient
    from zennit.layer import Sum
    from zennit.torchvision import ResNetCanonizer

    exact = [((Sum, types.AvgPool), rules.Norm(1e-14))]
    given = {"canonizers": [ResNetCanonizer()]}
    normalise = nets.Normalise()
    if name == "epsilon-gamma-box":
        given |= {"low": normalise(torch.zeros_like(images)), "high": normalise(torch.ones_like(images))}
    if COMPOSITES[name]:
        composite = getattr(composites, COMPOSITES[name])(layer_map=exact, **given)
    else:
        rule = rules.Epsilon(EPSILON) if name == "epsilon" else rules.Gamma(0.25)
        layers = [(types.Activation, rules.Pass()), (types.Linear, rule)]
        composite = composites.LayerMapComposite([*exact, *layers], **given)
    asked = F.one_hot(torch.tensor(classes), 20).to(images)
    with Gradient(model=folded(module), composite=composite) as attributor:
        _, relevance = attributor(normalise(images).requires_grad_(), lambda output: output * asked)
    return relevance


@pytest.fixture(scope="module", params=["vgg11_bn", "resnet18"])
def published(request):
    return nets.torchvision(request.param)


@pytest.mark.parametrize("name", COMPOSITES)
def test_equals_zennit(published, name):
    images = torch.rand(2, 3, 32, 34, dtype=torch.float64)
    heat = ts.relevance(
        nets.network(published, size=(32, 34)), images, ts.Logit(CLASSES), composite=name, channels="keep"
    )
    assert heat.values.dtype == torch.float64
    assert_equal(heat.values, zennit_says(published, images, CLASSES, name))
    assert heat.notes == ()


def normalised_input_x_gradient(module, images, classes):
    inputs = nets.Normalise()(images).requires_grad_()
    scores = module(inputs)
    (gradient,) = torch.autograd.grad(sum(scores[i, c] for i, c in enumerate(classes)), inputs)
    return (inputs * gradient).detach().sum(1, keepdim=True)


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18", "squeezenet1_1", "googlenet", "densenet121"])
def test_with_epsilon_0_it_is_the_normalised_input_times_the_gradient(name):
    """Ancona et al., 2018: for linear layers, ReLUs, pooling and sums, in whatever form."""
    module = nets.torchvision(name)
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    network = nets.network(module, size=(32, 48))
    heat = ts.relevance(network, images, ts.Logit(CLASSES), composite="epsilon", epsilon=0.0)
    assert_equal(heat.values, normalised_input_x_gradient(module, images, CLASSES))


def test_a_trained_network_written_with_functional_relu(shared):
    module = nets.CifarResNet20()
    module.load_state_dict(load_file(shared / "models/cifar_resnet20.safetensors"), strict=False)
    module.double().eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    heat = ts.relevance(nets.network(module, size=(32, 32)), images, ts.Logit([3, 7]), composite="epsilon", epsilon=0.0)
    assert_equal(heat.values, normalised_input_x_gradient(module, images, [3, 7]))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "gamma", "epsilon-gamma-box"])
def test_without_biases_it_sums_to_the_score(composite):
    """Normalisation passes relevance on unchanged, so the mean of the images does not matter either."""
    module = nets.fill(nets.cnn(norm=False)).double()
    for part in module.modules():
        if getattr(part, "bias", None) is not None:
            part.bias = None
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    heat = ts.relevance(nets.network(module), images, ts.Logit([0, 3]), composite=composite, epsilon=1e-9)
    torch.testing.assert_close(heat.values.sum((1, 2, 3)), heat.scores, rtol=1e-4, atol=0)


# Attention


def linear_back(layer, x, relevance, y):
    """Eq. 8 of Achtibat et al.: the epsilon rule."""
    return x * ((relevance / (y + EPSILON * torch.where(y < 0, -1.0, 1.0).to(y))) @ layer.weight)


def norm_back(norm, x, relevance, y):
    """Eq. 8 for y_j = sum_i J_ji x_i + shift_j, the deviation being a constant."""
    deviation = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    width = x.shape[-1]
    jacobian = (torch.eye(width, dtype=x.dtype) - 1 / width) * (norm.weight / deviation)[..., :, None]
    return (jacobian * x[..., None, :] * (relevance / y)[..., :, None]).sum(-2)


def attention_back(attention, x, relevance):
    """Propositions 3.1 and 3.3: softmax, and products of matrices by halves."""
    batch, tokens, _ = x.shape
    qkv = attention.qkv(x)
    q, k, v = qkv.reshape(batch, tokens, 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
    raw = q @ k.transpose(-2, -1)
    scaled = raw * q.shape[-1] ** -0.5
    p = scaled.softmax(-1)
    o = p @ v
    joined = o.transpose(1, 2).reshape(x.shape)
    back = linear_back(attention.proj, joined, relevance, attention.proj(joined))
    back = back.reshape(batch, tokens, 2, -1).transpose(1, 2) / (2 * o)
    to_p, to_v = p * (back @ v.transpose(-2, -1)), v * (p.transpose(-2, -1) @ back)
    to_scores = scaled * (to_p - p * to_p.sum(-1, keepdim=True))
    back = to_scores / (2 * raw)
    to_q, to_k = q * (back @ k), k * (back.transpose(-2, -1) @ q)
    to_qkv = torch.stack([to_q, to_k, to_v]).permute(1, 3, 0, 2, 4).reshape(batch, tokens, -1)
    return linear_back(attention.qkv, x, to_qkv, qkv)


@torch.no_grad()
def vit_slowly(module, inputs, classes):
    """Relevance of the patch embedding of a `nets.ViT`, (B, width, rows, columns)."""
    patches = module.patches(inputs)
    embedded = torch.cat([module.token.expand(len(inputs), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    at = [embedded + module.place]
    for block in module.blocks:
        at.append(at[-1] + block["attention"](block["norm1"](at[-1])))
        at.append(at[-1] + block["mlp"](block["norm2"](at[-1])))
    last = module.norm(at[-1])
    scores = module.head(last[:, 0])
    relevance = torch.zeros_like(last)
    asked = scores * F.one_hot(torch.tensor(classes), scores.shape[1])
    relevance[:, 0] = linear_back(module.head, last[:, 0], asked, scores)
    relevance = norm_back(module.norm, at[-1], relevance, last)
    for index, block in reversed(list(enumerate(module.blocks))):
        x, middle, y = at[2 * index : 2 * index + 3]
        normed = block["norm2"](middle)
        up, _, down = block["mlp"]
        hidden = up(normed)
        active = F.gelu(hidden)
        to_active = linear_back(down, active, relevance * (y - middle) / y, down(active))
        to_normed = linear_back(up, normed, to_active, hidden)  # eq. 9: an activation passes relevance on
        relevance = relevance * middle / y + norm_back(block["norm2"], middle, to_normed, normed)
        normed = block["norm1"](x)
        to_normed = attention_back(block["attention"], normed, relevance * (middle - x) / middle)
        relevance = relevance * x / middle + norm_back(block["norm1"], x, to_normed, normed)
    return (relevance * embedded / at[0])[:, 1:].transpose(1, 2).reshape(patches.shape)


def at_the_pixels(patches, inputs, relevance, rule):
    x = (torch.ones_like(inputs) if rule == "flat" else inputs.clone()).requires_grad_()
    y = F.conv2d(x, torch.ones_like(patches.weight), None, 4) if rule == "flat" else patches(x)
    (back,) = torch.autograd.grad(y, x, relevance / (y + EPSILON * torch.where(y < 0, -1.0, 1.0).to(y)))
    return (back * x).detach()


@pytest.mark.parametrize(("composite", "rule"), [("epsilon", "epsilon"), ("epsilon-plus-flat", "flat")])
@pytest.mark.parametrize("form", ["fused", "eager", "module"])
def test_a_vision_transformer_follows_the_paper(form, composite, rule):
    module = nets.fill(nets.ViT(form)).double().eval()
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    network = nets.network(module, size=(12, 16))
    heat = ts.relevance(network, images, ts.Logit([1, 3]), composite=composite, channels="keep")
    inputs = nets.Normalise()(images)
    assert_equal(heat.values, at_the_pixels(module.patches, inputs, vit_slowly(module, inputs, [1, 3]), rule))
    assert heat.notes == ()


class Passing(torch.autograd.Function):
    """GELU that passes relevance on, as LXT's identity rule does."""

    @staticmethod
    def forward(ctx, x):
        return F.gelu(x)

    @staticmethod
    def backward(ctx, relevance):
        return relevance


def test_the_paper_written_slowly_is_what_lxt_does():
    """LXT propagates relevance itself through functions of its own, of which the transformer is built here."""
    import_torchvision()
    pytest.importorskip("lxt")
    import lxt.explicit.functional as lxt

    def linear(layer, x):
        return lxt.linear_epsilon(x, layer.weight, layer.bias, 1e-12)

    def norm(layer, x):
        return lxt.layer_norm(x, layer.weight, layer.bias, layer.eps)  # with an epsilon of 1e-6 that stands fast

    def add(one, other):
        return lxt.add2(one, other, False, 1e-12)

    def attend(part, x):
        q, k, v = linear(part.qkv, x).reshape(*x.shape[:2], 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = lxt.mul2(lxt.matmul(q, k.transpose(-2, -1), False, 1e-12), q.shape[-1] ** -0.5)
        y = lxt.matmul(lxt.softmax(scores, -1), v, False, 1e-12)
        return linear(part.proj, y.transpose(1, 2).reshape(x.shape))

    module = nets.fill(nets.ViT()).double().eval()
    inputs = nets.Normalise()(torch.rand(2, 3, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    patches = module.patches(inputs).detach().requires_grad_()
    x = torch.cat([module.token.expand(2, -1, -1), patches.flatten(2).transpose(1, 2)], 1)
    x = add(x, module.place.expand_as(x))
    for block in module.blocks:
        x = add(x, attend(block["attention"], norm(block["norm1"], x)))
        up, _, down = block["mlp"]
        x = add(x, linear(down, Passing.apply(linear(up, norm(block["norm2"], x)))))
    scores = linear(module.head, norm(module.norm, x)[:, 0])
    (relevance,) = torch.autograd.grad(scores, patches, scores.detach() * F.one_hot(torch.tensor([1, 3]), 5))
    assert_equal(vit_slowly(module, inputs, [1, 3]), relevance, 1e-4)
