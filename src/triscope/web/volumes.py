"""A layer's activations as a page draws them: statistics of every unit, and all maps as one atlas of grey tiles.

The page colours the tiles itself. A tile holds its unit's own range in 8 bits, so that one atlas serves both scales:
that of each unit, and that of the layer.
"""

import base64
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triscope import render
from triscope.errors import NetworkError
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
_RAW = 4_000_000  # numbers up to which the page gets all of them
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
        """Statistics of each unit, and the layout of the atlas."""
        count, height, width = self.values.shape
        tile, columns = _layout(count, height, width)
        return {
            "layer": self.layer,
            "count": count,
            "height": height,
            "width": width,
            "tile": tile,
            "columns": columns,
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
        """The facts, and the levels where they are not too many."""
        return packed(self.facts(), self.parts())

    def parts(self) -> dict[str, bytes]:
        """The levels for the page, map by map; none for a layer whose atlas is smaller."""
        return {"levels": self.levels().cpu().numpy().tobytes()} if self.values.numel() <= _RAW else {}

    def atlas(self) -> tuple[bytes, str]:
        """One image with every map as a tile of its grey levels."""
        count, height, width = self.values.shape
        (tall, wide), columns = _layout(count, height, width)
        sheet = _sheet(self.levels()[:, None].float(), tall, wide, columns)[0].to(torch.uint8).cpu().numpy()
        return _encoded(PIL.Image.fromarray(sheet))


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


def filter_atlas(network: Network, layer: str) -> tuple[dict[str, Any], bytes, str]:
    """The filters of a convolution as coloured tiles: the layout of the atlas, its bytes and its media type."""
    pictures = filters(network, layer, most=4096).pictures
    tall, wide = pictures[0].shape[-2:]
    tile, columns = _layout(len(pictures), tall, wide)
    sheet = _sheet(torch.stack(pictures), *tile, columns)
    facts = {"height": tall, "width": wide, "tile": tile, "columns": columns, "count": len(pictures)}
    data, kind = _encoded(to_pil(sheet))
    return facts, data, kind


def picture_atlas(pictures: "list[Tensor]", side: int = 64) -> tuple[dict[str, Any], bytes, str]:
    """Images of any size (3, h, w) as square tiles."""
    tile, columns = _layout(len(pictures), side, side)
    squares = torch.stack([render.square(picture, side) for picture in pictures])
    data, kind = _encoded(to_pil(_sheet(squares, *tile, columns)))
    return {"height": side, "width": side, "tile": tile, "columns": columns, "count": len(pictures)}, data, kind


def layer_facts(network: Network) -> list[dict[str, Any]]:
    """Every layer: its name, type, size, receptive field, and whether it can be chosen."""
    parts = network.module.named_modules()
    pictured = {layer_name(path) for path, part in parts if isinstance(part, nn.Conv2d) and part.in_channels in (1, 3)}
    return [{**_layer(one), "filters": one.name in pictured} for one in network.layers.values()]


def as_text(values: Tensor) -> dict[str, Any]:
    """Numbers as float32, little-endian, in base64, which JSON parses quickly."""
    return {"shape": list(values.shape), "data": base64.b64encode(as_bytes(values)).decode()}


def as_bytes(values: Tensor) -> bytes:
    """Numbers as float32, little-endian."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy(), dtype="<f4").tobytes()


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


def _encoded(picture: PIL.Image.Image) -> tuple[bytes, str]:
    if picture.width * picture.height <= _AS_PNG:
        return encoded(picture, "PNG", compress_level=1), "image/png"
    return encoded(picture, "JPEG", quality=_QUALITY), "image/jpeg"
