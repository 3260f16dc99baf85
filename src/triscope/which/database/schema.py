"""Columns: which vectors of an image are kept, and their metadata.

A layer of maps (C, h, w) is kept as its mean and its maximum over positions, with the position of the maximum; whole
only where that is asked for. A layer of vectors is kept as it is. The image itself is kept small, for neighbours in
pixel space.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError, StoreError, TriscopeWarning
from triscope.network import Network
from triscope.network.stages import depths
from triscope.objectives.base import Need

Kind: TypeAlias = Literal["none", "mean", "max", "class", "place", "pixels"]

#: Pixel space is the image at this size, in pixels.
PIXELS = 16

# Half precision rounds to three digits from 6e-5 to 65504, and images differ. Layers of other numbers are kept in
# single precision.
_FAINTEST, _STRONGEST = 1e-3, 1e3


@dataclass(frozen=True)
class Column:
    """One vector of every image: of a layer, pooled so, of this shape for one image, kept as numbers of this type.

    `none` is the layer as it is, `class` its class token, `place` the position (row * width + col) of each map's
    maximum, `pixels` the small image.
    """

    name: str
    layer: str
    pool: Kind
    shape: tuple[int, ...]
    dtype: str = "float16"
    #: The size of the maps that were pooled, which gives `place` its rows and columns.
    grid: tuple[int, int] = (1, 1)

    @property
    def length(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    def answers(self, need: Need) -> bool:
        """Whether this column alone answers a need: a vector has one position, so every pooling of it is itself."""
        if self.layer != need.layer or self.pool in ("place", "pixels"):
            return False
        if need.pool in ("class", "tokens"):
            return self.pool == need.pool
        return self.pool == need.pool or (self.pool == "none" and (len(self.shape) == 1 or need.pool != "none"))

    @property
    def label(self) -> str:
        """Its name where layers are listed: the layer, or `norm@class` for its class token."""
        return f"{self.layer}@class" if self.pool == "class" else self.layer

    def to_json(self) -> dict[str, Any]:
        """The column as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> "Column":
        """What `to_json` gave."""
        return cls(**{**known, "shape": tuple(known["shape"]), "grid": tuple(known["grid"])})

    def __str__(self) -> str:
        pooled = {
            "none": "",
            "mean": ", mean",
            "max": ", maximum",
            "class": ", class token",
            "place": ", place of the maximum",
            "pixels": " (small)",
        }
        return f"{self.layer}{pooled[self.pool]}: {' x '.join(map(str, self.shape))}"


@dataclass(frozen=True)
class _Seen:
    """What a layer gave for the images that were tried: its shape for one, how large its means over positions are at
    most, and whether they are the same for all images.
    """

    shape: tuple[int, ...]
    size: float
    same_mean: bool

    @classmethod
    def of(cls, faint: Tensor, strong: Tensor) -> "_Seen":
        """From a layer's activations for a faint and a strong image, (C, h, w) or (D,)."""
        means = [one.float().flatten(1).mean(1) if one.ndim > 1 else one.float() for one in (faint, strong)]
        rounding = 1e-5 * float(strong.float().abs().mean())
        size = max(float(one.abs().max()) for one in means)
        same = strong.ndim > 1 and rounding > 0 and float((means[0] - means[1]).abs().max()) <= rounding
        return cls(tuple(strong.shape), size, same)


