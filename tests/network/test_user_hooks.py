"""Hooks of the user: those that only observe are not called; those that change an output are."""

import functools
import importlib

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import triscope as ts
from tests import nets

SEEN: list[object] = []


class Recorder:
    """Notes what passes by, in several ways."""

    def __init__(self):
        self.kept, self.named, self.last = [], {}, None

    def append(self, module, given, output):
        self.kept.append(output.detach())

    def name(self, module, given, output):
        if module.training is not None:
            self.named["output"] = output

    def keep(self, module, given, output):
        self.last = output

    def __call__(self, module, given, output):
        self.kept.append(output)

    def number(self, number, module, given, output):
        self.named[number] = output

    @property
    def heard(self):
        return bool(self.kept or self.named or self.last is not None)


def closure(kept):
    def hook(module, given, output):
        kept.append(output.mean().item())

    return hook


def counting(kept):
    count = 0

    def hook(module, given, output):
        nonlocal count
        count += 1
        kept.extend([count])

    return hook


WATCHERS = {
    "append": lambda one: one.append,
    "name": lambda one: one.name,
    "keep": lambda one: one.keep,
    "call": lambda one: one,
    "partial": lambda one: functools.partial(one.number, 3),
    "closure": lambda one: closure(one.kept),
    "counting": lambda one: counting(one.kept),
    "lambda": lambda one: lambda module, given, output: one.kept.append(output),
    "lambda of any arguments": lambda one: lambda *call: one.kept.append(call[2]),
    "lambda into a dict": lambda one: lambda module, given, output: one.named.update({"x": output}),
    "lambda into a global": lambda one: lambda module, given, output: SEEN.append(output),
}


def small():
    return nets.fill(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    )


def everything_of(network):
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return ts.saliency(network, images, 1).values, network.look(images, ["output"])["output"]


@pytest.mark.parametrize("watcher", WATCHERS)
def test_a_hook_that_only_watches_is_not_called(watcher):
    module, recorder = small(), Recorder()
    wanted = everything_of(ts.Network(small(), size=12))
    hook = WATCHERS[watcher](recorder)
    module[0].register_forward_hook(hook)
    module[0].register_full_backward_hook(lambda _, given, made: recorder.kept.append(made))
    SEEN.clear()
    found = everything_of(ts.Network(module, size=12))
    assert all(torch.equal(one, two) for one, two in zip(found, wanted, strict=True))
    assert not recorder.heard
    assert not SEEN
    module(torch.rand(1, 3, 12, 12))
    assert recorder.heard or SEEN  # it is still there


def doubled(module, given, output):
    return 2 * output


def halfway(module, given, output):
    if output.shape[1] > 3:
        return output.clamp(max=0.1)
    return None


def silenced(module, given, output):
    output[:, 2] = 0


def scaled(module, given, output):
    output.mul_(3)


def deeper(module, given, output):
    values = output.data
    values[:, 1:3] = 1


CHANGING = {
    "returns": doubled,
    "returns in one case": halfway,
    "returns by a lambda": lambda module, given, output: output.add(1),
    "returns what it has added": lambda module, given, output: torch.add(output, 1),
    "returns in one case by a lambda": lambda module, given, output: output * 2 if output.shape[1] > 2 else None,
    "writes an item": silenced,
    "writes in place": scaled,
    "writes into its data": deeper,
    "writes an item by a lambda": lambda module, given, output: output.__setitem__((slice(None), 0), 0),
}


@pytest.mark.parametrize("hook", CHANGING.values(), ids=CHANGING)
def test_a_hook_that_changes_an_output_is_part_of_the_network(hook):
    module = small()
    without = everything_of(ts.Network(small(), size=12))[1]
    module[0].register_forward_hook(hook)
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = everything_of(ts.Network(module, size=12))[1]
    torch.testing.assert_close(found, module(images))
    assert not torch.allclose(found, without)


class Remembers(nn.Module):
    """A network that reads what its own hooks have noted, as feature extractors and U-Nets of hooks do."""

    def __init__(self, how):
        super().__init__()
        self.body, self.head = small(), nn.Linear(6, 4)
        self.seen = {}
        if how == "method":
            self.body[2].register_forward_hook(self.note)
        else:
            self.body[2].register_forward_hook(self.noting())

    def note(self, module, given, output):
        self.seen["pooled"] = output.flatten(1)

    def noting(self):
        def hook(module, given, output):
            self.seen["pooled"] = output.flatten(1)

        return hook

    def forward(self, x):
        self.body(x)
        return self.head(self.seen["pooled"])


@pytest.mark.parametrize("how", ["method", "closure"])
def test_what_a_network_notes_of_itself_is_read_by_its_twin_and_not_written_into_the_module(how):
    module = nets.fill(Remembers(how))
    images = torch.rand(2, 3, 12, 12)
    wanted = module(images)
    noted = module.seen["pooled"]
    network = ts.Network(module, size=12)
    other = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(network.look(images, ["output"])["output"], wanted)
    found = network.look(other, ["output"])["output"]
    assert module.seen["pooled"] is noted
    torch.testing.assert_close(found, module(other))
    assert ts.saliency(network, other, 1).values.any()


def test_a_hook_that_comes_later_is_part_of_the_network_then():
    module = small()
    network = ts.Network(module, size=12)
    before = everything_of(network)[1]
    handle = module[0].register_forward_hook(doubled)
    assert not torch.allclose(everything_of(network)[1], before)
    handle.remove()
    torch.testing.assert_close(everything_of(network)[1], before)


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("wrap", ["weight_norm", "spectral_norm", "pruned"])
def test_what_runs_before_a_module_stays(wrap):
    module = small()
    if wrap == "pruned":
        prune.l1_unstructured(module[0], "weight", 0.5)
    else:
        getattr(torch.nn.utils, wrap)(module[0])
    module.eval()
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(everything_of(ts.Network(module, size=12))[1], module(images))


CAPTURING = """
import contextvars
from torch import nn

noted = contextvars.ContextVar("noted", default=None)


def hook(module, given, output):
    if (found := noted.get()) is not None:
        found.append(output)


class Capturing(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 2)

    def forward(self, images):
        if not getattr(self, "hooked", False):
            for part in self.body:
                part.register_forward_hook(hook)
            self.hooked = True
        token = noted.set([])
        self.body(images)
        first, second = noted.get()
        noted.reset(token)
        return self.head(first.mean((2, 3)) + second.mean((2, 3)))
"""


@pytest.mark.parametrize("called_before", [False, True])
def test_hooks_of_the_library_that_made_the_network_stay(tmp_path, monkeypatch, called_before):
    """As those of transformers: installed in the first pass, they note hidden states, which the network reads."""
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "capturing_library.py").write_text(CAPTURING)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    module = importlib.import_module("capturing_library").Capturing().eval()
    images = torch.rand(2, 3, 12, 12)
    if called_before:
        module(images)
    network = ts.Network(module, size=12)
    with torch.no_grad():
        for _ in range(3):
            answer = network.look(images, ["output"])["output"]
            assert torch.allclose(answer, module(images), atol=1e-6)
    assert all(len(part._forward_hooks) == 1 for part in module.body)
