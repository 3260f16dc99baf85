"""Rows of the contract suite: the arguments that a method needs, and those that make it quick."""

import copy
import functools
from dataclasses import dataclass, field
from typing import Any

import torch

import triscope as ts
from tests import nets
from triscope.verbs import METHODS


@dataclass
class Row:
    """What is special about a method."""

    extra: dict[str, Any] = field(default_factory=dict)
    #: Takes one image at a time, by design.
    single: bool = False
    #: Asks one class, the same of every image, and nothing else.
    one_class: bool = False
    #: Reads attention.
    attends: bool = False
    #: Asks two networks.
    two: bool = False


def pictures(count=2, channels=3, size=(5, 7), dtype=torch.float32, seed=3):
    return torch.rand(count, channels, *size, dtype=dtype, generator=torch.Generator().manual_seed(seed))


ROWS = {
    "attention_rollout": Row({"objective": 1}, attends=True),
    "gradient_attention": Row({"objective": 1}, attends=True),
    "filters": Row(),
    "activations": Row({"layer": "3"}, single=True),
    "attention_maps": Row(single=True, attends=True),
    "ascend": Row({"steps": 2, "size": 16}),
    "units": Row({"steps": 2, "size": 16, "layers": "3", "channels": "0-2"}),
    "regularisers": Row({"steps": 1, "size": 16}),
    "compare": Row({"methods": ["saliency", "grad_cam"], "units": ["2"]}),
    "difference": Row(two=True),
    "dream": Row({"steps": 2, "size": 16, "octaves": 1, "layer": "3"}),
    "fool": Row({"steps": 2, "objective": 1}, one_class=True),
    "invert": Row({"steps": 2, "layer": "3"}),
    "expected_gradients": Row({"references": pictures(3, seed=5), "samples": 3}),
    "integrated_gradients": Row({"steps": 4}),
    "judge": Row({"methods": ["saliency"], "numbers": ["insertion", "deletion"], "steps": 3}),
    "lime": Row({"samples": 20, "segments": 4}),
    "occlusion": Row({"window": 3}),
    "rise": Row({"masks": 6, "cells": 3}),
    "shapley": Row({"segments": 4, "orders": 2}),
    "smooth_grad": Row({"samples": 3}),
    "texture": Row({"steps": 2, "size": 16}, single=True),
    "stylize": Row({"steps": 2, "size": 16, "content": pictures(1), "style": pictures(1, seed=4)}),
}


def row(name):
    return ROWS.get(name, Row())


ASKING = [name for name, method in METHODS.items() if method.takes("network")]  # the others ask a store: tests/which
SEEING = [name for name in ASKING if METHODS[name].takes("images")]
BATCHED = [name for name in SEEING if not row(name).single]
QUESTIONED = [name for name in ASKING if METHODS[name].takes("objective") and not row(name).one_class]
PER_IMAGE = [name for name in QUESTIONED if name in BATCHED]


def ask(name, network, images=None, **given):
    method = METHODS[name]
    arguments = dict(row(name).extra)
    if method.takes("images"):
        arguments["images"] = images if images is not None else pictures()
        if row(name).single:
            arguments["images"] = arguments["images"][:1]
    if method.takes("objective") and not {"layer", "objective"} & arguments.keys():
        arguments["objective"] = ts.Channel("3", 2)
    asked = [network, another(network)] if row(name).two else network
    return method(network=asked, **(arguments | given))


def another(network):
    """A network like this one, with other weights."""
    other = copy.deepcopy(network.module)
    for parameter in other.parameters():
        parameter.data *= 0.9
    return ts.Network(other, **network.settings)


def module(name="", **options):
    """A tiny network; for a method, one that has what it reads."""
    return nets.fill(nets.cnn(attention=row(name).attends, **options))


@functools.cache
def tiny(name=""):
    """A network around that module, the same for all tests that leave it as it is."""
    return fresh(name)


def fresh(name=""):
    """A network around that module that nobody else asks: its module may be changed."""
    return nets.network(module(name))
