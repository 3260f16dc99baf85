"""Texture synthesis: a new image that has the texture of an example.

    d(x) = mean over layers of |G(x) - G0|^2 / |G0|^2,      G = F F^T / M

A Gram matrix says which features of a layer occur together, and not where. An image with the same matrices in several
layers has the same texture: the same parts in the same kinds of neighbourhood, in another arrangement.

**When it misleads.** What is larger than the deepest layer sees is not kept: bricks lose their straight rows. Only
statistics that the network has learned to measure are matched, so a texture it has no features for comes out wrong,
with an error as small as any other's.

**Reference.** L. A. Gatys, A. S. Ecker, M. Bethge, "Texture synthesis using convolutional neural networks", NIPS 2015.

**Where ours departs.** Every layer's distance is relative to the target's energy, so that layers count alike; the
paper's weights are the preset `gatys2015`. The paper starts at full size from noise; we go from coarse to fine, which
is faster and lays out larger structures, and change the image's spectrum. Pixels are kept in [0, 1] on the way and
not only at the end.
"""

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from triscope.errors import OptionError
from triscope.methods import Group, NetworkArg, Range, Step, WholeImagesArg, method
from triscope.network import Network
from triscope.network.variants.configured import Borders, configured
from triscope.network.variants.precision import chosen
from triscope.objectives.statistics import DISTANCES, Statistics
from triscope.what.style.coarse_to_fine import (
    Level,
    Schedule,
    StyleResult,
    Term,
    fitted,
    level_sizes,
    require_detail,
    require_positions,
    shares,
    shrunk,
    style_result,
    style_terms,
    synthesise,
)
from triscope.what.style.memory import plan_memory
from triscope.what.style.options import Synthesis, TextureLoss
from triscope.what.style.presets import STYLE_PRESETS, StylePreset, require_gram, style_layers


@method("what")
def texture(
    network: NetworkArg,
    images: WholeImagesArg,
    *,
    size: Annotated[int, Range(8, 8192)] = 256,
    aspect: Annotated[float, Range(0.05, 20)] = 1.0,
    scale: Annotated[float, Range(0.05, 20)] = 1.0,
    tile: bool = False,
    loss: Annotated[TextureLoss, Group()] = TextureLoss(),
    synthesis: Annotated[Synthesis, Group()] = Synthesis(steps=200, octaves=3),
) -> Generator[Step[StyleResult]]:
    """A new image, of any size, with the texture of an example (Gatys et al., 2015).

    Values (1, C, H, W) in [0, 1], with the relative error of each layer's Gram matrix. Raises ImageError if the example
    has a single colour, OptionError if the image is too small for a layer or the preset is for another network.

    size          longer side of the image, in pixels
    aspect        width of the image divided by its height
    scale         factor by which the example is resized, after it is reduced to `size` if it is larger
    tile          make an image that tiles seamlessly; its sides are rounded up to a multiple that the network needs
    """
    if len(images) != 1:
        raise OptionError(f"texture takes one example at a time; {len(images)} were given.")
    require_detail(images, "texture")
    preset, octaves = STYLE_PRESETS[loss.preset], synthesis.octaves
    require_gram(loss.preset, loss.statistics)
    names = style_layers(network, preset, loss.layers)
    if loss.layers is not None:
        preset = replace(preset, weights=())
    pools = loss.pooling or preset.pooling
    number = chosen(synthesis.precision, network) if network.dtype == torch.float32 else network.dtype
    # The zeros at an example's border leave traces in its matrices that a tile, which has no border, cannot have.
    seen_by: Borders = "mirror" if tile else "own"
    drawn_by: Borders = "torus" if tile else "own"
    reader = configured(network, pooling=pools, precision=number, borders=seen_by)
    drawer = configured(network, pooling=pools, precision=number, borders=drawn_by)
    rows, cols = _sides(size, aspect, _stride(network, names) if tile else 1, octaves)
    example = images.images.float()
    example = shrunk(fitted(example, min(size, max(example.shape[-2:]))), scale)
    factors = level_sizes((rows, cols), octaves, [example])
    way = plan_memory(drawer, names, (rows, cols), synthesis.optimiser, synthesis.memory, whole=tile)
    reader, drawer = reader if tile else way.network, way.network
    asked = partial(_terms, reader, example, names, loss.statistics, preset)
    levels = [
        Level((round(rows * factor), round(cols * factor)), count, partial(asked, factor))
        for factor, count in zip(factors, shares(synthesis.steps, len(factors)), strict=True)
    ]
    require_positions(drawer, torch.empty(1, network.channels, *levels[0].size, dtype=reader.dtype), names)
    told = {"images": images.sources[0].name, "size": size, "aspect": aspect, "scale": scale, "tile": tile}
    plan = Schedule(drawer, levels, way, synthesis, {**told, **vars(loss), **vars(synthesis)}, tile)
    for step, terms in synthesise(plan, _noise(example, levels[0].size, synthesis.seed)):
        yield style_result(step, terms, drawer)


def _terms(
    network: Network,
    example: Tensor,
    layers: list[str],
    statistics: Statistics,
    preset: StylePreset,
    factor: float,
) -> list[Term]:
    kind = DISTANCES[statistics]
    with torch.no_grad():
        look = network.look(shrunk(example, factor).to(network.dtype), kind.needs_of(layers))
        return style_terms(kind.from_activations(look, layers), preset)


def _noise(example: Tensor, size: tuple[int, int], seed: int) -> Tensor:
    """White noise around the example's mean colour, a tenth as strong: what a layer cannot see of it stays."""
    generator = torch.Generator().manual_seed(seed)
    mean, spread = example.mean((2, 3), keepdim=True), example.std((2, 3), keepdim=True)
    noise = torch.randn(1, example.shape[1], *size, generator=generator).to(example.device)
    return (mean + 0.1 * spread * noise).clamp(0, 1)


def _sides(size: int, aspect: float, stride: int, octaves: int) -> tuple[int, int]:
    """(rows, columns), rounded up to whole strides in the coarsest octave too."""
    sides = (size / aspect, size) if aspect >= 1 else (size, size * aspect)
    unit = stride if stride == 1 else stride * 2 ** (octaves - 1)
    rows, cols = (max(unit, -(-round(side) // unit) * unit) for side in sides)
    return rows, cols


def _stride(network: Network, layers: list[str]) -> int:
    """How many pixels apart the positions of the deepest of these layers are."""
    fields = [network.layer(name).receptive_field for name in layers]
    if any(field.rows is None or field.cols is None for field in fields):
        raise OptionError("A tile needs layers that see a part of the image; name others with layers.")
    return max(max(field.rows.stride, field.cols.stride) for field in fields if field.rows and field.cols)
