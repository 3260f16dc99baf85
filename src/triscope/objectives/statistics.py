"""Texture distances: how far the statistics of a layer, averaged over positions, are from those of another image.

    GramDistance.from_activations(network.look(image, [Need("features.10", "gram")]))

For the features f of a layer (C channels at each of M positions), with means over positions:

    gram          |G - G0|^2 / |G0|^2                                            G = mean of f f^T
    covariance    |C - C0|^2 / 2|C0|^2  +  |m - m0|^2 / 2|m0|^2                  m = mean of f,  C = G - m m^T
    wasserstein   (|m - m0|^2 + tr(C + C0 - 2 (C0^1/2 C C0^1/2)^1/2)) / tr G0

The first is the texture of Gatys et al. (2015). The second separates how features vary together from how often each
occurs. The third is the squared 2-Wasserstein distance of the two normal distributions with these moments (Olkin and
Pukelsheim, 1982). All are 0 for a perfect match; `gram` and `wasserstein` are 1 if all features are zero, for every
layer and image size.

With `where`, positions are weighted by it (guided Gram matrices: Gatys et al., "Controlling perceptual factors in
neural style transfer", 2017).
"""

import functools
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Objective, Pool
from triscope.objectives.distances import Targeted, sides
from triscope.objectives.pooling import gram, mean

if TYPE_CHECKING:
    from triscope.network import Network

Statistics: TypeAlias = Literal["gram", "covariance", "wasserstein"]


@dataclass(frozen=True, repr=False, eq=False)
class TextureDistance(Targeted):
    """Base class of the distances of layers' statistics from target statistics, averaged over layers: (B,).

    targets     moments by needs of the pooling `gram`: (1, C, C) for one target, or (B, C, C) for one per image;
                (1, C, C + 1), with the mean in the last column, if the distance also uses means
    where       weights (1, 1, H, W) of the positions in the image, at least 0, at any size; None for equal weights
    place       a description of `where`, for `repr`
    """

    where: Tensor | None = None
    place: str = ""

    #: The poolings that are needed of each layer if all positions have equal weights.
    pools: ClassVar[tuple[Pool, ...]] = ("gram",)

    @classmethod
    def needs_of(cls, layers: Iterable[str], *, whole: bool = False) -> list[Need]:
        """The needs for these layers; `whole` maps, to weight positions."""
        return [Need(layer, pool) for layer in layers for pool in (("none",) if whole else cls.pools)]

    @classmethod
    def from_activations(cls, activations: Activations, needs: Iterable[Need | str] | None = None) -> Self:
        """The distance to the statistics of these activations, in the layers `needs`, by default all of them."""
        named = activations if needs is None else needs
        layers = dict.fromkeys(need if isinstance(need, str) else need.layer for need in named)
        if not layers:
            raise ObjectiveError(f"{cls.__name__} needs at least one layer.")
        empty = cls({})
        return cls({Need(layer, "gram"): empty.moments(layer, activations).detach() for layer in layers})

    @classmethod
    def mixed(cls, parts: Iterable[tuple[float, Self]]) -> Self:
        """The distance to the weighted mean of several targets, (weight, distance) pairs with the same layers.

        For Gram matrices, the weighted sum of squared distances to the targets differs from the squared distance to
        their weighted mean by a constant.
        """
        weighted = list(parts)
        total = sum(weight for weight, _ in weighted)
        return cls({
            need: torch.stack([weight / total * one.targets[need] for weight, one in weighted]).sum(0)
            for need in weighted[0][1].targets
        })  # fmt: skip

    def within(self, where: Tensor, place: str) -> Self:
        """The distance with positions weighted by `where` (1, 1, H, W); `place` describes it, for `repr`."""
        return replace(self, where=where, place=place)

    @property
    def needs(self) -> frozenset[Need]:
        """The statistics of the compared layers; whole maps with `where`."""
        return frozenset(self.needs_of((need.layer for need in self.targets), whole=self.where is not None))

    def __call__(self, activations: Activations) -> Tensor:
        """The mean over layers of the relative distance: (B,). Raises ObjectiveError if shapes differ."""
        return self.errors(activations).mean(1)

    def errors(self, activations: Activations) -> Tensor:
        """The relative distance of each layer: (B, layers), in the order of `targets`."""
        return torch.stack([self._relative(need, activations) for need in self.targets], 1)

    def moments(self, layer: str, activations: Activations) -> Tensor:
        """A layer's statistics: (B, C, C), or (B, C, C + 1) with the mean in the last column; float32 or better."""
        if self.where is None:
            found = [_matrix(layer, activations[Need(layer, "gram")])]
            if "mean" in self.pools:
                found.append(activations[Need(layer, "mean")][:, :, None])
        else:
            maps = activations[Need(layer)]
            weights = adaptive_avg_pool2d(self.where.to(maps), (maps.shape[-2], maps.shape[-1]))
            found = [gram(maps, weights)]
            if "mean" in self.pools:
                found.append(mean(maps, weights)[:, :, None])
        return torch.cat(found, 2)

    def _relative(self, need: Need, activations: Activations) -> Tensor:
        found = self.moments(need.layer, activations)
        target = self.targets[need].to(found)
        if target.shape[1:] != found.shape[1:] or len(target) not in (1, len(found)):
            raise ObjectiveError(
                f"The Gram matrix of {need.layer} was {sides(target)} for the target, and is "
                f"{sides(found)} here; use the same network."
            )
        return self._distance(need, found, target)

    @abstractmethod
    def _distance(self, need: Need, found: Tensor, target: Tensor) -> Tensor:
        """The relative distance (B,) of moments from those of the target."""

    def bind(self, network: "Network") -> Self:
        """Itself, with its layers checked."""
        for need in self.targets:
            if need.layer != "input":
                network.layer(need.layer)
        return self

    def __repr__(self) -> str:
        place = f" in {self.place}" if self.place else ""
        return f"{type(self).__name__}({', '.join(need.layer for need in self.targets)}{place})"


