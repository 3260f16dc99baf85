"""The layers of a network: what each is called, what comes out of it, what it sees.

They are found by running the network once on a grey picture. A layer that is called once carries its module's name; one
that is called several times is named per call: `relu~1`, `relu~2`.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscope.errors import LayerNotFound, NetworkError, nearest
from triscope.network import tap
from triscope.network.receptive_field import WHOLE, Fields, ReceptiveField

_MOST_PREFIX_TOKENS = 8


@dataclass(frozen=True)
class Layout:
    """How a layer's numbers are arranged, and how to see them as maps (B, C, h, w) or vectors (B, D).

    `maps` (B, C, h, w), `maps-last` (B, h, w, C), `tokens` (B, prefix + h * w, C), `vector` (B, D), or `other`. A token
    stands for a `patch` of rows x columns pixels.
    """

    kind: str
    prefix: int = 0
    patch: tuple[float, float] = (1.0, 1.0)

    def view(self, values: Tensor, height: int, width: int) -> Tensor:
        """`values` as maps or vectors, for an image of height x width pixels. Class tokens are left out."""
        if self.kind == "maps-last":
            return values.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            rows, cols = max(1, round(height / self.patch[0])), max(1, round(width / self.patch[1]))
            if values.shape[1] != self.prefix + rows * cols:
                raise NetworkError(
                    f"{values.shape[1]} tokens do not make {self.prefix} and a grid of {rows} x {cols} for an image of "
                    f"{height} x {width} pixels; state the grid: Network(..., tokens=(rows, columns))."
                )
            return values[:, self.prefix :].transpose(1, 2).reshape(len(values), -1, rows, cols)
        return values


@dataclass(frozen=True)
class Layer:
    """One layer: a module, or one call of it.

    `shape` is its output for one image of the network's default size, as the module gives it: (C, h, w), (D,), or
    (tokens, C). `parameters` counts those of the module and its parts.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    receptive_field: ReceptiveField
    layout: Layout

    @property
    def channels(self) -> int:
        """How many maps the layer has, or how long its vector is. Raises NetworkError where it has neither."""
        if self.layout.kind == "other":
            raise NetworkError(
                f"{self.name} gives {' x '.join(map(str, self.shape))} for an image, which is neither maps, nor a "
                "vector, nor a grid of tokens. If it is tokens, state the grid: Network(..., tokens=(rows, columns))."
            )
        return self.shape[0] if self.layout.kind in ("maps", "vector") else self.shape[-1]


class Layers(Mapping[str, Layer]):
    """A network's layers by name, in the order in which they finish."""

    def __init__(
        self, layers: dict[str, Layer], calls: Mapping[str, int], aliases: Mapping[str, str], network: str
    ) -> None:
        self._layers = layers
        self._calls = calls
        self._aliases = aliases
        self._network = network

    def __getitem__(self, name: str) -> Layer:
        """The layer `name`. Raises LayerNotFound, which says what is near or which calls there are."""
        found = self._layers.get(name) or self._layers.get(self._aliases.get(name, name))
        if found:
            return found
        module = self._aliases.get(name, name)
        if self._calls.get(module, 0) > 1:
            calls = ", ".join(tap.call_name(module, call + 1) for call in range(self._calls[module]))
            raise LayerNotFound(f"{name} of {self._network} is called {self._calls[module]} times; say which: {calls}.")
        raise LayerNotFound(
            f"{self._network} has no layer {name!r}.{nearest(name, self._layers)} `layers` lists all of them."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __contains__(self, name: object) -> bool:
        return name in self._layers or self._aliases.get(str(name)) in self._layers

    def __repr__(self) -> str:
        rows = [
            (
                f"{layer.name}",
                layer.type,
                "x".join(map(str, layer.shape)),
                f"{layer.parameters:,}",
                str(layer.receptive_field),
            )
            for layer in self.values()
        ]
        rows.insert(0, ("layer", "type", "output", "parameters", "sees"))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )


def find_layers(twin: nn.Module, image: Tensor, network: str, tokens: tuple[int, int] | None = None) -> Layers:
    """The layers of `twin`, found by running it on `image` (1, C, H, W), already normalised."""
    met: list[tuple[str, nn.Module, tuple[int, ...], ReceptiveField]] = []
    fields = Fields(image)

    def hear(name: str, module: nn.Module, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim >= 2:
            met.append((name, module, tuple(output.shape), fields.of(output)))

    with torch.no_grad(), fields:
        output = tap.run(twin, image, hear)
    if isinstance(output, Tensor):
        met.append(("output", twin, tuple(output.shape), fields.of(output)))

    height, width = image.shape[-2:]
    calls = Counter(name for name, *_ in met)
    so_far: Counter[str] = Counter()
    layers: dict[str, Layer] = {}
    for name, module, shape, field in met:
        so_far[name] += 1
        call = tap.call_name(name, so_far[name]) if calls[name] > 1 else name
        layout = _layout(shape, height, width, tokens)
        size = sum(parameter.numel() for parameter in module.parameters())
        shown = field if layout.kind in ("maps", "maps-last") else WHOLE
        layers[call] = Layer(call, type(module).__name__, shape[1:], size, shown, layout)
    return Layers(layers, calls, _aliases(twin), network)


def _layout(shape: tuple[int, ...], height: int, width: int, tokens: tuple[int, int] | None) -> Layout:
    if len(shape) == 2:
        return Layout("vector")
    if len(shape) == 4:
        # A map is as square as the picture; channels that come last are found by that.
        last = _alike(shape[1], shape[2], height, width) and not _alike(shape[2], shape[3], height, width)
        return Layout("maps-last" if last else "maps")
    if len(shape) == 3:
        grids = [tokens] if tokens else list(_grids(shape[1], height, width))
        for rows, cols in grids:
            if shape[1] >= rows * cols:
                return Layout("tokens", shape[1] - rows * cols, (height / rows, width / cols))
    return Layout("other")


def _alike(rows: int, cols: int, height: int, width: int) -> bool:
    return abs(rows * width - cols * height) <= max(height, width)


def _grids(count: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """The grids, as wide as the image is, that `count` tokens may be, the fewest extra tokens first."""
    for prefix in range(min(_MOST_PREFIX_TOKENS, count - 1) + 1):
        rows = round(math.sqrt((count - prefix) * height / width))
        cols = (count - prefix) // rows if rows else 0
        if (
            rows > 1
            and cols > 1
            and rows * cols == count - prefix
            and abs(rows * width - cols * height) < max(height, width) / 2
        ):
            yield rows, cols


def _aliases(twin: nn.Module) -> dict[str, str]:
    """Other names under which a module is registered, to the name its tap carries."""
    first = {id(module): tap.layer_name(path) for path, module in twin.named_modules()}
    names = ((tap.layer_name(path), first[id(module)]) for path, module in twin.named_modules(remove_duplicate=False))
    return {name: tapped for name, tapped in names if name != tapped}
