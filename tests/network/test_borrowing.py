"""The network is not changed: after any call, finished, raised or interrupted, it is bit for bit as before."""

import copy
import gc
import logging
import random
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.network.twin import TwinKeeper
from triscope.objectives.base import Objective

IMAGE_SIZE = (2, 3, 5, 7)


def state_of(module):
    """All that could be changed: modes, tensors, their versions, flags and gradients, hooks, attributes."""
    parts = [(id(part), part.training, dict(vars(part)).keys(), hooks_of(part)) for part in module.modules()]
    tensors = [
        (
            id(value),
            value.data_ptr(),
            value.detach().clone(),
            value._version,
            value.requires_grad,
            value.grad,
            value.is_leaf,
        )
        for value in (*module.parameters(), *module.buffers())
    ]
    return parts, tensors


def hooks_of(part):
    return [list(table.items()) for name, table in vars(part).items() if name.endswith("hooks")]


def world():
    """The state of the process that a library might touch."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002 - the global generator is what is watched
        random.getstate(),
        torch.overrides._len_torch_function_stack(),
        torch.utils._python_dispatch._len_torch_dispatch_stack(),
        torch.utils._python_dispatch.is_in_torch_dispatch_mode(),
        len(torch.nn.modules.module._global_forward_hooks),
        threading.active_count(),
        torch.relu,
        F.relu,
        torch.get_float32_matmul_precision(),
        (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32),
        list(sys.path),
        Path.cwd(),
        np.geterr(),
        (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES),
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        (logging.root.level, list(logging.root.handlers)),
        gc.isenabled(),
    )


@contextmanager
def untouched(module, *tensors):
    before, outside = state_of(module), world()
    kept = [(value, value.clone(), value._version, value.requires_grad, value.grad) for value in tensors]
    try:
        yield
    finally:
        after = state_of(module)
        assert before[0] == after[0]
        for old, new in zip(before[1], after[1], strict=True):
            assert old[:2] == new[:2]
            assert torch.equal(old[2], new[2])
            assert old[3:] == new[3:]
        assert world() == outside
        for value, copied, version, requires, grad in kept:
            assert torch.equal(value, copied)
            assert (value._version, value.requires_grad, value.grad) == (version, requires, grad)


@dataclass(frozen=True, eq=False, repr=False)
class Raising(Objective):
    """Asks what another does, and then raises."""

    inner: Objective
    error: BaseException
    seen: list = field(default_factory=list)

    @property
    def needs(self):
        return self.inner.needs

    def __call__(self, activations):
        self.seen.append(self.inner(activations))
        raise self.error

    def bind(self, network):
        return Raising(self.inner.bind(network), self.error, self.seen)


class Bomb(nn.Module):
    """Raises in its forward pass, once armed."""

    armed: BaseException | None = None

    def forward(self, x):
        if Bomb.armed:
            raise Bomb.armed
        return x


VERBS = {
    "saliency": ts.saliency,
    "input_x_gradient": ts.input_x_gradient,
    "guided_backprop": ts.guided_backprop,
    "deconvnet": ts.deconvnet,
    "gradient at a layer": lambda net, x, unit: ts.gradient(net, x, unit, at="0"),
}
UNITS = {"class": ts.Logit(1), "channel": ts.Channel("3", 2), "neuron": ts.Neuron("4", 2, 1, 3), "top": None}


def in_training(module):
    """In training mode, one part of it in eval mode, one weight frozen, one gradient there, one hook of the user's."""
    module.train()
    module[5].eval()
    module[0].weight.requires_grad_(False)
    module[3].weight.grad = torch.ones_like(module[3].weight)
    module[4].register_forward_hook(nothing)
    return module


def nothing(module, inputs, output):
    return None


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mode", ["training", "eval"])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_finished_call_leaves_everything(verb, unit, mode, normalised):
    module = nets.fill(nets.cnn())
    module = in_training(module) if mode == "training" else module.eval()
    images = torch.rand(IMAGE_SIZE, requires_grad=mode == "training")
    known = {} if normalised else {"mean": None, "std": None}
    with untouched(module, images):
        network = nets.network(module, **known)
        VERBS[verb](network, images, UNITS[unit])


def test_views_leave_everything():
    module = in_training(nets.fill(nets.cnn()))
    images = torch.rand(IMAGE_SIZE)
    with untouched(module, images):
        network = nets.network(module)
        ts.filters(network)
        ts.filters(network, "3")
        ts.activations(network, images[:1], "2", order="response")
        ts.predict(network, images)
        repr(network.layers)
        assert len(network.sha256) == 64


