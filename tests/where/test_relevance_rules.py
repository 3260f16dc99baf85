"""Each rule of relevance propagation, written slowly over the matrix of a layer, and each operation by itself."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import triscope as ts
from tests import nets
from tests.where.test_truth import FORMS
from triscope.network.backward_rules import Call
from triscope.where.propagation.layer_rules import AlphaBeta, Epsilon, Flat, Gamma, WSquare, ZBox, ZPlus
from triscope.where.propagation.layers import LAYERS

STABILIZER = 1e-6


def double(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


LAYER_CALLS = {
    "linear": (F.linear, double(2, 3, 5), double(4, 5, seed=1), {}),
    "conv1d": (F.conv1d, double(2, 4, 9), double(6, 4, 3, seed=1), {"stride": 2, "padding": 1}),
    "conv2d": (F.conv2d, double(2, 4, 5, 6), double(6, 4, 3, 2, seed=1), {"padding": (1, 2), "dilation": 2}),
    "same": (F.conv2d, double(2, 4, 5, 6), double(6, 4, 2, 3, seed=1), {"padding": "same"}),
    "valid": (F.conv2d, double(2, 4, 5, 6), double(6, 4, 2, 3, seed=1), {"padding": "valid"}),
    "groups": (F.conv2d, double(2, 4, 5, 6), double(6, 2, 3, 3, seed=1), {"groups": 2}),
    "conv3d": (F.conv3d, double(1, 2, 4, 3, 3), double(3, 2, 2, 2, 2, seed=1), {}),
    "conv_transpose2d": (F.conv_transpose2d, double(2, 4, 3, 4), double(4, 3, 3, 2, seed=1), {"stride": 2}),
    "conv_transpose2d groups": (
        F.conv_transpose2d,
        double(2, 4, 3, 4),
        double(4, 3, 3, 2, seed=1),
        {"stride": 2, "groups": 2, "padding": 1, "output_padding": 1},
    ),
}


def matrix_of(function, shape):
    """The matrix (O, I) of a linear function of one thing of that shape."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    return torch.stack([function(one[None]).flatten() for one in basis], 1)


def stable(z):
    return z + STABILIZER * torch.where(z < 0, -1.0, 1.0)


def shared_out(contributions, bias, relevance):
    """What each input gets where output o shares out relevance by contributions (I, O)."""
    return (contributions / stable(contributions.sum(0) + bias) * relevance).sum(1)


def slowly(rule, x, w, b, relevance, bounds):
    """The rule for one input x (I), a matrix w (O, I), biases b (O), relevance (O)."""
    z = (x * w).T
    up, down = z.clamp(min=0), z.clamp(max=0)
    b_up, b_down = b.clamp(min=0), b.clamp(max=0)
    y = z.sum(0) + b
    match rule:
        case Epsilon(epsilon):
            found = (z / (y + epsilon * torch.where(y < 0, -1.0, 1.0)) * relevance).sum(1)
        case ZPlus():
            found = shared_out(up, b_up, relevance)
        case AlphaBeta(alpha):
            found = alpha * shared_out(up, b_up, relevance) - (alpha - 1) * shared_out(down, b_down, relevance)
        case Gamma(gamma):
            found = shared_out(z + gamma * up, b + gamma * b_up, relevance * (y > 0))
            found = found + shared_out(z + gamma * down, b + gamma * b_down, relevance * (y < 0))
        case WSquare():
            found = shared_out((w**2).T, b**2, relevance)
        case ZBox():
            low, high = bounds
            found = shared_out(z - (low * w.clamp(min=0)).T - (high * w.clamp(max=0)).T, 0.0, relevance)
        case Flat():
            found = shared_out((w != 0).to(w).T, 0.0, relevance)
    return found


RULES = [Epsilon(0.25), ZPlus(), AlphaBeta(2.0), AlphaBeta(3.0), Gamma(0.25), Flat(), WSquare(), ZBox()]
FIRST = (Flat, WSquare, ZBox)


