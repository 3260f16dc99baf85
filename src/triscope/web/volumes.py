"""A layer's activations as a page draws them: statistics of every unit, and all maps in 8 bits.

The page colours the maps itself. Each has its unit's own range in 8 bits, which serves both scales: that of each unit,
and that of the layer. Filters and images of units are tiles of one image.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triscope import render
from triscope.errors import NetworkError, OptionError
from triscope.images import to_pil
from triscope.network import Layer, Network
from triscope.network.tap import layer_name
from triscope.objectives.base import Need
from triscope.results.drawing import levels, statistics
from triscope.views import filters
from triscope.web.packed import packed
from triscope.web.photos import encoded

_BLOCK = 8  # pixels: blocks of a JPEG, which must not lie across two tiles
_AS_PNG = 600_000  # pixels up to which an atlas is a PNG
_WIDEST = 4096
_QUALITY = 90


@dataclass(frozen=True, eq=False)
class Volume:
    """A layer's maps (C, h, w) for one image; vectors are maps of one position."""

    layer: str
    values: Tensor

    @cached_property
    def signed(self) -> bool:
        """Whether any value is negative."""
        return bool((self.values < 0).any())

    def facts(self) -> dict[str, Any]:
        """Statistics of each unit."""
        count, height, width = self.values.shape
        return {
            "layer": self.layer,
            "count": count,
            "height": height,
            "width": width,
            "signed": self.signed,
            **statistics(self.values),
            "scale": render.scale_of(self.values),
        }

    def levels(self) -> Tensor:
        """Every map (C, h, w) in 8 bits, by its own largest magnitude: 0 to 255, or where the layer has negative values
        around 128.
        """
        limit = self.values.flatten(1).abs().amax(1).clamp_min(1e-30)[:, None, None]
        return levels(self.values, limit, signed=self.signed)

    def packed(self) -> bytes:
        """The facts and the levels."""
        return packed(self.facts(), self.parts())

    def parts(self) -> dict[str, bytes]:
        """The levels for the page, map by map."""
        return {"levels": self.levels().cpu().numpy().tobytes()}

    def map(self, channel: int) -> bytes:
        """The exact numbers of one map, packed. Raises OptionError where there is no such channel."""
        if not 0 <= channel < len(self.values):
            raise OptionError(f"{self.layer} has the channels 0 to {len(self.values) - 1}.")
        return packed_numbers(self.values[channel])


def volume(network: Network, images: Tensor, layer: str) -> Volume:
    """A layer's activations for one image. Raises LayerNotFound and NetworkError."""
    with torch.no_grad():
        values = network.look(images, [layer])[Need(layer)][0].float().cpu()
    if values.ndim == 1:
        values = values[:, None, None]
    if values.ndim != 3:
        raise NetworkError(f"{layer} gives {' x '.join(map(str, values.shape))} numbers, which are neither maps nor "
                           "a vector.")  # fmt: skip
    return Volume(layer, values.nan_to_num())


def filter_atlas(network: Network, layer: str) -> bytes:
    """The filters of a convolution as coloured tiles, packed: the place of each, and the image that has them all."""
    return _atlas(torch.stack(filters(network, layer, most=4096).pictures))


def picture_atlas(pictures: "list[Tensor]", side: int = 64) -> bytes:
    """Images of any size (3, h, w) as square tiles, packed in the same way."""
    return _atlas(torch.stack([render.square(picture, side) for picture in pictures]))


def layer_facts(network: Network) -> list[dict[str, Any]]:
    """Every layer: its name, type, size, receptive field, and whether it can be chosen."""
    parts = network.module.named_modules()
    pictured = {layer_name(path) for path, part in parts if isinstance(part, nn.Conv2d) and part.in_channels in (1, 3)}
    return [{**_layer(one), "filters": one.name in pictured} for one in network.layers.values()]


def packed_numbers(values: Tensor, **told: Any) -> bytes:
    """Numbers as float32, little-endian, with their shape and what else is told of them."""
    numbers = np.ascontiguousarray(values.detach().float().cpu().numpy(), dtype="<f4")
    return packed({"shape": list(values.shape), **told}, {"values": numbers.tobytes()})


def _layer(layer: Layer) -> dict[str, Any]:
    grid = layer.grid or (1, 1)
    try:
        channels = layer.channels if layer.layout.kind != "maps" or layer.grid else 0
    except NetworkError:
        channels = 0
    sees = [layer.receptive_field.rows, layer.receptive_field.cols]
    return {
        "name": layer.name,
        "type": layer.type,
        "channels": channels,
        "grid": list(grid),
        "parameters": layer.parameters,
        "sees": str(layer.receptive_field),
        "field": [[span.size, span.stride, span.offset] if span else None for span in sees],
        "note": layer.note,
    }


def _layout(count: int, height: int, width: int) -> tuple[tuple[int, int], int]:
    """The size of an atlas's tiles, and how many are in a row."""
    small = count * height * width <= _AS_PNG
    tall, wide = (side if small else side + -side % _BLOCK for side in (height, width))
    columns = min(max(1, _WIDEST // wide), max(1, math.ceil(math.sqrt(count * tall / wide))))
    return (tall, wide), columns


def _sheet(tiles: Tensor, tall: int, wide: int, columns: int) -> Tensor:
    """Tiles (N, C, h, w) side by side (C, H, W), each filled up with its own edge."""
    count, channels, height, width = tiles.shape
    tiles = F.pad(tiles, (0, wide - width, 0, tall - height), mode="replicate") if (tall, wide) != (
        height, width) else tiles  # fmt: skip
    rows = -(-count // columns)
    tiles = F.pad(tiles, (0, 0, 0, 0, 0, 0, 0, rows * columns - count))
    laid = tiles.reshape(rows, columns, channels, tall, wide).permute(2, 0, 3, 1, 4)
    return laid.reshape(channels, rows * tall, columns * wide)


def _atlas(tiles: Tensor) -> bytes:
    """Tiles (N, C, h, w) as one image, and where in it each is: left, top, width, height."""
    count, _, height, width = tiles.shape
    (tall, wide), columns = _layout(count, height, width)
    places = [[i % columns * wide, i // columns * tall, width, height] for i in range(count)]
    sheet = to_pil(_sheet(tiles, tall, wide, columns))
    small = sheet.width * sheet.height <= _AS_PNG
    image = encoded(sheet, "PNG", compress_level=1) if small else encoded(sheet, "JPEG", quality=_QUALITY)
    return packed({"height": height, "width": width, "count": count, "places": places}, {"image": image})