ERRORS = [KeyboardInterrupt(), RuntimeError("no"), SystemExit(3), GeneratorExit(), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_an_objective_that_raises_leaves_everything(verb, error):
    module = in_training(nets.fill(nets.cnn()))
    images = torch.rand(IMAGE_SIZE)
    network = nets.network(module)
    asked = Raising(ts.Channel("3", 2), error)
    with untouched(module, images), pytest.raises(type(error)):
        VERBS[verb](network, images, asked)
    assert len(asked.seen) == 1
    calm = VERBS[verb](nets.network(module), images, ts.Channel("3", 2)).values
    assert torch.equal(VERBS[verb](network, images, ts.Channel("3", 2)).values, calm)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("first", [True, False], ids=["first question", "later"])
def test_a_forward_pass_that_raises_leaves_everything(verb, error, first, monkeypatch):
    module = in_training(nets.fill(nets.cnn()))
    module[1] = nn.Sequential(module[1], Bomb())
    images = torch.rand(IMAGE_SIZE)
    network = nets.network(module)
    if not first:
        VERBS[verb](network, images, 1)
    expected = ts.TriscopeError if isinstance(error, RuntimeError) else type(error)
    with monkeypatch.context() as patch, untouched(module, images):
        patch.setattr(Bomb, "armed", error)
        with pytest.raises(expected):
            VERBS[verb](network, images, 1)
    calm = VERBS[verb](nets.network(module), images, 1).values
    assert torch.equal(VERBS[verb](network, images, 1).values, calm)


def test_statistics_and_dropout_of_a_network_in_training_mode_do_not_matter():
    module = nets.fill(nets.cnn())
    images = torch.rand(IMAGE_SIZE)
    quiet = ts.saliency(nets.network(copy.deepcopy(module).eval()), images, 1).values
    assert torch.equal(ts.saliency(nets.network(module.train()), images, 1).values, quiet)


def test_a_first_layer_that_writes_to_its_input():
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(105, 4))
    images = torch.rand(IMAGE_SIZE) - 0.00005  # a rounding below zero is still an image
    images[0, 0, 0, 0] = -0.00005
    network = nets.network(nets.fill(module), mean=None, std=None)
    with untouched(module, images):
        heat = ts.saliency(network, images, 1)
        ts.predict(network, images)
    assert torch.equal(heat.image, images)


