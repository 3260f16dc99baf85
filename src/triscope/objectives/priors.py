"""Priors: objectives of the image itself, which keep an optimised image natural.

They read the layer `input`, the image in [0, 1] before normalisation, and are subtracted from an objective:
`Logit(9) - 0.1 * TotalVariation()`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective

if TYPE_CHECKING:
    from triscope.network import Network

INPUT = Need("input")


@dataclass(frozen=True, repr=False)
class Prior(Objective):
    """Base class of objectives that read only the input."""

    @property
    def needs(self) -> frozenset[Need]:
        """The input image."""
        return frozenset({INPUT})

    def bind(self, network: "Network") -> Self:
        """Itself: every network has an input."""
        return self


@dataclass(frozen=True, repr=False)
class TotalVariation(Prior):
    """Total variation: the mean over pixels and channels of (dx^2 + dy^2)^(beta / 2): (B,).

    dx and dy are the differences from the right and lower neighbours (Mahendran and Vedaldi, 2015, eq. 3), and 0 in the
    last column and row. beta = 1 preserves sharp edges, beta = 2 prefers smooth transitions. For other beta than 2,
    1e-8 is added to dx^2 + dy^2, so that the gradient is finite on flat images. Raises ObjectiveError for beta < 1.
    """

    beta: float = 2.0

    def __post_init__(self) -> None:
        if self.beta < 1:
            raise ObjectiveError(f"beta of TotalVariation must be at least 1, not {self.beta:g}.")

    def __call__(self, activations: Activations) -> Tensor:
        """The total variation of each image: (B,)."""
        image = activations[INPUT]
        down, right = torch.diff(image, dim=2).square(), torch.diff(image, dim=3).square()
        if self.beta == 2:
            return (down.flatten(1).sum(1) + right.flatten(1).sum(1)) / image[0].numel()
        squares = F.pad(down, (0, 0, 0, 1)) + F.pad(right, (0, 1))
        return ((squares + 1e-8) ** (self.beta / 2)).flatten(1).mean(1)


@dataclass(frozen=True, repr=False)
class PNorm(Prior):
    """The distance from grey: the mean over pixels and channels of |2 x - 1|^p: (B,), 0 for grey, 1 for black or white.

    p = 2 is the L2 prior; a large p, such as 6 (Mahendran and Vedaldi, 2015), only penalises values near 0 and 1.
    Raises ObjectiveError for p < 1.
    """

    p: float = 2.0

    def __post_init__(self) -> None:
        if self.p < 1:
            raise ObjectiveError(f"p of PNorm must be at least 1, not {self.p:g}.")

    def __call__(self, activations: Activations) -> Tensor:
        """The distance of each image from grey: (B,)."""
        away = (2 * activations[INPUT] - 1).abs()
        return (away.square() if self.p == 2 else away**self.p).flatten(1).mean(1)
