"""Views, the methods without an objective: the filters of a layer, its activation maps, the classes of an image.

**When they mislead.** Only the filters of the first layer can be read as images, since only they are applied to pixels;
a deeper filter is applied to maps, and its weights mean little by themselves. An activation map shows where a channel
is active, not what activates it.

**References.** A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012 (figure 3). J. Yosinski et al., "Understanding neural networks through deep visualization", 2015.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triscope import render
from triscope.errors import NetworkError, nearest
from triscope.methods import ImagesArg, LayerArg, NetworkArg, NetworkInput, Range, method
from triscope.network import Network
from triscope.network.tap import layer_name
from triscope.objectives.base import Need
from triscope.objectives.detection import best_boxes, box_unit
from triscope.objectives.segmentation import class_maps, shares
from triscope.results import Grid, Ranking

_SMALLEST = 40  # pixels to which the side of a filter or map is enlarged


@method("view")
def filters(
    network: Annotated[Network | Sequence[Network], NetworkInput(many=True)],
    layer: LayerArg | None = None,
    *,
    scale: Literal["each", "layer"] = "each",
    most: Annotated[int, Range(1, 4096)] = 64,
) -> Grid:
    """The filters of a convolution as images: the first layer's, or those of another layer.

    Values (N, C, h, w), the weights of the layer. The first layer of a colour network is drawn in colour, with zero as
    grey. Deeper filters are drawn as one map per input channel, one row per filter, positive values red and negative
    ones blue. Several networks are shown side by side. Raises NetworkError if there is no convolution.

    scale   draw each filter at its own full contrast (each), or all filters at one scale (layer)
    most    maximum number of filters, and of input channels of a deeper filter
    """
    several = [network] if isinstance(network, Network) else list(network)
    weights = [_weights(one, layer)[:most] for one in several]
    drawn = [_filter_images(values, scale, most) for values in weights]
    alone = len(several) == 1
    same = len({values.shape[1:] for values in weights}) == 1
    return Grid(
        torch.cat(weights) if same else weights[0],
        pictures=tuple(drawn[0] if alone else map(render.grid, drawn, map(_columns, weights))),
        titles=tuple(map(str, range(len(weights[0])))) if alone else tuple(one.name for one in several),
        note=f"{'Each filter at its own' if scale == 'each' else 'All filters at one'} contrast; grey is zero.",
        columns=_columns(weights[0]) if alone else len(several),
    )


@method("view")
def activations(
    network: NetworkArg,
    images: ImagesArg,
    layer: LayerArg,
    *,
    order: Literal["channel", "response"] = "channel",
    most: Annotated[int, Range(1, 100_000)] = 1024,
) -> Grid:
    """The activation maps of a layer for one image, one per channel.

    Values (C, h, w). A layer of vectors (D,) is drawn as one strip. All maps share one scale: from dark (zero) to
    light, or from blue to red if the layer has negative values. Raises NetworkError for several images: call it for one
    at a time.

    order   sort by channel number (channel), or by mean activation, strongest first (response)
    most    maximum number of maps
    """
    if len(images) != 1:
        raise NetworkError(f"activations shows the maps of one image at a time; {len(images)} were given.")
    with torch.no_grad():
        volume = network.look(images.images, [layer])[Need(layer)][0]
    strengths = volume.flatten(1).mean(1) if volume.ndim == 3 else volume
    chosen = strengths.argsort(descending=True) if order == "response" else torch.arange(len(volume))
    chosen = chosen[:most]
    values = volume[chosen]
    scale = render.scale_of(values)
    draw = render.signed if bool((values < 0).any()) else render.unsigned
    titles = tuple(f"{layer}:{index}" for index in chosen.tolist())
    if values.ndim == 3:
        factor = max(1, -(-_SMALLEST // max(values.shape[1:])))
        pictures = tuple(render.enlarge(draw(one, scale), factor) for one in values)
    else:
        pictures, titles = (render.enlarge(draw(_strip(values), scale), 8),), (layer,)
    shape = " x ".join(map(str, volume.shape))
    return Grid(
        values,
        pictures=pictures,
        titles=titles,
        note=f"{layer}: {shape}; the strongest colour stands for {scale:.3g}.",
        scale=scale,
        units=tuple(chosen.tolist()),
    )


@method("view")
def predict(network: NetworkArg, images: ImagesArg, *, k: Annotated[int, Range(1, 100_000)] = 5) -> Ranking:
    """The most likely classes of each image, with their probabilities (B, k).

    For a segmentation network: the classes of most pixels, with their shares of the pixels. For a detector: the boxes
    with the highest scores, each written as a unit that other commands take. For a network with one output number per
    image: that number. Raises NetworkError for embeddings.

    k       number of classes or boxes
    """
    network.count_classes()
    with torch.no_grad():
        output = network.look(images.images, ["output"])[Need("output")]
    if network.task == "boxes":
        return _boxes(network, output, k)
    if network.task == "maps":
        scores = shares(class_maps(output))
    else:
        scores = output if network.task == "number" else network.probabilities(output)
    best = scores.topk(min(k, output.shape[1]))
    names = tuple(tuple(network.class_name(index) for index in row) for row in best.indices.tolist())
    return Ranking(best.values, indices=best.indices, names=names)


def _boxes(network: Network, output: Tensor, k: int) -> Ranking:
    """The boxes with the highest scores, each named by its text form as a unit."""
    corners, classes, scores = best_boxes(output, k)
    names = tuple(
        tuple(
            box_unit(network.classes[index] if network.classes else index, box) for index, box in zip(*row, strict=True)
        )
        for row in zip(classes.tolist(), corners.tolist(), strict=True)
    )
    return Ranking(scores, indices=classes, names=names)


def _weights(network: Network, layer: str | None) -> Tensor:
    """The filters (N, C, h, w) of the first convolution, or of the convolution `layer`."""
    convolutions = dict(_convolutions(network))
    if not convolutions:
        raise NetworkError(f"{network.name} has no 2-D convolution, and so no filters to show.")
    if layer is None:
        return next(iter(convolutions.values())).weight.detach()
    if layer not in convolutions:
        network.layer(layer)
        raise NetworkError(
            f"{layer} of {network.name} is not a convolution.{nearest(layer, convolutions)} `layers` shows each type."
        )
    return convolutions[layer].weight.detach()


def _convolutions(network: Network) -> Iterator[tuple[str, nn.Conv2d]]:
    parts = network.module.named_modules()
    return ((layer_name(path), part) for path, part in parts if isinstance(part, nn.Conv2d))


def _filter_images(weights: Tensor, scale: str, most: int) -> list[Tensor]:
    """An image of each filter (N, C, h, w): in colour if it has three channels, else one map per channel in a row."""
    weights = weights.float()
    factor = max(1, _SMALLEST // max(weights.shape[2:]))
    scales = weights.flatten(1).abs().amax(1).clamp_min(1e-12)
    if scale == "layer":
        scales = scales.max().expand(len(weights))
    if weights.shape[1] == 3:
        return [render.enlarge(one, factor) for one in 0.5 + weights / (2 * scales.view(-1, 1, 1, 1))]
    rows = (
        [render.signed(one, limit) for one in row[:most]] for row, limit in zip(weights, scales.tolist(), strict=True)
    )
    return [render.grid([render.enlarge(one, factor) for one in row], len(row)) for row in rows]


def _columns(weights: Tensor) -> int | None:
    """The number of columns of the grid: one if each filter is a row of maps, else None (chosen by the grid)."""
    return None if weights.shape[1] in (1, 3) else 1


def _strip(values: Tensor) -> Tensor:
    """A vector (D,) as one map with 64 columns, padded with zeros."""
    columns = min(64, len(values))
    return F.pad(values, (0, -len(values) % columns)).view(-1, columns)
