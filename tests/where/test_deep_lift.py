"""DeepLIFT against Captum where it is right, against each rule written slowly, and against its own completeness.

Captum (0.9) hands a ReLU that a max pooling follows the ordinary gradient: the hooks of both sit on one tensor. Here it
is given a step in between. It adds up overlapping windows wrongly, uses the first image's slopes for all where maxima
are alike, and takes no functional operation and no module that is used twice.
"""

import copy

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import triscope as ts
from tests import nets
from triscope.network.backward_rules import following
from triscope.where.propagation.rescale import Recording, Rescale


def double(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_equal(found, wanted, tolerance=1e-9):
    scale = wanted.abs().max()
    assert scale > 0
    assert (found - wanted).abs().max() <= tolerance * scale


class Once(nn.Module):
    """Another tensor of the same numbers."""

    def forward(self, x):
        return x * 1


def captum_says(module, images, baselines, classes):
    module = copy.deepcopy(module)
    for path, part in list(module.named_modules()):
        if isinstance(part, nn.ReLU):
            part.inplace = False
        if isinstance(part, nn.MaxPool2d):
            module.set_submodule(path, nn.Sequential(Once(), part))
    explained = captum.attr.DeepLift(nn.Sequential(nets.Normalise(), module).eval())
    return explained.attribute(images, baselines, target=classes).detach()


TAIL = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
NETWORKS = {
    "relus": lambda: nets.cnn(inplace=False),
    "others": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ELU(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 1), nn.Sigmoid(),
        nn.Conv2d(8, 8, 1), nn.LeakyReLU(), nn.Conv2d(8, 8, 1), nn.Softplus(), *TAIL,
    ),
    "pooling": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 8, 1), nn.ReLU(), *TAIL),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning", "ignore:Input Tensor:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_captum(name):
    module = nets.fill(copy.deepcopy(NETWORKS[name]())).double().eval()
    images = torch.rand(2, 3, 8, 10, dtype=torch.float64)
    heat = ts.deep_lift(nets.network(module, size=(8, 10)), images, ts.Logit([1, 3]), baseline="grey", channels="keep")
    assert_equal(heat.values, captum_says(module, images, torch.full_like(images, 0.5), [1, 3]))
    assert "Operations" not in " ".join(heat.notes)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning", "ignore:Input Tensor:UserWarning")
def test_equals_captum_on_a_published_network():
    module = nets.torchvision("vgg11_bn")
    image, baseline = torch.rand(2, 1, 3, 32, 34, dtype=torch.float64)
    network = nets.network(module, size=(32, 34))
    heat = ts.deep_lift(network, image, 3, baseline=baseline, channels="keep")
    assert_equal(heat.values, captum_says(module, image, baseline, 3))


@pytest.mark.parametrize(
    "name", ["vgg11_bn", "resnet18", "squeezenet1_1", "googlenet", "densenet121", "mobilenet_v3_small", "convnext_tiny"]
)
def test_it_sums_to_the_difference_in_score(name):
    module, images = nets.torchvision(name), torch.rand(2, 3, 32, 48, dtype=torch.float64)
    network = nets.network(module, size=(32, 48))
    heat = ts.deep_lift(network, images, ts.Logit([3, 17]), baseline="blur")
    torch.testing.assert_close(heat.values.sum((1, 2, 3)), heat.differences, rtol=1e-6, atol=1e-9)
    assert heat.differences.abs().max() > 0
    assert "Operations" not in " ".join(heat.notes)


@pytest.mark.parametrize("form", ["fused", "eager", "module"])
def test_it_sums_to_the_difference_in_score_of_transformers(form):
    module = nets.fill(nets.ViT(form)).double().eval()
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    network = nets.network(module, size=(12, 16))
    heat = ts.deep_lift(network, images, ts.Logit([1, 3]))
    torch.testing.assert_close(heat.values.sum((1, 2, 3)), heat.differences, rtol=1e-6, atol=1e-9)
    with torch.no_grad():
        normalise = nets.Normalise()
        scores = module(normalise(images)) - module(normalise(torch.zeros_like(images)))
    torch.testing.assert_close(heat.differences, scores[[0, 1], [1, 3]])


# Each rule by itself: the difference in c * y, shared out among the inputs


def multipliers(function, inputs, baselines, message):
    """What comes back to each input where `message` comes to the output, and that output."""
    recording = Recording()
    with following(recording):
        function(*(one.clone() for one in baselines))
    inputs = [one.clone().requires_grad_() for one in inputs]
    with following(Rescale(tuple(recording.calls))) as tally:
        output = function(*(one * 1 for one in inputs))
    return torch.autograd.grad(output, inputs, message(output)), output.detach(), tally


@pytest.mark.parametrize(
    "function", [F.relu, F.gelu, F.silu, torch.tanh, F.hardswish, F.relu6, torch.exp, torch.square]
)
def test_an_elementwise_function_is_a_quotient_of_differences(function):
    x, before = 3 * double(4, 5), 3 * double(4, 5, seed=1)
    (found,), y, _ = multipliers(function, [x], [before], torch.ones_like)
    torch.testing.assert_close(found, (y - function(before)) / (x - before))


@pytest.mark.parametrize("inplace", [True, False])
def test_where_nothing_differs_it_is_the_slope(inplace):
    x = double(4, 5)
    (found,), _, _ = multipliers(lambda x: F.silu(x, inplace=inplace), [x], [x], torch.ones_like)
    at = x.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(F.silu(at).sum(), at)
    torch.testing.assert_close(found, wanted)


