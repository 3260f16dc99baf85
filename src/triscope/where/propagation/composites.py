"""Composites: which rule which kind of layer follows.

| name                       | convolutions | dense layers | the layer that reads the image |
|---|---|---|---|
| epsilon-plus-flat          | z+           | epsilon      | flat        |
| epsilon-plus               | z+           | epsilon      | z+          |
| epsilon-alpha2-beta1-flat  | alpha-beta   | epsilon      | flat        |
| epsilon-alpha2-beta1       | alpha-beta   | epsilon      | alpha-beta  |
| epsilon-gamma-box          | gamma        | epsilon      | z-box       |
| epsilon                    | epsilon      | epsilon      | epsilon     |
| gamma                      | gamma        | gamma        | gamma       |

The names are those of the literature (Montavon et al., 2019; Kohlbrenner et al., 2020) and of zennit.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from triscope.where.propagation.layer_rules import (
    AlphaBeta,
    Epsilon,
    FirstLayerRule,
    Flat,
    Gamma,
    LayerRule,
    WSquare,
    ZBox,
    ZPlus,
)
from triscope.where.propagation.layers import Layer

CompositeName: TypeAlias = Literal[
    "epsilon-plus-flat",
    "epsilon-plus",
    "epsilon-alpha2-beta1-flat",
    "epsilon-alpha2-beta1",
    "epsilon-gamma-box",
    "epsilon",
    "gamma",
]
FirstName: TypeAlias = Literal["same", "flat", "w-square", "z-box"]

FIRST: dict[str, FirstLayerRule | None] = {"same": None, "flat": Flat(), "w-square": WSquare(), "z-box": ZBox()}


@dataclass(frozen=True)
class Composite:
    """A rule for each kind of layer. Where `first` is None, the layer that reads the image is one like the others."""

    convolution: LayerRule
    dense: LayerRule
    first: FirstLayerRule | None = None

    def rule(self, layer: Layer) -> LayerRule:
        """What the layer follows."""
        if layer.first and self.first is not None:
            return self.first
        return self.dense if layer.operation.dense else self.convolution


def named(name: CompositeName, first: FirstName | None, *, epsilon: float, gamma: float) -> Composite:
    """The composite of that name, with another rule for the first layer where one is named."""
    damped = Epsilon(epsilon)
    table: dict[CompositeName, tuple[LayerRule, LayerRule, FirstName]] = {
        "epsilon-plus-flat": (ZPlus(), damped, "flat"),
        "epsilon-plus": (ZPlus(), damped, "same"),
        "epsilon-alpha2-beta1-flat": (AlphaBeta(2.0), damped, "flat"),
        "epsilon-alpha2-beta1": (AlphaBeta(2.0), damped, "same"),
        "epsilon-gamma-box": (Gamma(gamma), damped, "z-box"),
        "epsilon": (damped, damped, "same"),
        "gamma": (Gamma(gamma), Gamma(gamma), "same"),
    }
    convolution, dense, usual = table[name]
    return Composite(convolution, dense, FIRST[first or usual])
