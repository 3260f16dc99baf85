"""Distances: how far an image is from what another one looked like, layer by layer and position by position.

    FeatureDistance.from_activations(network.look(image, ["features.10"]))

The target is activations alone; the image they came from is not kept. Minus a distance is a question like any other:
inversion raises it, neighbours are sorted by it. The distances of textures, wherever things are, stand in `textures`.
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

_CLOSE = 1e-10  # a distance that is as good as none


@dataclass(frozen=True, repr=False, eq=False)
class Targeted(Objective):
    """A question about targets: one for all images (1, ...), or one for each (B, ...)."""

    targets: Mapping[Need, Tensor]

    def of(self, image: int) -> Self:
        """The target of that image."""
        own = {need: target if len(target) == 1 else target[image : image + 1] for need, target in self.targets.items()}
        return replace(self, targets=own)


@dataclass(frozen=True, repr=False, eq=False)
class FeatureDistance(Targeted):
    """The squared distance to target activations, divided by their energy, and averaged over layers: (B,).

    |phi(x) - phi0|^2 / |phi0|^2 (Mahendran and Vedaldi, 2015, eq. 2): 0 for a perfect match, 1 for no response at
    all, for every layer and size alike. `targets` are (1, ...) for one target, or (B, ...) for one per image.
    """

    @classmethod
    def from_activations(cls, activations: Activations, needs: Iterable[Need | str] | None = None) -> Self:
        """The distance to these activations, in the layers `needs`, or all there are."""
        chosen = [Need(need) if isinstance(need, str) else need for need in (activations if needs is None else needs)]
        if not chosen:
            raise ObjectiveError("A feature distance needs a layer to compare, and was given none.")
        return cls({need: activations[need].detach().clone() for need in chosen})

    @property
    def needs(self) -> frozenset[Need]:
        """The layers compared."""
        return frozenset(self.targets)

    def __call__(self, activations: Activations) -> Tensor:
        """The mean over layers of the relative squared distance: (B,). Raises ObjectiveError where shapes differ."""
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
        """Itself, its layers known to exist."""
        for need in self.targets:
            if need.layer not in ("input", "output"):
                network.layer(need.layer)
        return self

    def __repr__(self) -> str:
        layers = ", ".join(need.layer if need.pool == "none" else f"{need.pool}:{need.layer}" for need in self.targets)
        return f"FeatureDistance({layers})"


@dataclass(frozen=True, repr=False, eq=False)
class LogDistance(FeatureDistance):
    """The logarithm of the distance: (B,). Its gradient does not fade as the match gets close."""

    def __call__(self, activations: Activations) -> Tensor:
        """The logarithm, no less than log 1e-10: (B,)."""
        return (super().__call__(activations) + _CLOSE).log()

    @staticmethod
    def relative(values: Tensor) -> Tensor:
        """The distances whose logarithms these are."""
        return (values.exp() - _CLOSE).clamp_min(0)


def sides(values: Tensor) -> str:
    """A tensor's shape in words."""
    return " x ".join(map(str, values.shape))
