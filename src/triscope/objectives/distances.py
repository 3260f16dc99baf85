"""Distances: how far an image is from what another one looked like, layer by layer.

    FeatureDistance.from_activations(network.look(image, ["features.10"]))      position by position
    GramDistance.from_activations(network.look(image, ["features.10"]))         its texture, wherever things are

The target is activations alone; the image they came from is not kept. Minus a distance is a question like any other:
inversion climbs it, neighbours are sorted by it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective

if TYPE_CHECKING:
    from triscope.network import Network


@dataclass(frozen=True, repr=False, eq=False)
class FeatureDistance(Objective):
    """The squared distance to target activations, divided by their energy, and averaged over layers: (B,).

    |phi(x) - phi0|^2 / |phi0|^2 (Mahendran and Vedaldi, 2015, eq. 2): 0 for a perfect match, 1 for no response at
    all, for every layer and size alike. `targets` are (1, ...) for one target, or (B, ...) for one per image.
    """

    targets: Mapping[Need, Tensor]

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
                f"{need.layer} was {_shape(target)} when the target was looked at, and is {_shape(values)} here; "
                "compare pictures of one size."
            )
        energy = target.flatten(1).square().sum(1).clamp_min(torch.finfo(values.dtype).tiny)
        return (values - target).flatten(1).square().sum(1) / energy

    def only(self, index: int) -> Self:
        """The distance to the target of image `index`."""
        return type(self)(
            {need: target if len(target) == 1 else target[index : index + 1] for need, target in self.targets.items()}
        )

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
class GramDistance(Objective):
    """The squared distance to target Gram matrices, divided by their energy, and averaged over layers: (B,).

    |G(x) - G0|^2 / |G0|^2 with G = F F^T / M for features F of M positions (Gatys et al., 2015). The one convention
    here: divided by M, the matrix of a large and a small picture of one texture are comparable; relative to the
    target, 0 is a perfect match and 1 no response at all, for every layer alike. `targets` are (1, C, C), or
    (B, C, C) for one per image, by needs of the pooling `gram`.
    """

    targets: Mapping[Need, Tensor]

    @classmethod
    def from_activations(cls, activations: Activations, needs: Iterable[Need | str] | None = None) -> Self:
        """The distance to the Gram matrices of these activations, in the layers `needs`, or all there are."""
        named = activations if needs is None else needs
        chosen = [Need(need if isinstance(need, str) else need.layer, "gram") for need in named]
        if not chosen:
            raise ObjectiveError("A Gram distance needs a layer to compare, and was given none.")
        return cls({need: _matrix(need, activations[need].detach()) for need in chosen})

    @classmethod
    def mixed(cls, parts: Iterable[tuple[float, Self]]) -> Self:
        """The distance to the weighted mean of several targets, of the same layers.

        The weighted sum of plain squared distances to several targets has its minimum there, and differs from the
        squared distance to it by a constant.
        """
        weighed = list(parts)
        total = sum(weight for weight, _ in weighed)
        return cls({
            need: torch.stack([weight / total * one.targets[need] for weight, one in weighed]).sum(0)
            for need in weighed[0][1].targets
        })  # fmt: skip

    @property
    def needs(self) -> frozenset[Need]:
        """The layers compared."""
        return frozenset(self.targets)

    def __call__(self, activations: Activations) -> Tensor:
        """The mean over layers of the relative squared distance: (B,). Raises ObjectiveError where shapes differ."""
        return self.errors(activations).mean(1)

    def errors(self, activations: Activations) -> Tensor:
        """The relative squared distance of each layer: (B, layers), in the order of `targets`."""
        return torch.stack([self._relative(need, activations[need]) for need in self.targets], 1)

    def energy(self, need: Need) -> Tensor:
        """|G0|^2 of a layer: (1,) or (B,)."""
        return self.targets[need].flatten(1).square().sum(1)

    def _relative(self, need: Need, values: Tensor) -> Tensor:
        found = _matrix(need, values)
        target = self.targets[need].to(found)
        if target.shape[1:] != found.shape[1:] or len(target) not in (1, len(found)):
            raise ObjectiveError(
                f"The Gram matrix of {need.layer} was {_shape(target)} when the target was looked at, and is "
                f"{_shape(found)} here; ask the same network."
            )
        energy = target.flatten(1).square().sum(1).clamp_min(torch.finfo(found.dtype).tiny)
        return (found - target).flatten(1).square().sum(1) / energy

    def only(self, index: int) -> Self:
        """The distance to the target of image `index`."""
        return type(self)(
            {need: target if len(target) == 1 else target[index : index + 1] for need, target in self.targets.items()}
        )

    def bind(self, network: "Network") -> Self:
        """Itself, its layers known to exist."""
        for need in self.targets:
            if need.layer != "input":
                network.layer(need.layer)
        return self

    def __repr__(self) -> str:
        return f"GramDistance({', '.join(need.layer for need in self.targets)})"


def gram(features: Tensor) -> Tensor:
    """Channel products of (B, C, h, w) features, averaged over positions: (B, C, C), F F^T / (h w).

    In float32 at least: half precision loses the sums over many positions.
    """
    rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # no copy where channels lie last
    rows = rows.float() if rows.itemsize < 4 else rows
    return rows.transpose(1, 2) @ rows / rows.shape[1]


def _matrix(need: Need, values: Tensor) -> Tensor:
    if values.ndim != 3:
        raise ObjectiveError(
            f"{need.layer} is {_shape(values)}, and a Gram matrix is made of maps; ask a layer that has positions."
        )
    return values


@dataclass(frozen=True, repr=False)
class Diversity(Objective):
    """How unlike the others of its batch an image looks in a layer: minus the mean cosine of their Gram matrices, (B,).

    -1 for pictures of one texture, 0 for pictures that share nothing (Olah et al., 2017). Alone, an image is not
    unlike any: 0.
    """

    layer: str

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    def __call__(self, activations: Activations) -> Tensor:
        """Minus the mean cosine with the other images: (B,)."""
        values = activations[Need(self.layer)].flatten(2)
        grams = torch.nn.functional.normalize((values @ values.transpose(1, 2)).flatten(1))
        others = max(1, len(grams) - 1)
        return -((grams @ grams.T).sum(1) - grams.square().sum(1)) / others

    def bind(self, network: "Network") -> Self:
        """Itself, its layer known to exist."""
        network.layer(self.layer)
        return self


def _shape(values: Tensor) -> str:
    return " x ".join(map(str, values.shape))