def test_a_product_is_shared_out_evenly():
    (a, b), (a0, b0) = double(2, 4, 5), double(2, 4, 5, seed=1)
    found, _, _ = multipliers(torch.mul, [a, b], [a0, b0], torch.ones_like)
    torch.testing.assert_close(found[0], (b + b0) / 2)
    torch.testing.assert_close(found[1], (a + a0) / 2)


POOLS = {
    "apart": lambda x: F.max_pool2d(x, 2),
    "overlapping": lambda x: F.max_pool2d(x, 3, 2, 1),
    "module": nn.MaxPool2d(3, stride=2, ceil_mode=True),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, (2, 3)),
}


@pytest.mark.parametrize("pool", POOLS)
def test_max_pooling_is_shared_out_between_the_places_of_both_maxima(pool):
    pool = POOLS[pool]
    x, before = double(1, 2, 7, 8), double(1, 2, 7, 8, seed=1)
    (found,), y, _ = multipliers(pool, [x], [before], torch.ones_like)
    wanted = torch.zeros_like(x)
    for window in range(y.numel()):  # the place of a maximum is where its gradient is
        places = []
        for one in (x, before):
            at = one.clone().requires_grad_()
            (slope,) = torch.autograd.grad(pool(at).flatten()[window], at)
            places.append(slope)
        new, old = y.flatten()[window], pool(before).flatten()[window]
        top = torch.maximum(new, old)
        wanted += places[0] * (top - old) + places[1] * (new - top)
    torch.testing.assert_close(found * (x - before), wanted)


COMPOSED = {
    "softmax": (lambda x: x.softmax(-1), 1),
    "large softmax": (lambda x: (1000 * x).softmax(1), 1),
    "layer norm": (lambda x: F.layer_norm(x, (4,), torch.arange(4.0).double(), torch.ones(4).double()), 1),
    "group norm": (lambda x: F.group_norm(x, 2, torch.arange(4.0).double()), 1),
    "instance norm": (F.instance_norm, 1),
    "rms norm": (lambda x: F.rms_norm(x, (4,)), 1),
    "normalize": (lambda x: F.normalize(x, dim=-1), 1),
    "matrix product": (torch.matmul, 2),
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), 2),
    "gate": (lambda x, g: x * g.sigmoid(), 2),
    "quotient": (lambda a, b: a / b.exp(), 2),
    "reciprocal": (lambda x: 1 / x.exp(), 1),
    "attention": (F.scaled_dot_product_attention, 3),
    "square": (lambda x: x * x, 1),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_differences_of_inputs_sum_to_that_of_the_output(name):
    function, count = COMPOSED[name]
    inputs, baselines = ([double(2, 4, 4, seed=seed + shift) for seed in range(count)] for shift in (0, 10))
    weights = double(2, 4, 4, seed=20)
    found, y, tally = multipliers(function, inputs, baselines, lambda output: weights)
    total = sum(((one - before) * m).sum() for one, before, m in zip(inputs, baselines, found, strict=True))
    torch.testing.assert_close(total, (weights * (y - function(*baselines))).sum())
    assert not tally.others


def test_softmax_is_written_out_slowly():
    """p_i = exp(x_i - log s), s = sum_j exp x_j, with the quotient of differences of each function in turn."""
    x, before = double(5, seed=1), double(5, seed=2)
    for asked in range(5):
        message = F.one_hot(torch.tensor(asked), 5).double()
        (found,), p, _ = multipliers(lambda x: x.softmax(-1), [x], [before], lambda p, message=message: message)
        p_before = before.softmax(-1)
        u, u_before = p.log(), p_before.log()
        outer = (p[asked] - p_before[asked]) / (u[asked] - u_before[asked])
        s, s_before = x.exp().sum(), before.exp().sum()
        of_sum = (s.log() - s_before.log()) / (s - s_before)
        wanted = -outer * of_sum * (x.exp() - before.exp()) / (x - before)
        wanted[asked] += outer
        torch.testing.assert_close(found, wanted)


# Baselines, and what is said


def test_random_baselines_are_averaged():
    network = nets.network(nets.fill(nets.cnn()).double())
    image = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    heat = ts.deep_lift(network, image, 1, baseline="random", baselines=3, seed=4)
    starts = ts.integrated_gradients(network, image, 1, baseline="random", baselines=3, seed=4, steps=2)
    torch.testing.assert_close(heat.differences, starts.differences)
    assert heat.notes[0].endswith("with 3 baselines.")


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.conv(x).amax((2, 3)))


def test_what_no_rule_is_known_for_is_said():
    heat = ts.deep_lift(nets.network(nets.fill(Odd())), torch.rand(1, 3, 5, 7), 0)
    assert heat.notes[-1] == "Operations without a rescale rule, passed back by their gradient: 1 amax."
    assert heat.errors[0] > 0


class Branching(nn.Module):
    """Bright images go another way than dark ones."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        y = self.conv(x)
        y = y.relu() if x.mean() > 0 else y.tanh()
        return self.head(y.mean((2, 3)))


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.module = nets.cnn()

    def forward(self, x):
        return self.module[6:](checkpoint(self.module[:6], x, use_reentrant=False))


@pytest.mark.parametrize(
    ("module", "message"), [(Branching(), "runs other operations"), (Checkpointed(), "in the backward pass")]
)
def test_what_cannot_be_compared_is_refused(module, message):
    image = torch.ones(1, 3, 5, 7)
    with pytest.raises(ts.TriscopeError, match=message):
        ts.deep_lift(nets.network(nets.fill(module)), image, 0)
