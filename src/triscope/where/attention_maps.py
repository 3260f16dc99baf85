"""What the tokens of a network attend to, read in one pass: (B, heads, T, T) for each of its attentions.

Fused kernels do not store the attention matrix, so it is computed without them, for this pass alone; the network is not
changed.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from triscope.errors import NetworkError
from triscope.network import Network
from triscope.network.backward_rules import Call, NonlinearityCount, following
from triscope.network.backward_rules.attention import Attention, open_multi_head

_UNLIKE = "from tokens to other tokens"


@dataclass(frozen=True)
class AttentionMaps:
    """Keeps the matrix of each attention of tokens to each other, in the order of the pass, still in the graph."""

    title: str
    maps: list[Tensor] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the rule is called in messages."""
        return self.title

    def apply(self, call: Call, tally: NonlinearityCount) -> Any:
        """The call's value; a fused attention as the products and the softmax it is made of."""
        if call.name == "multi_head_attention_forward":
            with following(self, tally):
                opened = open_multi_head(call)
            return call.plain() if opened is None else opened
        if call.name == "scaled_dot_product_attention" and (asked := Attention.of(call)).openable:
            weights = asked.weights()
            self._keep(weights, tally)
            return asked.apply(weights)
        output = call.plain()
        if call.name == "softmax" and output.ndim in (3, 4) and _last(call, output):
            self._keep(output, tally)
        return output

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError where no attention was met."""
        if not self.maps:
            raise NetworkError(
                f"{self.name} reads what tokens attend to, and {network} has no attention of tokens to each other on "
                "the way to this unit. Use relevance instead."
            )

    def _keep(self, weights: Tensor, tally: NonlinearityCount) -> None:
        if weights.shape[-1] != weights.shape[-2]:
            tally.others[_UNLIKE] += 1
            return
        if tally.returning:  # a checkpoint recomputes it; that of the forward pass stays
            return
        place = len(self.maps)
        tally.followed["attention"] += 1
        self.maps.append(weights)
        if weights.requires_grad:
            gradients = self.gradients  # the hook must not hold self, which holds the weights
            weights.register_hook(lambda gradient: gradients.update({place: gradient}))

    @property
    def slopes(self) -> list[Tensor]:
        """The gradient of the score at each map; zero where none reached it."""
        return [self.gradients.get(place, torch.zeros_like(one)) for place, one in enumerate(self.maps)]

    def notes(self, tally: NonlinearityCount, grid: "TokenGrid") -> tuple[str, ...]:
        """What a reader should know of how the map was read."""
        notes = [] if grid.prefix else ["There is no class token, so the mean of all tokens was used."]
        if unlike := tally.others[_UNLIKE]:
            notes.append(f"Attentions {_UNLIKE} were left out: {unlike}.")
        return tuple(notes)


def per_image(rule: AttentionMaps, network: Network, count: int) -> list[Tensor]:
    """The maps (B, heads, T, T), one for each attention. Raises NetworkError where they are not all of one kind."""
    maps = [one.reshape(count, -1, *one.shape[-2:]) if one.ndim == 3 and not len(one) % count else one
            for one in rule.maps]  # fmt: skip
    tokens = {one.shape[-1] for one in maps}
    windows = next((one for one in maps if len(one) != count), None)
    if windows is not None:
        raise NetworkError(
            f"{rule.name} follows tokens through attentions of all tokens to all others, and those of {network.name} "
            f"are within windows ({len(windows)} for {count} images). Use relevance instead."
        )
    if len(tokens) > 1:
        raise NetworkError(
            f"{rule.name} follows the same tokens through all attentions, and {network.name} has "
            f"{', '.join(map(str, sorted(tokens)))} of them in turn. Use relevance instead."
        )
    return maps


@dataclass(frozen=True)
class TokenGrid:
    """Where the patches are among the tokens: after `prefix` others, (rows, columns), row by row."""

    prefix: int
    rows: int
    cols: int

    @classmethod
    def of(cls, network: Network, images: Tensor, count: int, title: str) -> "TokenGrid":
        """The grid of `count` tokens of these images (B, C, H, W). Raises NetworkError where no layer has it."""
        usual, tried = tuple(images.shape[-2:]) == network.size, set()
        for name, layer in network.layers.items():
            layout = layer.layout
            if layout.kind != "tokens" or not layout.pictures or layout in tried:
                continue
            if usual and layout.grid and layer.shape[0] == count:
                return cls(layout.prefix, *layout.grid)
            if not usual:
                tried.add(layout)
                look = network.look(images[:1], [name])
                try:
                    rows, cols = look.view(name, images.new_empty(1, count, 1)).shape[-2:]
                except NetworkError:  # this layer has another number of tokens
                    continue
                return cls(layout.prefix, rows, cols)
        raise NetworkError(
            f"{title} shows {count} tokens of {network.name} as a grid, and their grid is not known. State it: "
            "Network(..., tokens=(rows, columns))."
        )

    def row(self, relations: Tensor) -> Tensor:
        """What the answer is read from (B, T): the class token's row of (B, T, T), or the mean row without one."""
        return relations[:, 0] if self.prefix else relations.mean(1)

    def at_the_pixels(self, shares: Tensor, size: tuple[int, int]) -> Tensor:
        """Shares of tokens (B, T) as maps (B, 1, H, W), interpolated between the middles of patches."""
        patches = shares[:, self.prefix : self.prefix + self.rows * self.cols]
        grid = patches.reshape(len(shares), 1, self.rows, self.cols)
        return F.interpolate(grid, size, mode="bilinear", align_corners=False)


def _last(call: Call, output: Tensor) -> bool:
    dim = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim")
    return dim in (-1, output.ndim - 1)
