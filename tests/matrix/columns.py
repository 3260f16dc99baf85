"""The checks of each network of the matrix, and how results are verified: by autograd, by hooks, by consistency.

A cell is fine; refused, with a sentence of triscope's own; wrong, where the answer is not what it should be; or an
error, where anything else was raised. A cell that took too long is slow.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import triscope as ts
from tests import nets
from tests.matrix.judging import Cell, Wrong, close, judged
from tests.network import families
from triscope.network.interface import take
from triscope.network.stages import depths
from triscope.which.database.schema import Column

EXACT = 1e-6  # relative, between two ways to the same gradient
ROUNDED = 1e-4  # the same in single precision, where double precision is asked as well
NEARLY = 1e-3  # between batches of different sizes, and between what is stored in half precision and what is not
PHOTOS = 5
_POSITIONS = 30  # so many layers at most are tried with a moved patch
_STORED = 8  # and so many are stored, beside the default ones
_MISSED = 2  # of 16 places: some mix all positions, and by no attention (MobileViTv2, SwiftFormer, gMLP)


@dataclass(frozen=True)
class Known:
    """A module and what has to be said of it, as it is given to `ts.Network`."""

    module: nn.Module
    settings: Mapping[str, Any]


def _as_it_is(output: object) -> Any:
    """What a layer gave, before anything is written into it."""
    return output.clone() if isinstance(output, Tensor) else output


class Asked:
    """One network of the matrix, and what its columns share."""

    def __init__(self, known: Known, tolerance: float = EXACT) -> None:
        self.known = known
        self.tolerance = tolerance  # of gradients
        self.network = ts.Network(known.module, **known.settings)
        self.network.module.requires_grad_(False)  # with gradients of weights, other kernels may be used

    @cached_property
    def images(self) -> Tensor:
        """Three images of coarse noise."""
        coarse = torch.rand(3, self.network.channels, 6, 6, generator=torch.Generator().manual_seed(7))
        return F.interpolate(coarse, self.network.size, mode="bicubic").clamp(0, 1).to(self.network.dtype)

    @cached_property
    def askable(self) -> list[str]:
        """The layers that may be asked about images."""
        layers = self.network.layers.values()
        return [layer.name for layer in layers if layer.layout.kind not in ("roi", "other") and layer.name != "output"]

    @cached_property
    def some(self) -> list[str]:
        """Of each kind of layer one from the middle of the network, and the last."""
        by_kind: dict[str, list[str]] = {}
        for name in self.askable:
            layer = self.network.layers[name]
            if layer.note is None and layer.channels > 0:
                by_kind.setdefault(layer.layout.kind, []).append(name)
        return list(dict.fromkeys(name for names in by_kind.values() for name in (names[len(names) // 2], names[-1])))

    def spread(self, names: Sequence[str], most: int) -> list[str]:
        """At most so many of them, at even distances."""
        return list(names[:: -(-len(names) // most)] if names else names)

    def wrapped(self, images: Tensor, layer: str | None = None) -> Tensor:
        """The output of the module behind its normalisation, or what a layer gave in that pass."""
        module, settings = self.network.module, self.known.settings
        kept: list[Tensor] = []
        name, _, number = (layer or "").partition("~")
        part = module.get_submodule(name.removeprefix("self.") if name == "self.output" else name) if name else module
        handle = part.register_forward_hook(lambda _module, _inputs, output: kept.append(_as_it_is(output)))
        training = {one: one.training for one in module.modules()}
        call = settings.get("call") or (lambda m, x: m(x))
        try:
            seen = nets.Normalise(self.network.mean, self.network.std)(images) if self.network.mean else images
            returned = call(module.eval(), seen)
        finally:
            handle.remove()
            for one, mode in training.items():
                one.training = mode
        found = kept[int(number or 1) - 1] if layer else take(returned, settings.get("output", "auto"))
        assert isinstance(found, Tensor)
        return found.clone()


def _exact(asked: Asked) -> Asked:
    """The same network in double precision.

    Networks of random weights may make percents of what single precision rounds: the gradient of HGNet changes by 1 %,
    computed exactly, where an image changes by 1e-7. What is wrong is so in any precision.
    """
    return Asked(Known(copy.deepcopy(asked.known.module).double(), asked.known.settings))


def _in_either_precision(question: Callable[[Asked], None]) -> Callable[[Asked], None]:
    """Asks it; where the answer is off by more than a millionth, but not by much, in double precision."""

    def ask(asked: Asked) -> None:
        try:
            question(asked)
        except Wrong:
            if question is not layers:
                question(Asked(asked.known, ROUNDED))
            question(_exact(asked))

    return ask


def layers(asked: Asked) -> None:
    """They are listed; what each answers for three images together it answers for each alone."""
    found = asked.network.layers
    repr(found)
    repr(asked.network)
    if found.single or asked.network.random:
        return
    with torch.no_grad():
        together = asked.network.look(asked.images, asked.askable)
        for place in range(len(asked.images)):
            alone = asked.network.look(asked.images[place : place + 1], asked.askable)
            for name in asked.askable:
                one, shape = alone[name], (found[name].channels, *(found[name].grid or ()))
                if found[name].layout.kind != "vector" and tuple(one.shape[1:]) != shape:
                    raise Wrong(f"{name}: {tuple(one.shape[1:])}, not {shape}")
                close(together[name][place : place + 1], one, 10 * NEARLY, f"{name} in a batch")


@_in_either_precision
def class_saliency(asked: Asked) -> None:
    """The gradient of a class, or of a channel of output maps, is autograd's."""
    images = _as_many(asked)
    leaf = images.clone().requires_grad_()
    heat = ts.saliency(asked.network, images, _question(asked))
    output = asked.wrapped(leaf)
    scores = output.amax(1) if output.ndim == 2 else output[:, 0].flatten(1).mean(1)
    (wanted,) = torch.autograd.grad(scores.sum(), leaf)
    _same(asked, heat, wanted, scores, "class")