def choose(network: Network, layers: Iterable[str | Need], maps: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns that keep these layers, or where none is named those that stand for the network; `maps` whole too.

    Raises LayerNotFound, NetworkError for layers that are neither maps nor vectors, StoreError where none is named and
    none stands for the network.
    """
    needs = [_class_token(one, network) if isinstance(one, str) else one for one in layers]
    asked = [need if isinstance(need, Need) else None for need in needs]
    names = [need.layer if isinstance(need, Need) else need for need in needs]
    wanted = [*zip(names, asked, strict=True), *((name, Need(name)) for name in maps)]
    wanted = wanted or [(name, None) for name in usual(network)]
    if not wanted:
        raise StoreError("A store keeps at least one layer; `layers` lists those of the network.")
    if "input" in {name for name, _ in wanted}:
        raise StoreError("The input is always kept, small; name a layer of the network.")
    inner = list(dict.fromkeys(name for name, _ in wanted))
    if "output" in inner and network.task == "boxes":
        raise StoreError(
            f"A store keeps no detected boxes, whose number varies, and {network.name} gives "
            "boxes as its output. Name an inner layer, or none for a few representative ones."
        )
    for name in inner:
        _ = network.layer(name).channels  # refuses what is neither maps nor a vector
    for one in filter(None, asked):
        if one.pool == "tokens":
            raise StoreError(f"A store keeps the class token of {one.layer} ({one.layer}@class), not all its tokens.")
        if one.pool == "class":
            network.layer(one.layer).token_channels(of_class=True)
    seen = _tried(network, inner)
    columns: dict[tuple[str, Kind], Column] = {}
    for name, need in wanted:
        for kind in _kinds(name, seen[name], need):
            columns.setdefault((name, kind), _column(name, kind, seen[name], f"v{inner.index(name)}"))
    pixels = Column("pixels", "input", "pixels", (network.channels, PIXELS, PIXELS))
    return (*columns.values(), pixels)


def usual(network: Network) -> list[str]:
    """The layers kept by default: a few representative ones, and the class scores if there are some."""
    try:
        network.require_classifier()
    except NetworkError:
        return depths(network)
    return [*depths(network), "output"] if network.task not in ("embedding", "number") else depths(network)


def _class_token(name: str, network: Network) -> str | Need:
    """A layer's name as it is; `norm@class` as the need that it stands for."""
    need = Need.read(name)
    return name if need.pool == "none" or name in network.layers else need


def _kinds(layer: str, seen: _Seen, need: Need | None) -> tuple[Kind, ...]:
    if len(seen.shape) == 1:
        return ("none",)
    if need is None and seen.same_mean:
        warnings.warn(
            f"The mean of {layer} over its positions is the same for every image, as behind an instance "
            "normalisation; of this layer the maximum is kept.",
            TriscopeWarning,
            stacklevel=2,
        )
        return "max", "place"
    if need is None:
        return "mean", "max", "place"
    if need.pool == "gram" or need.pool == "tokens":  # noqa: PLR1714 - a Gram matrix is computed from whole maps
        return ("none",)
    return ("max", "place") if need.pool == "max" else (need.pool,)


def _tried(network: Network, layers: Iterable[str]) -> dict[str, _Seen]:
    """What layers give for faint noise and for strong, darker noise, one at a time."""
    noise = torch.rand(2, network.channels, *network.size, generator=torch.Generator().manual_seed(0))
    noise = noise.to(network.device, network.dtype)
    names = list(layers)
    with torch.no_grad():
        looks = [network.look(one, names) for one in (0.4 + 0.2 * noise[:1], noise[1:].square())]
    return {name: _Seen.of(*(look[name][0] for look in looks)) for name in names}


def _holds_half(size: float) -> bool:
    """Whether half precision holds numbers of about this size, and those of other images, with three digits."""
    return _FAINTEST <= size <= _STRONGEST


def _column(layer: str, kind: Kind, seen: _Seen, prefix: str) -> Column:
    # A dot in a column's name would mean a field inside a field.
    name, shape = f"{prefix}_{re.sub(r'[^0-9A-Za-z]', '_', layer)}_{kind}", seen.shape
    pooled = shape if kind == "none" else shape[:1]
    if kind == "place":
        dtype = "uint16" if shape[1] * shape[2] <= 2**16 else "int32"
    else:
        # Maxima keep every bit, so that the best patches come out in the order in which the pass saw them.
        dtype = "float16" if kind != "max" and _holds_half(seen.size) else "float32"
    return Column(name, layer, kind, pooled, dtype, (shape[1], shape[2]) if len(shape) == 3 else (1, 1))