@dataclass(frozen=True, repr=False, eq=False)
class GramDistance(TextureDistance):
    """The squared distance from target Gram matrices, relative to their squared norm, averaged over layers: (B,).

    |G(x) - G0|^2 / |G0|^2 with G = F F^T / M for features F at M positions (Gatys et al., 2015). Because of the
    division by M, images of different sizes are comparable; because of that by |G0|^2, layers are: 0 is a perfect
    match, and 1 means that all features are zero. `targets` are (1, C, C), or (B, C, C) for one per image, by needs of
    the pooling `gram`.
    """

    def energy(self, need: Need) -> Tensor:
        """The squared norm |G0|^2 of a layer's target: (1,) or (B,)."""
        return _energy(self.targets[need])

    def _distance(self, need: Need, found: Tensor, target: Tensor) -> Tensor:
        del need
        return _squared(found, target)


@dataclass(frozen=True, repr=False, eq=False)
class CovarianceDistance(TextureDistance):
    """The squared distances from a target covariance and mean, relative to their squared norms, averaged: (B,).

    Also averaged over layers. `targets` are (1, C, C + 1) or (B, C, C + 1), by needs of the pooling `gram`.
    """

    pools = ("gram", "mean")

    def _distance(self, need: Need, found: Tensor, target: Tensor) -> Tensor:
        del need
        (covariance, centre), (wanted, goal) = _covariance_and_mean(found), _covariance_and_mean(target)
        return (_squared(covariance, wanted) + _squared(centre, goal)) / 2


@dataclass(frozen=True, repr=False, eq=False)
class WassersteinDistance(TextureDistance):
    """The squared 2-Wasserstein distance of normal distributions, relative to the target's mean square: (B,).

    Averaged over layers. `targets` are (1, C, C + 1) or (B, C, C + 1), by needs of the pooling `gram`.
    """

    pools = ("gram", "mean")

    def _distance(self, need: Need, found: Tensor, target: Tensor) -> Tensor:
        # In double precision: the square root of the rounding error of a zero eigenvalue is not small.
        covariance, centre = _covariance_and_mean(found.double())
        wanted, goal = _covariance_and_mean(target.double())
        root = self._roots[need].to(covariance)
        squares = torch.linalg.eigvalsh(root @ covariance @ root)
        tiny = 1e-14 * _trace(wanted)[:, None] ** 2  # keeps the gradient finite for zero eigenvalues
        shared = ((squares.clamp_min(0) + tiny).sqrt() - tiny.sqrt()).sum(1)
        moved = (centre - goal).square().sum(1) + _trace(covariance) + _trace(wanted) - 2 * shared
        size = (_trace(wanted) + goal.square().sum(1)).clamp_min(torch.finfo(found.dtype).tiny)
        distance: Tensor = moved / size
        return distance.to(found)

    @functools.cached_property
    def _roots(self) -> dict[Need, Tensor]:
        """The square roots of the target covariances."""
        roots = {}
        for need, target in self.targets.items():
            values, vectors = torch.linalg.eigh(_covariance_and_mean(target.double())[0])
            roots[need] = (vectors * values.clamp_min(0).sqrt()[:, None, :]) @ vectors.mT
        return roots


DISTANCES: dict[Statistics, type[TextureDistance]] = {
    "gram": GramDistance,
    "covariance": CovarianceDistance,
    "wasserstein": WassersteinDistance,
}


@dataclass(frozen=True, repr=False)
class Diversity(Objective):
    """Diversity of a batch: minus the mean cosine between an image's Gram matrix and those of the other images, (B,).

    -1 for images of the same texture, 0 for images without common features, and for a single image. C. Olah et al.,
    "Feature visualization", 2017.
    """

    layer: str

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    def __call__(self, activations: Activations) -> Tensor:
        """Minus the mean cosine with the other images' Gram matrices: (B,)."""
        values = activations[Need(self.layer)].flatten(2)
        grams = normalize((values @ values.transpose(1, 2)).flatten(1))
        others = max(1, len(grams) - 1)
        return -((grams @ grams.T).sum(1) - grams.square().sum(1)) / others

    def bind(self, network: "Network") -> Self:
        """Itself, with its layer checked."""
        network.layer(self.layer)
        return self


def _matrix(layer: str, values: Tensor) -> Tensor:
    if values.ndim != 3:
        raise ObjectiveError(
            f"{layer} is {sides(values)}, and a Gram matrix needs maps; use a layer that has positions."
        )
    return values


def _covariance_and_mean(moments: Tensor) -> tuple[Tensor, Tensor]:
    """The covariance (B, C, C) and the mean (B, C) of moments (B, C, C + 1)."""
    centre = moments[:, :, -1]
    return moments[:, :, :-1] - centre[:, :, None] * centre[:, None, :], centre


def _energy(values: Tensor) -> Tensor:
    return values.flatten(1).square().sum(1)


def _squared(found: Tensor, target: Tensor) -> Tensor:
    """|x - x0|^2 / |x0|^2 of each image: (B,)."""
    return _energy(found - target) / _energy(target).clamp_min(torch.finfo(found.dtype).tiny)


def _trace(matrices: Tensor) -> Tensor:
    return torch.einsum("bii->b", matrices)
