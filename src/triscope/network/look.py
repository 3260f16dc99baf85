"""What one pass showed."""

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
    """What one pass showed, asked by `Need`. Pooled answers are computed when asked for.

    `kept` are the tensors as the module gave them, of which the answers are made.

    Maps are (B, C, h, w), also where the module keeps channels last, gives tokens or works in windows; vectors are
    (B, D). `layouts` say how the module arranges each layer, `grids` how many rows and columns those layers had in this
    pass whose maps were made tokens.
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
        self._pictures, _, *self._size = kept["input"].shape
        self._answers: dict[Need, Tensor] = {}
        #: The tensors that gradients flow to: the outputs of those layers, as the module gave them.
        self.leaves = {leaf: kept[leaf] for leaf in leaves}
        #: The first of them, or None.
        self.leaf = next(iter(self.leaves.values()), None)
        #: The nonlinearities met, where a rule was followed.
        self.tally = tally

    @classmethod
    def together(cls, looks: Sequence["Look"], images: Tensor, leaves: Sequence[str]) -> "Look":
        """One look at several images, of a look at each of them alone."""
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

    def view(self, layer: str, values: Tensor, pictures: int | None = None) -> Tensor:
        """`values`, arranged as the module arranges `layer`, as maps or vectors; those of this pass's images, or of
        another number of them.
        """
        if layer in ("input", "output"):
            return values
        rows, cols = self._size
        return self.layouts[layer].view(values, pictures or self._pictures, (rows, cols), self.grids)

    def _tokens(self, need: Need) -> Tensor:
        """All tokens of a layer (B, T, C), or its class token (B, C)."""
        layout = self.layouts.get(need.layer)
        tokens = layout.tokens(self.kept[need.layer], self._pictures) if layout else None
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
    """Raise NetworkError where a layer's rows cannot be the images that were asked about."""
    images = kept["input"]
    for layer in sorted(layers):
        _require_rows(layer, layouts.get(layer), kept[layer], len(images), network)
        if layer == "output" and network.answer and images.shape[-2:] == network.size:
            network.answer.require_same(kept[layer], network.name)


def _require_rows(layer: str, layout: Layout | None, values: Tensor, pictures: int, network: "Network") -> None:
    if layout.rows_fit(values.shape, pictures) if layout else values.ndim and len(values) == pictures:
        return
    rows = len(values) if values.ndim else 1
    near = network.layers.near(layer)
    raise NetworkError(
        f"{layer} of {network.name} gives {_counted(rows, 'row')} for {_counted(pictures, 'image')}, so its rows are "
        f"not images.{f' The nearest layer that has one row for each image is {near}.' if near else ''}"
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
