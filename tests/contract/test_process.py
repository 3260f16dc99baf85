"""Global state of the process is not changed, not even for a moment, since other threads would notice.

Every function that sets such state is watched while methods run and their results are saved and redone.
"""

import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import triscope as ts
from tests import nets
from tests.contract.asking import ASKING, ask, pictures, tiny
from tests.network.test_borrowing import world
from triscope.redoing import redo

SETTING = [
    (os, "umask"), (os, "chdir"), (os, "putenv"), (os, "unsetenv"), (os, "nice"),
    (torch, "set_num_threads"), (torch, "set_num_interop_threads"), (torch, "manual_seed"), (torch, "seed"),
    (torch, "set_rng_state"), (torch.random, "fork_rng"), (torch, "set_default_dtype"), (torch, "set_default_device"),
    (torch, "use_deterministic_algorithms"), (torch, "set_float32_matmul_precision"), (torch, "set_printoptions"),
    (torch, "set_flush_denormal"), (random, "seed"), (random, "setstate"), (np.random, "seed"),
    (np.random, "set_state"), (np, "seterr"), (np, "set_printoptions"), (warnings, "catch_warnings"),
    (warnings, "simplefilter"), (warnings, "filterwarnings"), (warnings, "resetwarnings"), (signal, "signal"),
    (locale, "setlocale"), (logging, "disable"), (logging, "basicConfig"), (sys, "setrecursionlimit"),
    (sys, "setswitchinterval"), (threading, "stack_size"), (gc, "disable"), (gc, "freeze"), (gc, "set_threshold"),
]  # fmt: skip


def process():
    """The state of the process; parts of torch that are loaded when they are first used change the last two."""
    return world(), list(warnings.filters), dict(os.environ)


@contextmanager
def watched(monkeypatch):
    """The names of the functions that triscope itself calls of those above."""
    called = []

    def note(name):
        if sys._getframe(2).f_globals.get("__name__", "").startswith("triscope"):
            called.append(name)

    def watching(name, function):
        def call(*args, **kwargs):
            note(name)
            return function(*args, **kwargs)

        def begin(self, *args, **kwargs):
            note(name)
            function.__init__(self, *args, **kwargs)

        return type(function.__name__, (function,), {"__init__": begin}) if isinstance(function, type) else call

    with monkeypatch.context() as patch:
        for module, name in SETTING:
            patch.setattr(module, name, watching(f"{module.__name__}.{name}", getattr(module, name)))
        yield called


@pytest.mark.parametrize("name", ASKING)
def test_a_method_sets_nothing_that_belongs_to_the_process(name, monkeypatch, tmp_path):
    network, images = tiny(name), pictures()
    ask(name, network, images)  # so that all of torch is loaded
    before = process()
    with watched(monkeypatch) as called:
        result = ask(name, network, images)
        for ending in result.forms:
            result.save(tmp_path / f"made{ending}")
    assert called == []
    assert process() == before


def test_watching_sees_what_it_is_to_see(monkeypatch):
    with watched(monkeypatch) as called:
        code = "import os, warnings; os.umask(os.umask(0o22)); warnings.catch_warnings()"
        exec(code, {"__name__": "triscope.of_a_test"})
    assert called == ["os.umask", "os.umask", "warnings.catch_warnings"]


def test_a_network_is_loaded_and_a_picture_made_again_without_setting_anything(monkeypatch, tmp_path):
    file = tmp_path / "model.py"
    file.write_text(
        "from torch import nn\nimport sibling\n\n"
        "def make():\n    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Conv2d(2, sibling.count, 3))\n"
    )
    (tmp_path / "sibling.py").write_text("count = 4\n")
    picture = tmp_path / "photo.png"
    ts.Picture(pictures(1, size=(20, 24))).save(picture)
    before = process()
    with watched(monkeypatch) as called:
        ts.load("pocket", weights="random", seed=3)
        network = ts.load(f"{file}:make", seed=3)
        ts.saliency(network, picture, "2:1").save(tmp_path / "map.png")
        redo(tmp_path / "map.png", network=network)
    assert called == []
    assert process() == before


def test_a_file_gets_the_rights_that_the_umask_leaves_and_the_umask_is_never_touched(monkeypatch, tmp_path):
    monkeypatch.setattr(ts.results.base.os, "umask", None)
    heat = ts.saliency(tiny(), pictures(1), 1)
    (tmp_path / "plain").touch()
    for path in (heat.save(tmp_path / "map.png"), heat.save(tmp_path / "map.png")):
        assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_files_saved_by_threads_that_make_private_files_stay_private(tmp_path):
    """One thread saves again and again, another makes files that only the owner may read."""
    heat, stop = ts.saliency(tiny(), pictures(1), 1), threading.Event()
    mask = os.umask(0o077)

    def save():
        while not stop.is_set():
            heat.save(tmp_path / "map.png")

    try:
        with ThreadPoolExecutor(1) as pool:
            saving = pool.submit(save)
            modes = set()
            for number in range(400):
                path = tmp_path / f"{number}"
                path.touch()
                modes.add(path.stat().st_mode & 0o777)
            stop.set()
            saving.result()
    finally:
        os.umask(mask)
    assert modes == {0o600}


def test_threads_that_draw_do_not_see_the_weights_of_a_network_that_is_loaded():
    """Weights at random are made from the global generator; a network that draws waits until it is back."""
    network = nets.network(nets.fill(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), Noisy())))
    expected = network.look(pictures(1), ["output"])["output"]
    state = torch.get_rng_state()
    hashes = {weights(1), weights(2)}
    with ThreadPoolExecutor(3) as pool:
        loading = [
            pool.submit(lambda s: ts.load("pocket", weights="random", seed=s).sha256, 1 + n % 2) for n in range(4)
        ]
        asking = [pool.submit(network.look, pictures(1), ["output"]) for _ in range(40)]
        assert {one.result() for one in loading} == hashes
        assert all(torch.equal(one.result()["output"], expected) for one in asking)
    assert torch.equal(torch.get_rng_state(), state)


def weights(seed):
    return ts.load("pocket", weights="random", seed=seed).sha256


class Noisy(torch.nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)