@pytest.mark.parametrize("sign", ["either", "positive"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("kind", LAYER_CALLS)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
def test_a_rule_is_what_its_formula_says(kind, rule, bias, sign):
    function, x, weight, options = LAYER_CALLS[kind]
    x = (x if sign == "either" else x.abs()).requires_grad_()
    plain = function(x.detach(), weight, None, **options)
    axis = -1 if kind == "linear" else 1
    biases = double(plain.shape[axis], seed=2) if bias else None
    bounds = (x.detach() - 1, x.detach() + 2)
    call = Call(function, (x, weight, biases), options)
    layer = LAYERS[call.name](call, isinstance(rule, FIRST), bounds)
    y = rule.answer(layer)
    torch.testing.assert_close(y, function(x, weight, biases, **options))
    relevance = double(*y.shape, seed=3)
    (back,) = torch.autograd.grad(y, x, relevance / y)
    back = back if isinstance(rule, FIRST) else back * x
    matrix = matrix_of(lambda one: function(one, weight, None, **options), x.shape[1:])
    shift = function(torch.zeros_like(x), weight, biases, **options)
    for index in range(len(x)):
        wanted = slowly(
            rule,
            x[index].detach().flatten(),
            matrix,
            shift[index].detach().flatten(),
            relevance[index].flatten(),
            [bound[index].flatten() for bound in bounds],
        )
        torch.testing.assert_close(back[index].detach().flatten(), wanted, rtol=1e-7, atol=1e-9)


# Batch norms, and what else belongs to a layer


class Norms(nn.Module):
    """A convolution, a transposed one and a dense layer with batch norms, in one of the ways people write them."""

    def __init__(self, form):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, bias=False), nn.ConvTranspose2d(4, 6, 3, groups=2)
        self.three, self.head = nn.Linear(6, 8), nn.Linear(8, 5)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(6), nn.BatchNorm1d(8)])
        self.form = form

    def norm(self, x, index):
        norm = self.norms[index]
        if self.form == "module":
            return norm(x)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias - norm.running_mean * scale
        shape = (1, -1, 1, 1) if x.ndim == 4 else (-1,)
        scale, shift = scale.view(shape), shift.view(shape)
        if self.form == "products":
            return x * scale + shift
        return (x - -shift / scale) / (1 / scale)

    def forward(self, x):
        x = F.relu(self.norm(self.one(x), 0))
        x = F.relu(self.norm(self.two(x), 1)).mean((2, 3))
        return self.head(F.relu(self.norm(self.three(x), 2)))