@_in_either_precision
def inner_saliency(asked: Asked) -> None:
    """The gradient of a channel of inner layers is autograd's, through a hook on a copy."""
    for name in asked.some:
        images = _as_many(asked)
        leaf = images.clone().requires_grad_()
        heat = ts.saliency(
            asked.network, images, f"{name}:1" if asked.network.layers[name].channels > 1 else f"{name}:0"
        )
        unit = min(1, asked.network.layers[name].channels - 1)
        scores = _channel(asked, name, asked.wrapped(leaf, name), unit, len(images))
        (wanted,) = torch.autograd.grad(scores.sum(), leaf)
        _same(asked, heat, wanted, scores, name)


def _channel(asked: Asked, name: str, raw: Tensor, unit: int, pictures: int) -> Tensor:
    """The mean over its positions of a channel of what a layer gave, (B,)."""
    layout = asked.network.layers[name].layout
    if layout.kind in ("vector", "maps"):
        return raw[:, unit].flatten(1).mean(1) if raw.ndim > 2 else raw[:, unit]
    if layout.kind == "maps-last":
        return raw[..., unit].flatten(1).mean(1)
    if layout.kind == "tokens":
        return raw[:, layout.prefix : raw.shape[1] - layout.suffix, unit].mean(1)
    return layout.view(raw, pictures, asked.network.size, {})[:, unit].flatten(1).mean(1)


def _same(asked: Asked, heat: ts.Heatmap, wanted: Tensor, scores: Tensor, what: str) -> None:
    if asked.network.random:
        return
    close(heat.scores, scores.detach(), 10 * asked.tolerance, f"score of {what}")
    close(heat.values, wanted.abs().amax(1, keepdim=True), asked.tolerance, f"gradient of {what}")
    if len(asked.images) == len(heat.values):
        alone = ts.saliency(asked.network, asked.images[:1], heat[0].objective)
        try:
            close(heat.values[:1], alone.values, 10 * NEARLY, f"gradient of {what} in a batch")
        except Wrong:
            _same_in_double_precision(asked, heat, what)


def _same_in_double_precision(asked: Asked, heat: ts.Heatmap, what: str) -> None:
    """Of an image among others it is what it is alone: images that are mixed differ in any precision."""
    exact, images = _exact(asked).network, asked.images.double()
    together = ts.saliency(exact, images, heat.objective)
    alone = ts.saliency(exact, images[:1], heat[0].objective)
    close(together.values[:1], alone.values, EXACT, f"gradient of {what} in a batch, in double precision,")


def _as_many(asked: Asked) -> Tensor:
    """All three images, or as many as the network takes together."""
    return asked.images[:1] if asked.network.layers.single else asked.images


def _question(asked: Asked) -> str | None:
    """A channel of the output if it consists of maps; else the default objective."""
    layers = asked.network.layers
    return "output:0" if "output" in layers and len(layers["output"].shape) == 3 else None


def guided(asked: Asked) -> None:
    """Guided backprop answers, or says why there is nothing for it to act on."""
    heat = ts.guided_backprop(asked.network, asked.images[:1], _question(asked))
    if not heat.values.isfinite().all():
        raise Wrong("guided backprop is not finite")


def activations(asked: Asked) -> None:
    """Activation maps are what a hook sees, in the order of the image."""
    for name in asked.some:
        if asked.network.layers[name].layout.kind == "vector":
            continue
        grid = ts.activations(asked.network, asked.images[:1], name)
        layout = asked.network.layers[name].layout
        with torch.no_grad():
            raw = asked.wrapped(asked.images[:1], name)
        if not asked.network.random:
            shown = layout.view(raw, 1, asked.network.size, {})[0][: len(grid.values)]
            close(grid.values.reshape(shown.shape), shown, EXACT * 10, name)


def ascend_class(asked: Asked) -> None:
    """Two steps of gradient ascent towards a class, at the defaults."""
    _ascended(asked, _question(asked) or "0")


