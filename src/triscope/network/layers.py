"""The layers of a network: name, type, output, parameters, receptive field.

They are found by running the network on two images (see `triscope.network.finding`). A layer that is called once has
its module's name; one that is called several times is named per call: `relu~1`, `relu~2`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from triscope.errors import LayerNotFound, NetworkError, nearest
from triscope.network import tap
from triscope.network.answers import Answer
from triscope.network.layout import Layout
from triscope.network.receptive_field import ReceptiveField
from triscope.results.notebook import table


@dataclass(frozen=True)
class Layer:
    """One layer: a module, or one call of it.

    name            the path of the module, with the number of the call if there are several
    type            the class of the module
    shape           its output for one image of the network's default size, as the module returns it: (C, h, w), (D,),
                    or (tokens, C)
    parameters      the number of parameters of the module and its parts
    receptive_field the pixels that a position depends on
    layout          how its output is arranged
    note            a remark: that it is silent, or why its rows are not images
    instead         the nearest layer whose rows are images, if its own are not
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    receptive_field: ReceptiveField
    layout: Layout
    note: str | None = None
    instead: str | None = None

    @property
    def grid(self) -> tuple[int, int] | None:
        """The (rows, columns) of its maps for an image of the network's default size; None if it has no maps."""
        return self.layout.grid

    def require_image_rows(self) -> None:
        """Raise NetworkError if the layer does not have one row per image that depends on the image."""
        if not self.layout.pictures and self.layout.why:
            raise NetworkError(f"{self.name} {self.layout.why}, so it cannot be used.")
        if not self.layout.pictures:
            near = f" The nearest layer that has one row for each image is {self.instead}." if self.instead else ""
            raise NetworkError(f"{self.name} {self.note}, so its rows are not images.{near}")

    @property
    def channels(self) -> int:
        """The number of maps, or the length of the vector. Raises NetworkError if it has neither."""
        self.require_image_rows()
        if self.layout.kind == "other":
            raise NetworkError(
                f"{self.name} gives {' x '.join(map(str, self.shape))} for an image, which is neither maps, nor a "
                "vector, nor a grid of tokens. If it is tokens, state the grid: Network(..., tokens=(rows, columns))."
            )
        if self.layout.order:
            return self.layout.order.channels
        return self.shape[0] if self.layout.kind in ("maps", "vector") else self.shape[-1]

    def token_channels(self, of_class: bool = False) -> int:
        """The number of channels of its tokens.

        Raises NetworkError if the layer has no tokens, or with `of_class` no class token.
        """
        self.require_image_rows()
        order = self.layout.order
        if not order and not (len(self.shape) == 2 and self.layout.kind in ("tokens", "other")):
            raise NetworkError(f"{self.name} gives {' x '.join(map(str, self.shape))} for an image, and no tokens.")
        if of_class and not self.layout.before:
            raise NetworkError(
                f"{self.name} has no class token: there are no tokens before its positions. If there are, state how "
                "many: Network(..., extra_tokens=(before, after))."
            )
        return order.channels if order else self.shape[-1]


class Layers(Mapping[str, Layer]):
    """A network's layers by name, in the order in which they finish.

    answer      the network's output
    single      whether the network takes one image at a time
    copied      whether images are copied into a larger canvas, so that positions depend on the image's size
    mixing      a layer whose activations for an image depend on the others in the batch; False for none, None if that
                has not been tested yet
    """

    def __init__(
        self,
        layers: dict[str, Layer],
        calls: Mapping[str, int],
        aliases: Mapping[str, str],
        network: str,
        answer: Answer,
        single: bool = False,
        copied: bool = False,
    ) -> None:
        self._layers = layers
        self._calls = calls
        self._aliases = aliases
        self._network = network
        self.answer = answer
        self.single = single
        self.copied = copied
        self.mixing: str | Literal[False] | None = None

    def near(self, name: str) -> str | None:
        """The layer nearest to `name` that has one row per image: the last before it, else the first after."""
        return nearest_rows(self._layers, self[name].name if name in self else name)

    def __getitem__(self, name: str) -> Layer:
        """The layer `name`. Raises LayerNotFound, which names similar layers or the calls of a module."""
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
        rows = self.rows()
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *(["It takes one image at a time."] if self.single else [])])

    def _repr_html_(self) -> str:
        heads, *rows = self.rows()
        return table(heads, rows)

    def rows(self) -> list[tuple[str, ...]]:
        """A table: the heads, then for each layer its name, type, output, parameters, receptive field, and notes."""
        rows: list[tuple[str, ...]] = [
            (
                layer.name,
                layer.type,
                "x".join(map(str, layer.shape)),
                f"{layer.parameters:,}",
                str(layer.receptive_field),
                layer.note or _seen_as(layer),
            )
            for layer in self.values()
        ]
        rows.insert(
            0, ("layer", "type", "output", "parameters", "sees", "note" if any(row[-1] for row in rows) else "")
        )
        return rows


def _seen_as(layer: Layer) -> str:
    """A note on the maps that a layer is presented as, if they cannot be seen from its shape."""
    maps = (layer.channels, *layer.grid) if layer.layout.order and layer.grid else ()
    return f"seen as {'x'.join(map(str, maps))}" if maps else ""


def nearest_rows(layers: Mapping[str, Layer], name: str) -> str | None:
    """The layer nearest to `name` that has one row per image: the last before it, else the first after; or None."""
    names = list(layers)
    place = names.index(name) if name in names else len(names)
    fine = [other not in (name, "output") and layers[other].layout.kind not in ("roi", "other") for other in names]
    before = [other for other, good in zip(names[:place], fine, strict=False) if good]
    after = [other for other, good in zip(names[place:], fine[place:], strict=True) if good]
    return before[-1] if before else after[0] if after else None
