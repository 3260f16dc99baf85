"""Which layers stand for a network: a handful, from its first to its last, found by themselves.

Layers are grouped by how many positions they have. Each group has its stops, the places where a step of the network is
complete: its blocks (residual, inception, transformer, ...) where it is built of blocks, else its nonlinearities, else
its layers with weights. Every group gives its last stop; where there are few groups, the longest give more. The last
hidden vector, if there is one, comes at the end.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import groupby, takewhile

from torch import nn

from triscope.network.layers import Layer
from triscope.network.network import Network

_MOST = 5
_CONTAINERS = {"Sequential", "ModuleList", "ModuleDict"}
_UNCHANGING = {"Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "Identity", "StochasticDepth", "DropPath"}


def depths(network: Network) -> list[str]:
    """Up to five layers of maps or tokens, and the last hidden vector: their names, from the first to the last.

    For the pocket network they are its ReLUs. Empty for a network that has neither.
    """
    tree = _Tree(network)
    maps = (layer for layer in tree.layers if tree.positions(layer) > 1)
    groups = [stops for _, run in groupby(maps, tree.positions) if (stops := tree.stops(list(run)))]
    if len(groups) > _MOST:
        groups = [groups[round(place * (len(groups) - 1) / (_MOST - 1))] for place in range(_MOST)]
    shares = _shares([len(stops) for stops in groups])
    chosen = [layer.name for stops, share in zip(groups, shares, strict=True) for layer in _spread(stops, share)]
    return chosen + [layer.name for layer in tree.vectors()[-1:]]


def maps_before(network: Network, layers: Collection[str]) -> list[str]:
    """Names of layers of maps or tokens that come before all of `layers` ("output": the answer), the best first.

    The first is where the last step before them is complete, and before a pooling that follows: what class activation
    maps are made of. The others, from the last to the first, are for a unit that does not depend on it: the answer of a
    transformer that is read off a class token, or a parallel branch.
    """
    tree = _Tree(network)
    maps = [layer for layer in tree.before(layers) if tree.positions(layer) > 1]
    leaf = next((layer for layer in reversed(maps) if tree.computes(layer)), None)
    if leaf is None:
        return []
    around = [layer for layer in maps if leaf.name.startswith(f"{_module(layer)}.") and layer.type not in _CONTAINERS]
    *_, best = [leaf, *(layer for layer in around if tree.positions(layer) == tree.positions(leaf))]
    alike = [layer for layer in maps if layer.layout == best.layout and layer.shape == best.shape]
    return list(dict.fromkeys(layer.name for layer in [best, *reversed(alike), *reversed(maps)]))


class _Tree:
    """A network's layers that can be seen as maps or vectors, and which of them lie inside which."""

    def __init__(self, network: Network) -> None:
        known = [layer for layer in network.layers.values() if layer.name != "output"]
        self._height, self._width = network.size
        self._parents = {_module(layer).rpartition(".")[0] for layer in known}
        weighted = [layer for layer in known if self._is_leaf(layer) and layer.parameters]
        #: The layers between the first and the last that have weights of their own; the last gives the answer.
        self._inside = known[known.index(weighted[0]) : known.index(weighted[-1])] if weighted else []
        self.layers = [layer for layer in known if self.positions(layer)]
        self._all = network.layers

    def computes(self, layer: Layer) -> bool:
        """Whether it is a leaf of the module tree that does more than pool or rearrange."""
        return self._is_leaf(layer) and bool(layer.parameters or hasattr(nn.modules.activation, layer.type))

    def before(self, names: Collection[str]) -> list[Layer]:
        """The inner layers that finish before all of those, and are no parts of them."""
        ends = {self._all[name].name for name in names if name not in ("input", "output")}
        parts = tuple(f"{_module(self._all[end])}." for end in ends)
        before = list(takewhile(lambda layer: layer.name not in ends, self._inside))
        return [layer for layer in before if not layer.name.startswith(parts)]

    def positions(self, layer: Layer) -> int:
        """At how many places of the image a layer answers: 1 for a vector, 0 where that cannot be said."""
        if layer.layout.kind == "vector":
            return 1
        rows, cols = layer.grid or (0, 0)
        alike = abs(rows * self._width - cols * self._height) <= max(self._height, self._width)
        return rows * cols if alike else 0

    def vectors(self) -> list[Layer]:
        """The hidden vectors: what comes before the answer and does more than hand a vector on."""
        vectors = (layer for layer in self._inside if self.positions(layer) == 1)
        return [layer for layer in vectors if self._is_leaf(layer) and layer.type not in _UNCHANGING]

    def stops(self, group: Sequence[Layer]) -> list[Layer]:
        """Where a step is complete, in layers of one size; nowhere, if nothing but pooling happens there."""
        leaves = [layer for layer in group if self._is_leaf(layer)]
        weighted = [layer for layer in leaves if layer.parameters]
        bent = [layer for layer in leaves if hasattr(nn.modules.activation, layer.type)]
        if not weighted:
            return []
        return self._blocks(group, least=2) or bent or self._blocks(group, least=1) or weighted

    def _blocks(self, group: Sequence[Layer], least: int) -> list[Layer]:
        """The blocks of the kind that lies furthest outside, of those that there are at least so many of."""
        kinds = defaultdict(list)
        for layer in group:
            if not self._is_leaf(layer) and layer.type not in _CONTAINERS:
                kinds[layer.type].append(layer)
        enough = [layers for layers in kinds.values() if len(layers) >= least]
        return min(enough, key=lambda layers: max(layer.name.count(".") for layer in layers), default=[])

    def _is_leaf(self, layer: Layer) -> bool:
        return _module(layer) not in self._parents


def _module(layer: Layer) -> str:
    """The module of a layer that may be one call of several: "relu~2" is a call of "relu"."""
    return layer.name.partition("~")[0]


def _shares(available: Sequence[int]) -> list[int]:
    """How many stops each group gives: one, and more of those that have most left, until there are enough."""
    shares = [1] * len(available)
    while sum(shares) < min(_MOST, sum(available)):
        left = [have - given for have, given in zip(available, shares, strict=True)]
        shares[max(range(len(left)), key=lambda place: (left[place], place))] += 1
    return shares


def _spread(stops: Sequence[Layer], share: int) -> list[Layer]:
    """`share` of the stops at even distances, the last among them."""
    return [stops[round((place + 1) * len(stops) / share) - 1] for place in range(share)]
