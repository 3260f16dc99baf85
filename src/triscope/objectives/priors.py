"""Priors: questions about the image itself. How rough it is, how far from grey.

They read the layer `input`, the image in [0, 1] before normalisation, and are subtracted from what is asked:
`Logit(9) - 0.1 * TotalVariation()`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective

if TYPE_CHECKING:
    from triscope.network import Network

INPUT = Need("input")


@dataclass(frozen=True, repr=False)
class Prior(Objective):
    """A question about the input alone."""

    @property
    def needs(self) -> frozenset[Need]:
        """The input."""
        return frozenset({INPUT})

    def bind(self, network: "Network") -> Self:
        """Itself: every network has an input."""
        return self


@dataclass(frozen=True, repr=False)
class TotalVariation(Prior):
    """Roughness: the mean over pixels and channels of (right difference^2 + lower difference^2)^(beta / 2): (B,).

    beta 1 leaves sharp edges, 2 prefers smooth slopes (Mahendran and Vedaldi, 2015, eq. 3). The last row and column
    have no neighbour, and count as if they had one like themselves. The gradient is finite on flat images for every
    beta >= 1, because 1e-8 stands under the root.
    """

    beta: float = 2.0

    def __post_init__(self) -> None:
        if self.beta < 1:
            raise ObjectiveError(f"Total variation takes beta of 1 or more, and {self.beta:g} is less.")

    def __call__(self, activations: Activations) -> Tensor:
        """The roughness of each image: (B,)."""
        image = activations[INPUT]
        down = torch.diff(image, dim=2, append=image[:, :, -1:])
        right = torch.diff(image, dim=3, append=image[:, :, :, -1:])
        squares = down.square() + right.square()
        if self.beta == 2:
            return squares.flatten(1).mean(1)
        return ((squares + 1e-8) ** (self.beta / 2)).flatten(1).mean(1)


@dataclass(frozen=True, repr=False)
class PNorm(Prior):
    """How far from grey: the mean over pixels and channels of |2 x - 1|^p: (B,), 0 for grey, 1 for black and white.

    p of 2 is the L2 prior; a large p, such as Mahendran and Vedaldi's 6, only keeps pixels from the ends of the range.
    """

    p: float = 2.0

    def __post_init__(self) -> None:
        if self.p < 1:
            raise ObjectiveError(f"A p-norm takes p of 1 or more, and {self.p:g} is less.")

    def __call__(self, activations: Activations) -> Tensor:
        """The distance of each image from grey: (B,)."""
        away = (2 * activations[INPUT] - 1).abs()
        return (away.square() if self.p == 2 else away**self.p).flatten(1).mean(1)
