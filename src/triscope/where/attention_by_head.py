"""Raw attention: the weights that each head of one attention gives the tokens.

    A = softmax(q k' / sqrt(d)),    A[head, i, j]: how much of token j's value token i takes

**When they mislead.** A weight says how much of a token's value is taken, and neither what that value holds nor whether
the answer uses it (Jain and Wallace, "Attention is not explanation", 2019). After the first layers
a token is a mixture of all of them. Heads without a use attend to one token, often one without content (Darcet et al.,
"Vision transformers need registers", ICLR 2024).

**Reference.** M. Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021, figure 1.
"""

import re
from collections.abc import Sequence
from typing import Annotated

from torch import Tensor

from triscope import render
from triscope.errors import NetworkError, OptionError
from triscope.methods import ImagesArg, LayerArg, NetworkArg, Range, method
from triscope.network import Network
from triscope.network.backward_rules import NonlinearityCount
from triscope.results import Grid
from triscope.where.attention_maps import AttentionMaps, TokenGrid
from triscope.where.target import with_gradients

_SMALLEST = 112  # pixels on the side of a map, so that it can be seen
_PLACE = re.compile(r"(\d+),(\d+)")


@method("view")
def attention_maps(
    network: NetworkArg,
    images: ImagesArg,
    layer: LayerArg | None = None,
    *,
    head: Annotated[int, Range(0, 1023)] | None = None,
    token: str = "class",
) -> Grid:
    """What a token attends to, in each head of one attention layer.

    Values (heads, T, T): row i is what token i attends to, and sums to 1. Each head is drawn as what one token attends
    to among the patches, all heads at one scale. Raises NetworkError for several images, if there is no attention
    before the layer, and if the attention is within windows.

    layer   show the last attention at or before this layer  [default: the last of the network]
    head    show this head only, counted from 0
    token   the token whose attention is drawn: class (the first token; without a class token the mean of all), mean, a
            patch as ROW,COLUMN, or all (the whole matrix, one row per token)
    """
    if len(images) != 1:
        raise NetworkError(f"attention_maps shows one image at a time; {len(images)} were given.")
    weights, place = _weights(network, images.images, layer)
    if head is not None and head >= len(weights):
        raise NetworkError(f"That attention of {network.name} has heads 0 to {len(weights) - 1}; there is no {head}.")
    heads = range(len(weights)) if head is None else [head]
    values = weights[list(heads)]
    drawn, whose = _drawn(network, images.images, values, token)
    drawn = drawn.float()
    scale = render.scale_of(drawn)
    factor = max(1, -(-_SMALLEST // max(drawn.shape[1:])))
    return Grid(
        values,
        pictures=tuple(render.enlarge(render.unsigned(one, scale), factor) for one in drawn),
        titles=tuple(f"head {index}" for index in heads),
        note=f"Attention {place}: {whose}; the strongest colour stands for {scale:.3g}.",
    )


def _weights(network: Network, images: Tensor, layer: str | None) -> tuple[Tensor, str]:
    """The last attention at or before a layer, (heads, T, T), and which it is."""
    rule = AttentionMaps("attention_maps")
    with with_gradients(network.device):  # rules act only where gradients are on; none is computed here
        look = network.look(images, [layer or "output"], rule=rule)
    rule.check(look.tally or NonlinearityCount(), network.name)
    weights = rule.maps[-1].detach()
    if weights.ndim == 4:
        if len(weights) != 1:
            raise NetworkError(
                f"The tokens of {network.name} attend to each other within {len(weights)} windows there, which are not "
                "maps of the image. Use relevance, or a layer after an attention of all tokens."
            )
        weights = weights[0]
    return weights, f"{len(rule.maps)} of the pass, on the way to {layer or 'output'}"


def _drawn(network: Network, images: Tensor, values: Tensor, token: str) -> tuple[Tensor, str]:
    """The map of each head (heads, h, w), and whose attention it shows."""
    if token == "all":
        return values, "each row is what one token attends to"
    grid = TokenGrid.of(network, images, values.shape[-1], "attention_maps")
    row, whose = _row(grid, values, token)
    patches = row[:, grid.prefix : grid.prefix + grid.rows * grid.cols]
    return patches.reshape(-1, grid.rows, grid.cols), whose


def _row(grid: TokenGrid, values: Tensor, token: str) -> tuple[Tensor, str]:
    """A token's row of each head, (heads, T), and whose it is. Raises OptionError for what is no token."""
    if token == "class" and grid.prefix:
        return values[:, 0], "what the class token attends to"
    if token in ("class", "mean"):
        return values.mean(1), "what the mean token attends to"
    found = _PLACE.fullmatch(token.replace(" ", ""))
    place: Sequence[int] = tuple(map(int, found.groups())) if found else ()
    if len(place) != 2 or place[0] >= grid.rows or place[1] >= grid.cols:
        raise OptionError(
            f"token is class, mean, all or a patch, ROW,COLUMN with rows 0 to {grid.rows - 1} and columns 0 to "
            f"{grid.cols - 1}; not {token!r}."
        )
    number = grid.prefix + place[0] * grid.cols + place[1]
    return values[:, number], f"what the patch in row {place[0]}, column {place[1]} attends to"