class Counting(nn.Module):
    """Writes to buffers and attributes whenever it runs, as moving averages and memories do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))
        self.conv, self.last, self.list = nn.Conv2d(3, 4, 1), None, []

    def forward(self, x):
        self.calls += 1
        F.batch_norm(x, self.mean, torch.ones(3), training=True)
        self.last = x
        self.list.append(x)
        return self.conv(x).mean((2, 3)) + self.calls


def test_a_network_that_writes_to_itself_is_as_before_and_answers_the_same():
    module, images = Counting(), torch.rand(IMAGE_SIZE)
    network = nets.network(module)
    with untouched(module, images):
        one, two = ts.saliency(network, images, 1), ts.saliency(network, images, 1)
    assert module.last is None
    assert module.list == []
    assert torch.equal(one.scores, two.scores)


def test_weights_trained_further_are_seen():
    module = nets.fill(nets.cnn())
    network, images = nets.network(module), torch.rand(IMAGE_SIZE)
    before = ts.saliency(network, images, 1)
    twin, fingerprint = network._keeper.get(), network.sha256
    optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
    module.train()(images).square().sum().backward()
    optimiser.step()
    after = ts.saliency(network, images, 1)
    assert network._keeper.get() is twin
    assert not torch.equal(before.values, after.values)
    assert torch.equal(after.values, ts.saliency(nets.network(copy.deepcopy(module)), images, 1).values)
    assert network.sha256 not in ("", fingerprint)


def test_statistics_trained_further_are_seen():
    module = nets.fill(nets.cnn())
    network, images = nets.network(module), torch.rand(IMAGE_SIZE)
    before = ts.saliency(network, images, 1).values
    module.train()(images)  # no optimiser: only the running statistics move
    assert not torch.equal(ts.saliency(network, images, 1).values, before)


def test_after_to_the_twin_is_anew():
    module = nets.fill(nets.cnn())
    network, images = nets.network(module), torch.rand(IMAGE_SIZE, dtype=torch.float64)
    single = ts.saliency(network, images, 1).values
    assert single.dtype == torch.float32
    module.double()
    double = ts.saliency(network, images, 1).values
    assert double.dtype == network.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-6)
    assert not torch.equal(double, single.double())


def test_a_replaced_part_is_seen():
    module = nets.fill(nets.cnn())
    network, images = nets.network(module), torch.rand(IMAGE_SIZE)
    assert network.layer("4").type == "ReLU"
    for new in (nn.Tanh(), nn.GELU(), nn.Sigmoid(), nn.SiLU()):
        module[4] = new
        fresh = nets.network(copy.deepcopy(module))
        assert torch.equal(ts.saliency(network, images, 1).values, ts.saliency(fresh, images, 1).values)
        assert network.layer("4").type == type(new).__name__
    module[8] = nets.fill(nn.Linear(6, 9))
    assert ts.saliency(network, images, 8).objective == ts.Logit(8)


def test_what_cannot_be_copied_is_refused_in_a_sentence():
    module = nets.fill(nets.cnn())
    module.lock = threading.Lock()
    network = nets.network(module)
    with pytest.raises(ts.TriscopeError, match=r"Sequential cannot be copied.*lock.*__deepcopy__"):
        ts.saliency(network, torch.rand(IMAGE_SIZE))


def compiled(module):
    return torch.compile(module, backend="eager")


def test_what_cannot_be_looked_into_is_refused_in_a_sentence():
    module = nets.fill(nets.cnn()).eval()
    images = torch.rand(IMAGE_SIZE)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        traced, scripted = torch.jit.trace(module, images), torch.jit.script(module)
    for closed in (traced, scripted, nn.Sequential(traced, nn.Identity())):
        with pytest.raises(ts.TriscopeError, match=r"scripted or traced.*give the original module"):
            nets.network(closed)
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ts.TriscopeError, match=r"without a shape yet \(0.weight\); run it once"):
        nets.network(lazy)


def test_a_compiled_part_is_taken_as_what_it_wraps():
    plain = nets.fill(nets.cnn()).eval()
    module = nn.Sequential(compiled(nn.Sequential(*plain[:3])), compiled(plain[3]), *plain[4:])
    same = nn.Sequential(nn.Sequential(*plain[:3]), plain[3], *plain[4:])
    network, images = nets.network(module), torch.rand(IMAGE_SIZE)
    assert list(network.layers) == list(nets.network(same).layers)
    assert network.sha256 == nets.network(same).sha256
    assert torch.equal(ts.saliency(network, images, 1).values, ts.saliency(nets.network(same), images, 1).values)
    assert torch.equal(ts.filters(network).values, plain[0].weight)
    assert "OptimizedModule" in type(module[0]).__name__  # the user's own stays compiled


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled, lambda module: nn.DataParallel(nn.DataParallel(module))])
def test_wrappings_are_taken_off(wrap):
    module, images = nets.fill(nets.cnn()), torch.rand(IMAGE_SIZE)
    network = nets.network(wrap(module))
    assert network.module is module
    assert network.name == "Sequential"
    assert torch.equal(ts.saliency(network, images, 1).values, ts.saliency(nets.network(module), images, 1).values)


def test_only_modules_make_networks():
    with pytest.raises(ts.TriscopeError, match=r"made from a torch\.nn\.Module, not from function"):
        ts.Network(nets.cnn)


@pytest.mark.parametrize("kind", ["weight_norm", "parametrised", "spectral_norm", "tied", "frozen"])
def test_weights_of_every_kind(kind):
    """Weights that are computed, shared or frozen give the same answer through the twin as in the module."""
    module = nets.fill(nets.cnn(norm=False)).eval()
    if kind == "weight_norm":
        with pytest.warns(FutureWarning):
            nn.utils.weight_norm(module[3])
    elif kind == "parametrised":
        nn.utils.parametrizations.weight_norm(module[3])
    elif kind == "spectral_norm":
        nn.utils.parametrizations.spectral_norm(module[3])
    elif kind == "tied":
        module[3].weight = nn.Parameter(module[3].weight[:, :6].detach())
        module.insert(5, nn.Conv2d(6, 6, 3, padding=1))
        module[3] = nn.Conv2d(8, 6, 1)
        module.append(nn.Linear(5, 5))
        module.append(nn.Linear(5, 5))
        module[-1].weight = module[-2].weight
    else:
        module.requires_grad_(False)
    images = torch.rand(IMAGE_SIZE)
    leaf = images.clone().requires_grad_()
    output = module(nets.Normalise()(leaf))
    (wanted,) = torch.autograd.grad(output[:, 1].sum(), leaf)
    with untouched(module, images):
        found = ts.gradient(nets.network(module), images, 1)
    torch.testing.assert_close(found.values, wanted, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(found.scores, output[:, 1].detach())


def test_the_twin_shares_the_storage_of_the_weights():
    module = nets.fill(nets.cnn())
    twin = TwinKeeper(module, "cnn").get()
    assert [value.data_ptr() for value in twin.parameters()] == [value.data_ptr() for value in module.parameters()]
    assert not any(value.requires_grad for value in twin.parameters())
    assert not any(part.training for part in twin.modules())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_network_made_under_any_mode(mode):
    with mode():
        module = nets.fill(nets.cnn())
        network = nets.network(module)
    images = torch.rand(IMAGE_SIZE)
    plain = ts.saliency(nets.network(nets.fill(nets.cnn())), images, 1).values
    assert torch.equal(ts.saliency(network, images, 1).values, plain)
    assert len(network.sha256) == 64
