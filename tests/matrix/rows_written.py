"""Networks written by hand: the forms of tests/matrix/written.py, and what is made of them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.utils.prune
from torch import Tensor, nn

from tests import nets
from tests.matrix.columns import Known
from tests.matrix.written import (
    VAE,
    Answer,
    Branching,
    Bytes,
    Checkpointed,
    Einsum,
    FrozenBackbone,
    Keyword,
    LeNet,
    Listed,
    Locked,
    Metadata,
    OneAtATime,
    OwnRectifier,
    Perceptron,
    Plain,
    Proposals,
    Recurrent,
    Returning,
    SequenceFirst,
    Shuffled,
    Siamese,
    Six,
    Twice,
    UNet,
    Volume,
)


def _known(module: nn.Module, size: int = 32, **settings: Any) -> Known:
    return Known(nets.fill(module).eval(), {"size": size, **settings})


def _wrapped(wrap: Callable[[nn.Module], Any], **settings: Any) -> Callable[[], Known]:
    return lambda: Known(wrap(nets.fill(Plain()).eval()), {"size": 32, **settings})


def _returning(form: Callable[[Tensor, Tensor], Any], **settings: Any) -> Callable[[], Known]:
    return lambda: _known(Returning(form), **settings)


def _normed(module: nn.Module) -> nn.Module:
    for name in ("stem", "body"):
        setattr(module, name, nn.utils.parametrizations.weight_norm(getattr(module, name)))
    return module


def _pruned(module: nn.Module) -> nn.Module:
    nn.utils.prune.l1_unstructured(module.body, "weight", 0.5)
    return module


def _quantised(module: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(module, {nn.Linear})


def _lazy() -> Known:
    module = nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5))
    return Known(module, {"size": 32})


def _inner_compiled(module: nn.Module) -> nn.Module:
    module.body = torch.compile(module.body)
    return module


ROWS: Mapping[str, Callable[[], Known]] = {
    "plain": lambda: _known(Plain()),
    "LeNet": lambda: _known(LeNet(), 28),
    "perceptron": lambda: _known(Perceptron(), 28, mean=(0.1307,), std=(0.3081,)),
    "perceptron by view, grey not said": lambda: _known(Perceptron(view=True), 28),
    "UNet": lambda: _known(UNet()),
    "VAE": lambda: _known(VAE()),
    "siamese": lambda: _known(Siamese()),
    "siamese with its call": lambda: _known(Siamese(), call=lambda m, x: m(x, x.flip(3))),
    "image and metadata": lambda: _known(Metadata()),
    "image and metadata with its call": lambda: _known(Metadata(), call=lambda m, x: m(x, torch.ones(5))),
    "keyword": lambda: _known(Keyword()),
    "keyword with its call": lambda: _known(Keyword(), call=lambda m, x: m(pixel_values=x)),
    "list": lambda: _known(Listed()),
    "list with its call": lambda: _known(Listed(), call=lambda m, x: m(list(x))),
    "dict of logits": _returning(lambda scores, maps: {"logits": scores, "maps": maps}),
    "dataclass": _returning(Answer),
    "tuple of one": _returning(lambda scores, maps: (scores,)),
    "tuple of two": _returning(lambda scores, maps: (scores, maps)),
    "tuple of two, one said": _returning(lambda scores, maps: (scores, maps), output=0),
    "nested": _returning(lambda scores, maps: {"a": [{"b": scores}, maps]}, output="a.0.b"),
    "features only": _returning(lambda scores, maps: [maps, maps[:, :, ::2, ::2]]),
    "one number": lambda: _known(Returning(lambda scores, maps: scores, classes=1)),
    "one number, flat": _returning(lambda scores, maps: scores[:, 0]),
    "probabilities": _returning(lambda scores, maps: scores.softmax(1)),
    "one number for all": _returning(lambda scores, maps: scores.sum()),
    "nothing": _returning(lambda scores, maps: None),
    "text": _returning(lambda scores, maps: "a cat"),
    "embedding": lambda: _known(Plain(), task="embedding"),
    "no_grad inside": lambda: _known(FrozenBackbone()),
    "checkpoint": lambda: _known(Checkpointed(reentrant=False)),
    "checkpoint, reentrant": lambda: _known(Checkpointed(reentrant=True)),
    "CRNN": lambda: _known(Recurrent(each=True)),
    "CNN and LSTM": lambda: _known(Recurrent(each=False)),
    "branching": lambda: _known(Branching()),
    "one module twice": lambda: _known(Twice()),
    "rows per proposal": lambda: _known(Proposals()),
    "tokens first": lambda: _known(SequenceFirst(), 48),
    "torch's encoder": lambda: _known(SequenceFirst(batch_first=True), 48),
    "einsum": lambda: _known(Einsum(), 48),
    "tokens in another order": lambda: _known(Shuffled(known=True), 32),
    "tokens in an order that is not known": lambda: _known(Shuffled(known=False), 32),
    "six bands": lambda: _known(Six()),
    "video": lambda: _known(Volume()),
    "video with its call": lambda: _known(Volume(), call=lambda m, x: m(x[:, :, None].expand(-1, -1, 4, -1, -1))),
    "one picture at a time": lambda: _known(OneAtATime()),
    "bytes": lambda: _known(Bytes()),
    "holds a lock": lambda: _known(Locked()),
    "an autograd function of its own": lambda: _known(OwnRectifier()),
    "mean in 0..255": lambda: _known(Plain(), mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)),
    "lazy": _lazy,
    "float64": lambda: Known(nets.fill(Plain()).double(), {"size": 32}),
    "bfloat16": lambda: Known(nets.fill(Plain()).bfloat16(), {"size": 32}),
    "weight norm": _wrapped(_normed),
    "pruned": _wrapped(_pruned),
    "int8": _wrapped(_quantised),
    "DataParallel": _wrapped(nn.DataParallel),
    "compiled": _wrapped(torch.compile),
    "compiled inside": _wrapped(_inner_compiled),
    "scripted": _wrapped(torch.jit.script),
    "traced": _wrapped(lambda module: torch.jit.trace(module, torch.rand(1, 3, 32, 32))),
    "fx": _wrapped(torch.fx.symbolic_trace),
    "exported": _wrapped(lambda module: torch.export.export(module, (torch.rand(2, 3, 32, 32),)).module()),
    "without forward": lambda: Known(nn.Module(), {"size": 32}),
    "on meta": lambda: Known(Plain().to("meta"), {"size": 32}),
    "training": lambda: Known(nets.fill(nn.Sequential(Plain(), nn.BatchNorm1d(5))).train(), {"size": 32}),
}  # fmt: skip