class Folded(nn.Module):
    """The same with the batch norms folded by hand."""

    def __init__(self, norms):
        super().__init__()
        self.source = norms

    def weights(self, layer, index):
        norm = self.source.norms[index]
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = 0 if layer.bias is None else layer.bias
        if isinstance(layer, nn.ConvTranspose2d):  # inputs 0 and 1 lead to outputs 0 to 2, inputs 2 and 3 to 3 to 5
            weight = torch.stack([layer.weight[i] * scale[i // 2 * 3 : i // 2 * 3 + 3, None, None] for i in range(4)])
        else:
            weight = layer.weight * scale.view(-1, *(1,) * (layer.weight.ndim - 1))
        return weight, (bias - norm.running_mean) * scale + norm.bias

    def forward(self, x):
        source = self.source
        x = F.relu(F.conv2d(x, *self.weights(source.one, 0)))
        x = F.relu(F.conv_transpose2d(x, *self.weights(source.two, 1), groups=2)).mean((2, 3))
        return source.head(F.relu(F.linear(x, *self.weights(source.three, 2))))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-plus-flat", "gamma", "epsilon-gamma-box"])
@pytest.mark.parametrize("form", ["module", "products", "quotients"])
def test_batch_norms_are_folded_by_themselves(form, composite):
    module = nets.fill(Norms(form)).double().eval()
    for norm in module.norms:
        norm.weight.data[::2] *= -1
    images = torch.rand(2, 3, 7, 8, dtype=torch.float64)
    found, wanted = (
        ts.relevance(nets.network(one, size=(7, 8)), images, ts.Logit([0, 3]), composite=composite)
        for one in (module, Folded(module))
    )
    torch.testing.assert_close(found.values, wanted.values, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(found.scores, wanted.scores)
    assert found.notes == ()


def test_batch_norms_that_follow_no_layer_are_said():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(60, 5))
    heat = ts.relevance(nets.network(nets.fill(module)), torch.rand(1, 3, 5, 7), 0)
    assert "could not be folded into one: 1." in heat.notes[0]


# Forms of one thing


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat", "epsilon-gamma-box"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_relu(form, composite):
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    found, wanted = (
        ts.relevance(
            nets.network(nets.fill(nets.Forms(relu)).double()), images, ts.Logit([0, 3]), composite=composite
        ).values
        for relu in (FORMS[form], F.relu)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat"])
@pytest.mark.parametrize(
    "relu", [lambda x: F.relu(x, inplace=True), nn.ReLU(inplace=True), lambda x: x.relu_(), lambda x: x.clamp_(min=0)]
)
def test_an_in_place_relu_as_a_statement(relu, composite):
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    module = nets.fill(nets.Statement(relu)).double()
    straight = nn.Sequential(module.one, nn.ReLU(), module.two, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found, wanted = (
        ts.relevance(nets.network(one), images, ts.Logit([0, 3]), composite=composite).values
        for one in (module, straight)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


class Twice(nn.Module):
    """One convolution used twice, or two that are equal."""

    def __init__(self, shared):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        self.one = nn.Conv2d(4, 4, 3, padding=1)
        self.two = self.one if shared else nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.head(self.two(self.one(self.stem(x).relu()).relu()).relu().amax((2, 3)))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat"])
def test_shared_modules(composite):
    shared, apart = nets.fill(Twice(True)).double(), nets.fill(Twice(False)).double()
    apart.load_state_dict({**shared.state_dict(), "two.weight": shared.one.weight, "two.bias": shared.one.bias})
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    found, wanted = (ts.relevance(nets.network(one), images, 1, composite=composite).values for one in (shared, apart))
    assert torch.equal(found, wanted)


class Checkpointed(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.first, self.rest = module[:6], module[6:]

    def forward(self, x):
        return self.rest(checkpoint(self.first, x, use_reentrant=False))


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus-flat", "epsilon-gamma-box"])
@pytest.mark.parametrize("inplace", [True, False])
def test_checkpoints(inplace, composite):
    module, images = nets.fill(nets.cnn(inplace=inplace)), torch.rand(2, 3, 5, 7)
    found, wanted = (
        ts.relevance(nets.network(one), images, 1, composite=composite).values for one in (Checkpointed(module), module)
    )
    assert torch.equal(found, wanted)


def test_a_normalisation_inside_the_network_passes_relevance_on_unchanged():
    module, images = nets.fill(nets.cnn()).double(), torch.rand(2, 3, 5, 7, dtype=torch.float64)
    for composite in ("epsilon", "epsilon-plus-flat", "epsilon-gamma-box"):
        inside = nets.network(nn.Sequential(nets.Normalise(), module), mean=None, std=None)
        found = ts.relevance(inside, images, 1, composite=composite).values
        wanted = ts.relevance(nets.network(module), images, 1, composite=composite).values
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)


# What is said, and what is refused


def test_what_no_rule_is_known_for_is_counted():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x):
            return self.head(self.conv(x).logsumexp((2, 3)).logsumexp(1, keepdim=True).expand(-1, 4))

    heat = ts.relevance(nets.network(nets.fill(Odd())), torch.rand(1, 3, 5, 7), 0)
    assert heat.notes == (
        "Operations that no rule is known for: 2 logsumexp. Relevance passed through them by their gradient.",
    )


def test_a_network_without_layers_of_weights_is_refused():
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    with pytest.raises(ts.TriscopeError, match="has none before this unit"):
        ts.relevance(nets.network(Mean()), torch.rand(1, 3, 5, 7), 0)


def test_what_is_written_over_behind_our_back_is_refused():
    class Sly(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(60, 5)

        def forward(self, x):
            y = self.conv(x)
            y[:, :2].mul_(2)
            return self.head(y.flatten(1))

    with pytest.raises(ts.TriscopeError, match="writes over a part of a layer's output in place"):
        ts.relevance(nets.network(nets.fill(Sly())), torch.rand(1, 3, 5, 7), 0)


def test_z_box_says_where_it_cannot_follow():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

        def forward(self, x):
            x = x.clone()
            x[:, 0] = x[:, 1]
            return self.head(self.conv(x).mean((2, 3)))

    network, image = nets.network(nets.fill(Written())), torch.rand(1, 3, 5, 7)
    assert ts.relevance(network, image, 0, first="flat").values.any()
    with pytest.raises(ts.TriscopeError, match="Use first=flat instead"):
        ts.relevance(network, image, 0, first="z-box")
