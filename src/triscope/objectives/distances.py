"""Distances of activations from those of another image, position by position.

    FeatureDistance.from_activations(network.look(image, ["features.10"]))

A distance keeps the target's activations, not its image. Minus a distance is an objective like any other, which
inversion maximises. For distances of textures, which do not depend on positions, see `statistics`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective

if TYPE_CHECKING:
    from triscope.network import Network

_EPSILON = 1e-10  # added to a distance before its logarithm


@dataclass(frozen=True, repr=False, eq=False)
class Targeted(Objective):
    """Base class of objectives with target activations: one for all images (1, ...), or one per image (B, ...)."""

    targets: Mapping[Need, Tensor]

    def of(self, image: int) -> Self:
        """The objective with the target of that image."""
        own = {need: target if len(target) == 1 else target[image : image + 1] for need, target in self.targets.items()}
        return replace(self, targets=own)


@dataclass(frozen=True, repr=False, eq=False)
class FeatureDistance(Targeted):
    """The squared distance from target activations, relative to their squared norm, averaged over layers: (B,).

    |phi(x) - phi0|^2 / |phi0|^2 (Mahendran and Vedaldi, 2015, eq. 2): 0 for a perfect match, 1 if all activations are
    zero, for every layer and image size. `targets` are (1, ...) for one target, or (B, ...) for one per image.
    """

    @classmethod
    def from_activations(cls, activations: Activations, needs: Iterable[Need | str] | None = None) -> Self:
        """The distance to these activations, in the layers `needs`, by default all of them."""
        chosen = [Need(need) if isinstance(need, str) else need for need in (activations if needs is None else needs)]
        if not chosen:
            raise ObjectiveError("FeatureDistance needs at least one layer.")
        return cls({need: activations[need].detach().clone() for need in chosen})

    @property
    def needs(self) -> frozenset[Need]:
        """The compared layers."""
        return frozenset(self.targets)

    def __call__(self, activations: Activations) -> Tensor:
        """The mean over layers of the relative squared distance: (B,). Raises ObjectiveError if shapes differ."""
        return torch.stack([self._relative(need, activations[need]) for need in self.targets]).mean(0)

    def errors(self, activations: Activations) -> Tensor:
        """The relative error |phi(x) - phi0| / |phi0| of each layer: (B, layers), in the order of `targets`."""
        return torch.stack([self._relative(need, activations[need]) for need in self.targets], 1).sqrt()

    def _relative(self, need: Need, values: Tensor) -> Tensor:
        target = self.targets[need].to(values)
        if target.shape[1:] != values.shape[1:] or len(target) not in (1, len(values)):
            raise ObjectiveError(
                f"{need.layer} was {sides(target)} for the target, and is {sides(values)} here; "
                "compare images of one size."
            )
        energy = target.flatten(1).square().sum(1).clamp_min(torch.finfo(values.dtype).tiny)
        return (values - target).flatten(1).square().sum(1) / energy

    def bind(self, network: "Network") -> Self:
        """Itself, with its layers checked."""
        for need in self.targets:
            if need.layer not in ("input", "output"):
                network.layer(need.layer)
        return self

    def __repr__(self) -> str:
        layers = ", ".join(need.layer if need.pool == "none" else f"{need.pool}:{need.layer}" for need in self.targets)
        return f"FeatureDistance({layers})"


@dataclass(frozen=True, repr=False, eq=False)
class LogDistance(FeatureDistance):
    """The logarithm of the distance: (B,). Its gradient does not vanish near a perfect match."""

    def __call__(self, activations: Activations) -> Tensor:
        """The logarithm of the distance + 1e-10: (B,)."""
        return (super().__call__(activations) + _EPSILON).log()

    @staticmethod
    def relative(values: Tensor) -> Tensor:
        """The relative squared distances for these values of the objective."""
        return (values.exp() - _EPSILON).clamp_min(0)


def sides(values: Tensor) -> str:
    """A tensor's shape as text: `2 x 3 x 4`."""
    return " x ".join(map(str, values.shape))
