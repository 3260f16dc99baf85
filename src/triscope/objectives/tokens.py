"""Objectives of single tokens of a transformer, such as its class token.

Token("norm", "class", 42)              a channel of the class token
Token("decoder.norm", 7, 42)            a channel of the eighth token: a query, a word, a patch
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.names import name_text

if TYPE_CHECKING:
    from triscope.network import Network


@dataclass(frozen=True, repr=False)
class Token(Objective):
    """One channel of one token of a layer: tokens (B, T, C) -> (B,).

    layer       a layer of tokens
    place       "class", the first of the tokens before the patches; or the index of a token from 0, in the layer's own
                order, which counts all tokens: class and register tokens, patches, queries
    channel     the channel, from 0
    """

    layer: str
    place: Literal["class"] | int
    channel: int

    @property
    def needs(self) -> frozenset[Need]:
        """The class token, or all tokens of the layer."""
        return frozenset({Need(self.layer, "class" if self.place == "class" else "tokens")})

    def __call__(self, activations: Activations) -> Tensor:
        """The channel of the token: (B,). Raises ObjectiveError if there is no such token."""
        (need,) = self.needs
        values = activations[need]
        if self.place == "class":
            return values[:, self.channel]
        if not 0 <= self.place < values.shape[1]:
            raise ObjectiveError(f"{self} does not exist: {self.layer} has tokens 0 to {values.shape[1] - 1} here.")
        return values[:, self.place, self.channel]

    def bind(self, network: "Network") -> "Token":
        """Itself, with its layer and channel checked. Raises NetworkError if the layer has no tokens."""
        channels = network.layer(self.layer).token_channels(self.place == "class")
        if not 0 <= self.channel < channels:
            raise ObjectiveError(
                f"{self.layer} of {network.name} has channels 0 to {channels - 1}; there is no channel {self.channel}."
            )
        return self

    def __str__(self) -> str:
        token = self.place if self.place == "class" else f"token{self.place}"
        return f"{name_text(self.layer)}:{self.channel}@{token}"
