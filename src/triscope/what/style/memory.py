"""Memory: how much an image takes, and how it is made to fit.

    whole   every layer kept for the backward pass: about 1 GB for VGG-19 at 512 pixels in float32
    strips  the shallow layers run in strips (see `triscope.network.variants.row_tiling`); exact, some 7 % slower

What is counted: the weights, what the forward pass keeps for the backward pass, the images the loop holds, and the
optimiser's history. First the shallow layers go into strips, then the history shrinks, then Adam takes L-BFGS's place,
then deeper layers go into narrower strips.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from triscope.errors import OptionError
from triscope.network import Network
from triscope.network.variants.row_tiling import RowTiled

_COMFORTABLE = 2**30  # what a pass may take before strips are used, if no limit was given
_HISTORY = (12, 8, 5, 3)
_BASE, _PER_PIXEL = 640 * 2**20, 730  # the target if no limit was given: 1.2 GB at 1024 x 768 pixels
_HELD = 16  # images that the loop and its optimiser hold at once, beside the history
_ADAMS = 6
_ALWAYS = 150 * 2**20  # the libraries' own buffers, and the images as they were read


@dataclass(frozen=True)
class MemoryPlan:
    """How an image is made within its memory: the network to ask, the optimiser, and L-BFGS's history."""

    network: Network
    optimiser: str
    history: int


def plan_memory(
    network: Network, layers: Sequence[str], size: tuple[int, int], optimiser: str, memory: int | None, *, whole: bool
) -> MemoryPlan:
    """The first way of making an image of `size` that fits into `memory`; `whole` allows no strips.

    Without `memory`, strips are taken where the pass would need more than 1 GB, and 640 MB and 730 bytes a pixel are
    aimed at with strips and a shorter history. Raises OptionError where nothing fits, and says what the least is.
    """
    aim = memory or _BASE + _PER_PIXEL * size[0] * size[1]
    least = math.inf
    cost = _Cost(network, layers, size)
    for kind, history in _ladder(optimiser):
        if memory is None and kind != optimiser:
            break
        narrow = kind != optimiser or (memory is None and history <= _HISTORY[2])
        for cut, rows in _cuts(cost, whole=whole, narrow=narrow):
            taken = cost.of(cut, rows) + cost.loop(kind, history)
            least = min(least, taken)
            kept = memory or cut or whole or not cost.cuts or cost.of(0, 0) <= _COMFORTABLE
            if taken <= aim and kept:
                return MemoryPlan(RowTiled(network, cut, rows) if cut else network, kind, history)
    if memory is None:
        return MemoryPlan(network, optimiser, _HISTORY[-1])
    raise OptionError(
        f"An image of {size[0]} x {size[1]} pixels takes {_shown(least)} with {network.name} at the least, and memory "
        f"is {_shown(memory)}; allow more, or make it smaller."
    )


def _ladder(optimiser: str) -> Iterator[tuple[str, int]]:
    if optimiser == "lbfgs":
        yield from (("lbfgs", history) for history in _HISTORY)
    yield "adam", 0


def _cuts(cost: "_Cost", *, whole: bool, narrow: bool) -> Iterator[tuple[int, int]]:
    """Where to cut the features (0: nowhere) and how many rows a strip has, from cheap to small."""
    yield 0, 0
    if whole:
        return
    shallow, *deeper = cost.cuts or [0]
    if shallow:
        yield shallow, 128
    if narrow or not shallow:
        for cut in deeper:
            yield from ((cut, 128), (cut, 64), (cut, 32))


class _Cost:
    """What a pass over an image takes, in bytes."""

    def __init__(self, network: Network, layers: Sequence[str], size: tuple[int, int]) -> None:
        self.network = network
        self.size = size
        self.width = next(network.module.parameters()).itemsize
        features = getattr(network.module, "features", None)
        self.parts = dict(features.named_children()) if isinstance(features, nn.Sequential) else {}
        names = [f"features.{name}" for name in self.parts]
        inside = bool(names) and all(layer in names for layer in layers)
        deepest = max(names.index(layer) for layer in layers) + 1 if inside else len(names)
        self.names = names[:deepest]
        self.wanted = set(layers)
        pools = [
            place + 1 for place, part in enumerate(self.parts.values()) if isinstance(part, nn.MaxPool2d | nn.AvgPool2d)
        ]
        #: Where the features may be cut: after the second pooling, the third, and so on.
        self.cuts = [place for place in pools if place < deepest][1:4] if inside else []

    def loop(self, optimiser: str, history: int) -> float:
        """The images that are held: the loop's own, and the optimiser's memory."""
        picture = 4.0 * self.network.channels * self.size[0] * self.size[1]
        return picture * (_HELD + (2 * history if optimiser == "lbfgs" else _ADAMS))

    def of(self, cut: int, rows: int) -> float:
        """The weights and the pass, with strips of `rows` before `cut`."""
        weights = _ALWAYS + sum(
            # As they were given, and as they are cast, or rearranged for convolutions.
            one.numel() * (4 + (one.itemsize if one.itemsize < 4 or one.ndim == 4 else 0))
            for one in self.network.module.parameters()
        )
        if not self.names:
            area = self.size[0] * self.size[1] / (self.network.size[0] * self.network.size[1])
            kept = sum(_count(layer.shape) for layer in self.network.layers.values() if layer.layout.kind == "maps")
            return weights + kept * area * self.width * 1.5
        span = self.network.layers[self.names[cut - 1]].receptive_field.rows if cut else None
        share = min(1.0, (rows + span.size) / self.size[0]) if span else 0.0
        return weights + share * self._kept(0, cut) + self._kept(cut, len(self.names))

    def _kept(self, first: int, last: int) -> float:
        """What the features from `first` to `last` keep for the backward pass, and its largest temporary tensors."""
        kept, largest, widest = 0.0, 0.0, 0.0
        for name in self.names[first:last]:
            part = self.parts[name.removeprefix("features.")]
            height, width = self.network.size
            count = _count(self.network.layers[name].shape) * self.size[0] * self.size[1] / (height * width)
            kept += 0 if getattr(part, "inplace", False) else count * self.width
            kept += 8 * count if isinstance(part, nn.MaxPool2d) else 0  # which of its pixels each one was
            largest = max(largest, count * self.width)
            widest = max(widest, 4 * count if self.width < 4 and name in self.wanted else 0)
        return kept + 3 * largest + widest


def _count(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _shown(count: float) -> str:
    return f"{count / 2**30:.1f}G" if count >= 2**30 else f"{count / 2**20:.0f}M"
