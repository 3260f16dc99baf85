"""Finding a network's layers: two different pictures are passed through it, and what its modules give is looked at.

A layer can be asked about pictures only where it answers each picture in a row of its own. Two pictures tell: where a
module gives any other number of rows (windows folded into the batch, a row per proposal, tokens that come first), its
rows are not pictures, and where both rows are the same it may not see the picture at all (a table of positions). Then
two more pictures, drawn at random, decide.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from triscope.network import tap
from triscope.network.layers import Layer, Layers, nearest_rows
from triscope.network.layout import Layout, guess
from triscope.network.receptive_field import WHOLE, Fields, ReceptiveField

SILENT = "silent here"
_SAME = "gives the same for every picture"
#: What a module raises that cannot run on a batch.
REFUSALS = (RuntimeError, ValueError, IndexError, AssertionError)


@dataclass
class _Heard:
    """What is known of one call of a module: its output's shape, and whether its rows were all zero, or the same."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    field: ReceptiveField
    silent: bool
    same: bool
    first: Tensor | None = None  # its row for the first picture, where pictures go through one by one


def find_layers(
    twin: nn.Module,
    normalise: Callable[[Tensor], Tensor],
    grey: Tensor,
    network: str,
    tokens: tuple[int, int] | None = None,
) -> Layers:
    """The layers of `twin`, found by running it on `grey`, a picture (1, C, H, W), and on one of noise.

    Where the module cannot run on two pictures at once they go one after the other, and `Layers.single` is set. Raises
    what the module raises where it cannot run on one either.
    """
    pictures = torch.cat([grey, _noise(grey, seed=0)])
    heard, single = _both(twin, normalise, pictures)
    if any(one.same and not one.silent for one in heard):
        others = torch.cat([_noise(grey, seed=1), _noise(grey, seed=2)])
        again = _one_by_one(twin, normalise, others) if single else _listen(twin, normalise, others)
        # A network that took another way for these pictures says nothing about the layers of the first.
        alike = [one.name for one in heard] == [one.name for one in again]
        for one, more in zip(heard, again, strict=False):
            one.same = one.same and alike and more.same and not more.silent
    return Layers(_table(heard, grey.shape[-2:], tokens), _calls(heard), _aliases(twin), network, single)


def _noise(like: Tensor, seed: int) -> Tensor:
    """A picture of noise in [0, 1], the same for the same seed."""
    noise = torch.rand(like.shape, generator=torch.Generator().manual_seed(seed))
    return noise.to(like.device, like.dtype)


def _both(twin: nn.Module, normalise: Callable[[Tensor], Tensor], pictures: Tensor) -> tuple[list[_Heard], bool]:
    """What is heard of two pictures, and whether they had to go one by one."""
    try:
        return _listen(twin, normalise, pictures), False
    except REFUSALS:
        return _one_by_one(twin, normalise, pictures), True


def _listen(twin: nn.Module, normalise: Callable[[Tensor], Tensor], pictures: Tensor) -> list[_Heard]:
    """One pass over all the pictures, each call of a module judged as it finishes."""
    heard: list[_Heard] = []
    images = normalise(pictures)
    fields = Fields(images)
    alone = len(pictures) == 1

    def note(name: str, module: nn.Module, output: Tensor) -> None:
        values = output.dequantize() if output.is_quantized else output.detach()
        silent = not bool(values.any())
        two = values.ndim > 0 and len(pictures) == len(values) == 2
        same = two and torch.equal(values[0], values[1])
        kept = values.clone() if alone else None
        heard.append(_Heard(name, module, tuple(values.shape), fields.of(output), silent, same, kept))

    def hear(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim >= 2:
            note(name, module, output)

    with torch.no_grad(), fields:
        output = tap.run(twin, images, hear)
    if isinstance(output, Tensor):
        note("output", twin, output)
    return heard


def _one_by_one(twin: nn.Module, normalise: Callable[[Tensor], Tensor], pictures: Tensor) -> list[_Heard]:
    """The same for a module that takes one picture at a time: shapes are as if both had been in one batch."""
    first, second = (_listen(twin, normalise, picture[None]) for picture in pictures)
    alike = [one.name for one in first] == [one.name for one in second]
    for one, other in zip(first, second, strict=False):
        if one.first is not None and other.first is not None and alike:
            one.same = torch.equal(one.first, other.first)
            one.silent = one.silent and other.silent
        one.shape = (2 * one.shape[0], *one.shape[1:]) if one.shape else ()
        one.first = None
    return first


def _table(heard: Sequence[_Heard], size: Sequence[int], tokens: tuple[int, int] | None) -> dict[str, Layer]:
    calls, so_far = _calls(heard), Counter[str]()
    layers: dict[str, Layer] = {}
    for one in heard:
        so_far[one.name] += 1
        call = tap.call_name(one.name, so_far[one.name]) if calls[one.name] > 1 else one.name
        parameters = sum(parameter.numel() for parameter in one.module.parameters())
        layout, shape, note = _judged(one, size, tokens)
        field = one.field if layout.kind in ("maps", "maps-last") else WHOLE
        layers[call] = Layer(call, type(one.module).__name__, shape, parameters, field, layout, note)
    wrong = [name for name, layer in layers.items() if not layer.layout.pictures]
    return layers | {name: replace(layers[name], instead=nearest_rows(layers, name)) for name in wrong}


def _judged(
    one: _Heard, size: Sequence[int], tokens: tuple[int, int] | None
) -> tuple[Layout, tuple[int, ...], str | None]:
    """The layout of a layer, its shape for one picture, and what is to be said of it."""
    rows = one.shape[0] if one.shape else 1
    if rows != 2:
        each = one.shape if rows % 2 else (rows // 2, *one.shape[1:])
        shown = (
            f"gives {rows} row{'s' * (rows > 1)} for 2 pictures"
            if rows % 2
            else f"gives {rows // 2} rows for each picture"
        )
        return Layout("other", pictures=False), each, shown
    if one.same and not one.silent and one.name != "output":
        return Layout("other", pictures=False), one.shape[1:], _SAME
    return guess(one.shape, size[0], size[1], tokens), one.shape[1:], SILENT if one.silent else None


def _calls(heard: Iterable[_Heard]) -> Mapping[str, int]:
    return Counter(one.name for one in heard)


def _aliases(twin: nn.Module) -> dict[str, str]:
    """Other names under which a module is registered, to the name its tap carries."""
    first = {id(module): tap.layer_name(path) for path, module in twin.named_modules()}
    names = ((tap.layer_name(path), first[id(module)]) for path, module in twin.named_modules(remove_duplicate=False))
    return {name: tapped for name, tapped in names if name != tapped}
