"""The activations of one forward pass."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from triscope.errors import NetworkError
from triscope.network.backward_rules import NonlinearityCount
from triscope.network.layout import Layout
from triscope.objectives.base import Need
from triscope.objectives.pooling import pooled

if TYPE_CHECKING:
    from triscope.network.network import Network


class Look(Mapping[Need, Tensor]):
    """The activations of one forward pass, by `Need`. Pooled ones are computed on first access.

    Maps are (B, C, h, w), also if the module has channels last, tokens or windows; vectors are (B, D).

    layouts     how the module arranges each layer
    needs       the activations that are iterated over
    kept        the tensors as the module returned them
    leaves      the layers that gradients flow to
    tally       the nonlinearities in the pass, if a backward rule was applied
    grids       (rows, columns) in this pass of those layers whose maps become tokens
    """

    def __init__(
        self,
        layouts: Mapping[str, Layout],
        needs: Iterable[Need],
        kept: Mapping[str, Tensor],
        leaves: Sequence[str] = (),
        tally: NonlinearityCount | None = None,
        grids: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.layouts = layouts
        self.grids = grids or {}
        self.kept = kept
        self.needs = tuple(dict.fromkeys([*needs, *map(Need, leaves)]))
        self._count, _, *self._size = kept["input"].shape
        self._answers: dict[Need, Tensor] = {}
        #: The tensors that gradients flow to: the outputs of those layers, as the module returned them.
        self.leaves = {leaf: kept[leaf] for leaf in leaves}
        #: The first of them, or None.
        self.leaf = next(iter(self.leaves.values()), None)
        self.tally = tally

    @classmethod
    def together(cls, looks: Sequence["Look"], images: Tensor, leaves: Sequence[str]) -> "Look":
        """The activations of several images, from passes over each of them alone."""
        first, kept = looks[0], {"input": images}
        for name in first.kept.keys() - {"input"}:
            layout = first.layouts.get(name, Layout("vector"))
            kept[name] = layout.together([look.kept[name] for look in looks])
        return cls(first.layouts, first.needs, kept, leaves, None, first.grids)

    def __getitem__(self, need: Need | str) -> Tensor:
        need = Need(need) if isinstance(need, str) else need
        if need not in self._answers:
            self._answers[need] = self._answer(need)
        return self._answers[need]

    def view(self, layer: str, values: Tensor, count: int | None = None) -> Tensor:
        """`values`, arranged as the module arranges `layer`, as maps (n, C, h, w) or vectors (n, D).

        `count` is the number of images n, by default that of this pass.
        """
        if layer in ("input", "output"):
            return values
        rows, cols = self._size
        return self.layouts[layer].view(values, count or self._count, (rows, cols), self.grids)

    def _tokens(self, need: Need) -> Tensor:
        """All tokens of a layer (B, T, C), or its class token (B, C)."""
        layout = self.layouts.get(need.layer)
        tokens = layout.tokens(self.kept[need.layer], self._count) if layout else None
        if layout is None or tokens is None or (need.pool == "class" and not layout.before):
            raise NetworkError(f"{need.layer} has no {'class token' if need.pool == 'class' else 'tokens'}.")
        return tokens[:, 0] if need.pool == "class" else tokens

    def _answer(self, need: Need) -> Tensor:
        if need.pool in ("class", "tokens"):
            return self._tokens(need)
        return pooled(self.view(need.layer, self.kept[need.layer]), need.pool)

    def __iter__(self) -> Iterator[Need]:
        return iter(self.needs)

    def __len__(self) -> int:
        return len(self.needs)


def require_rows(
    layers: Iterable[str], layouts: Mapping[str, Layout], kept: Mapping[str, Tensor], network: "Network"
) -> None:
    """Raise NetworkError if a layer does not have one row per image of the pass."""
    images = kept["input"]
    for layer in sorted(layers):
        _require_rows(layer, layouts.get(layer), kept[layer], len(images), network)
        if layer == "output" and network.answer and images.shape[-2:] == network.size:
            network.answer.require_same(kept[layer], network.name)


def _require_rows(layer: str, layout: Layout | None, values: Tensor, count: int, network: "Network") -> None:
    if layout.rows_fit(values.shape, count) if layout else values.ndim and len(values) == count:
        return
    rows = len(values) if values.ndim else 1
    near = network.layers.near(layer)
    raise NetworkError(
        f"{layer} of {network.name} gives {_counted(rows, 'row')} for {_counted(count, 'image')}, so its rows are "
        f"not images.{f' The nearest layer that has one row for each image is {near}.' if near else ''}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