def ascend_inner(asked: Asked) -> None:
    """The same towards a channel of each kind of layer."""
    for name in asked.some[:3]:
        _ascended(asked, f"{name}:0")


def _ascended(asked: Asked, unit: str) -> None:
    made = ts.ascend(asked.network, unit, steps=2)
    if not made.values.isfinite().all():
        raise Wrong(f"a picture for {unit} is not finite")


def invert(asked: Asked) -> None:
    """A few steps of inversion of a middle layer."""
    for name in asked.some[:1]:
        made = ts.invert(asked.network, asked.images[:1], layer=name, steps=2)
        if not made.values.isfinite().all():
            raise Wrong(f"an inversion of {name} is not finite")


def store(asked: Asked) -> None:
    """What is stored of layers is what the network says; a photo is its own nearest neighbour."""
    network = asked.network
    usual, nearly = depths(network), max(NEARLY, 2 * torch.finfo(network.dtype).eps)
    chosen = list(dict.fromkeys([*usual, *asked.spread(asked.askable, _STORED)]))
    options: dict[str, Any] = {"layers": chosen, "precision": "float32", "exact_preprocess": True, "workers": 1}
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder), network)
        kept = ts.Store.build(network, photos, Path(folder, "store"), batch=64, **options)
        if network.random:
            return
        files = kept.files(range(PHOTOS))
        with torch.no_grad():
            looks = [network.look(network.prepare(file).images, chosen) for file in files]
        for column in kept.columns:
            if column.pool in ("place", "pixels") or column.layer in ("input", "output"):
                continue
            live = torch.cat([look[ts.Need(column.layer, column.pool)] for look in looks]).float()
            stored = kept.vectors(column, range(PHOTOS))
            as_live = ((stored - live).norm(dim=1) <= nearly * live.norm(dim=1) + 1e-6).all()
            if not as_live and _precise(asked, files, column, live, nearly):
                raise Wrong(f"{column} is stored as something else")
            if column.layer in usual and column.pool == "mean" and _tell(live):
                for row, file in enumerate(files):
                    if ts.neighbors(kept, file, column.layer, k=1).names != kept.names([row]):
                        raise Wrong(f"a photo is not its own nearest neighbour in {column.layer}")


def _precise(asked: Asked, files: Sequence[Path], column: Column, live: Tensor, nearly: float) -> bool:
    """Whether single precision, in which a store computes, is ten times nearer to double precision than is judged."""
    network, need = _exact(asked).network, ts.Need(column.layer, column.pool)
    with torch.no_grad():
        images = (asked.network.prepare(file).images.double() for file in files)
        exact = torch.cat([network.look(one, [column.layer])[need] for one in images])
    return bool(((live - exact).norm(dim=1) <= nearly / 10 * exact.norm(dim=1)).all())


def _tell(live: Tensor) -> bool:
    """Whether a layer tells images apart, by their directions, in numbers that half precision holds."""
    if float(live.abs().max()) < 1e-3:
        return False
    unit = F.normalize(live, dim=1)
    return float((unit @ unit.T - 2 * torch.eye(len(live))).max()) < 1 - 1e-4


def _photos(folder: Path, network: ts.Network) -> Path:
    """A folder of images of coarse noise, of the size that the network sees, so that nothing is resized."""
    photos = folder / "photos"
    photos.mkdir()
    rows, cols = network.size
    for number in range(PHOTOS):
        noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        image = PIL.Image.fromarray(noise).resize((cols, rows), PIL.Image.Resampling.BICUBIC)
        (image.convert("L") if network.channels == 1 else image).save(photos / f"{number}.png")
    return photos


def positions(asked: Asked) -> None:
    """A bright patch lights the right cell, within one, in every layer that claims to have positions."""
    network = asked.network
    claim = [name for name in asked.askable if min(network.layers[name].grid or (1, 1)) > 2]
    claim = [name for name in claim if network.layers[name].note is None]
    families.sharpen(network.module)  # the last of the columns
    missed = families.places_missed(network, asked.spread(claim, _POSITIONS))
    worst = {name: count for name, count in missed.items() if count > _MISSED}
    if worst:
        said = ", ".join(f"{name} {count}" for name, count in list(worst.items())[:4])
        raise Wrong(f"{len(worst)} of {len(missed)} layers answer elsewhere: {said} of 16 places")


COLUMNS: Mapping[str, Callable[[Asked], None]] = {
    "layers": _in_either_precision(layers),
    "class": class_saliency,
    "inner": inner_saliency,
    "guided": guided,
    "activations": activations,
    "ascend class": ascend_class,
    "ascend inner": ascend_inner,
    "invert": invert,
    "store": store,
    "positions": positions,
}


def ask(known: Known) -> dict[str, Cell]:
    """A network through all the columns."""
    wrapped, asked = judged(lambda: Asked(known))
    cells = {"wrap": wrapped}
    if asked is not None:
        cells |= {name: judged(lambda column=column: column(asked))[0] for name, column in COLUMNS.items()}
    return cells
