"""The layers that class activation maps are made of: their activations, and the gradients of the score there."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from triscope.errors import NetworkError, TriscopeWarning
from triscope.network import ImageBatch, Network
from triscope.network.cut_gradients import differentiating, in_full, no_gradient
from triscope.network.stages import maps_before
from triscope.objectives.base import Need, Objective
from triscope.where.target import Target, with_gradients

_AT_ONCE = 16  # layers that are tried in one pass


@dataclass(frozen=True, eq=False)
class LayerMaps:
    """A layer's `activations` and the `gradients` of the score there: both (B, C, h, w).

    `reached` says whether any gradient comes to the layer, be it to a class token that is not in the maps. `view` turns
    the module's output for a number of images into maps.
    """

    name: str
    activations: Tensor
    gradients: Tensor
    reached: bool
    view: Callable[[Tensor, int], Tensor]

    @property
    def beside(self) -> bool:
        """Whether the score depends on what lies beside the maps, and not on them."""
        return self.reached and not self.gradients.any()


def look_at_maps(
    network: Network, images: ImageBatch, objective: Objective, layers: Sequence[str] | None
) -> tuple[Target, list[LayerMaps]]:
    """The target, and the maps of `layers`; by default, of the last layer that the score depends on.

    One pass, which keeps nothing before the first of the layers. Raises NetworkError where a layer has no maps, or the
    score does not depend on it.
    """
    if layers is None:
        return _last_maps(network, images, objective)
    names = tuple(dict.fromkeys(layers))
    for name in names:
        _require_maps(network, name)
    target, maps = _pass(network, images, objective, names)
    for name in names:
        if name not in maps:
            raise no_gradient(network, objective, name)
    return target, [maps[name] for name in names]


def warn_of_silence(target: Target, maps: Sequence[LayerMaps]) -> None:
    """Warn (TriscopeWarning) where the gradient is zero at every place of every layer."""
    if not any(layer.gradients.any() for layer in maps):
        names = " and ".join(layer.name for layer in maps)
        warnings.warn(
            f"The gradient of {target.objective} at {names} of {target.network.name} is zero everywhere: the unit is "
            "silent or saturated here, or its weights are zero.",
            TriscopeWarning,
            stacklevel=2,
        )


def _last_maps(network: Network, images: ImageBatch, objective: Objective) -> tuple[Target, list[LayerMaps]]:
    first = None
    for names in _tries(network, maps_before(network, {need.layer for need in objective.needs})):
        target, maps = _pass(network, images, objective, names)
        for found in maps.values():
            first = first or (target, [found])
            if not found.beside:
                return target, [found]
    if first is None:
        raise NetworkError(
            f"No layer of {network.name} before {in_full(objective)} has maps, and class activation maps are made of "
            "them. Use saliency or occlusion instead."
        )
    return first


def _tries(network: Network, candidates: Sequence[str]) -> Iterator[Sequence[str]]:
    """The layers of each pass: first one alone, which mostly suffices, unless it has a class token; then several."""
    alone = bool(candidates) and not network.layer(candidates[0]).layout.prefix
    if alone:
        yield candidates[:1]
    for start in range(int(alone), len(candidates), _AT_ONCE):
        yield candidates[start : start + _AT_ONCE]


def _pass(
    network: Network, images: ImageBatch, objective: Objective, layers: Sequence[str]
) -> tuple[Target, dict[str, LayerMaps]]:
    """The target, and the maps of those of the layers that the score depends on, in their order."""
    with with_gradients(network.device):
        look = network.look(images.images, objective.needs, leaf=layers)
        scores = objective(look)
        found: Sequence[Tensor | None] = [None] * len(layers)
        if scores.requires_grad:
            with differentiating(network, objective, layers[0]):
                found = torch.autograd.grad(scores.sum(), list(look.leaves.values()), allow_unused=True)
    maps = {
        name: LayerMaps(
            name, look[Need(name)].detach(), look.view(name, gradient), bool(gradient.any()), partial(look.view, name)
        )
        for name, gradient in zip(layers, found, strict=True)
        if gradient is not None
    }
    return Target(network, images, objective.resolve(look), scores.detach()), maps


def _require_maps(network: Network, name: str) -> None:
    """Raise NetworkError where a layer has no maps of its own."""
    if name in ("input", "output"):
        raise NetworkError(f"Class activation maps are made of an inner layer, not of the {name} of {network.name}.")
    layer = network.layer(name)
    if layer.layout.kind in ("vector", "roi", "other"):
        length = layer.channels  # raises NetworkError for all but vectors
        raise NetworkError(
            f"{name} of {network.name} gives a vector of {length} numbers, and class activation maps are made of a "
            "layer with maps or tokens, such as the default."
        )
