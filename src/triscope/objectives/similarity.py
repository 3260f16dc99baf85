"""Similarity: the cosine between a layer's activations and a vector.

Similarity("output", text_features)     the features of a text (CLIP)
Similarity("avgpool", "cat.jpg")        the activations for another image
Similarity("features.10", vector)       any vector of the layer's channels
unit("cos:features.10/stripes")         a named direction
"""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.errors import ObjectiveError
from triscope.objectives.base import Activations, Need, Spatial
from triscope.objectives.directions import Direction, NamedDirection

if TYPE_CHECKING:
    from triscope.network import Network


@dataclass(frozen=True, repr=False, eq=False)
class Similarity(Spatial):
    """The cosine between a layer's mean, or its class token, (B, C) and a target: (B,), in [-1, 1].

    layer       the layer; "output" for a network that outputs embeddings, "norm@class" or `Need("norm", "class")` for
                the class token of a layer
    target      a vector (C,), such as a text's features, or one per image (B, C); an image (a path, a PIL image, a
                tensor (1, C, H, W)), whose vector is computed by `bind`; or a `Direction`, which gives the objective
                a text form if it has a name: cos:LAYER/NAME

    A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, figure 3.
    """

    layer: str | Need
    target: Any

    def __post_init__(self) -> None:
        target = self.target
        if getattr(target, "ndim", 0) == 1 and not isinstance(target, Tensor):
            target = torch.as_tensor(target)
        if _is_vector(target):
            object.__setattr__(self, "target", _nonzero(target))

    @property
    def _need(self) -> Need:
        need = Need.read(self.layer) if isinstance(self.layer, str) else self.layer
        return need if need.pool == "class" else Need(need.layer, "mean")

    @property
    def needs(self) -> frozenset[Need]:
        """The layer's mean, or its class token."""
        return frozenset({self._need})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self._need.layer)})

    def __call__(self, activations: Activations) -> Tensor:
        """The cosine: (B,); 0 if the layer's activations are zero."""
        values = activations[self._need]
        return F.cosine_similarity(values, self._vectors(values), dim=1)

    def map(self, activations: Activations) -> Tensor:
        """The cosine at every position: (B, h, w)."""
        values = activations[Need(self._need.layer)]
        values = values if values.ndim == 4 else values[:, :, None, None]
        return F.cosine_similarity(values, self._vectors(values)[:, :, None, None], dim=1)

    def bind(self, network: "Network") -> "Similarity":
        """The objective with an image replaced by its vector. Raises ObjectiveError if a vector's length is wrong."""
        need, layer = self._need, network.layer(self._need.layer)
        channels = layer.token_channels(of_class=True) if need.pool == "class" else layer.channels
        if isinstance(self.target, NamedDirection):
            return replace(self, target=self.target.found().bind(network))
        if isinstance(self.target, Direction):
            self.target.bind(network)
            return self
        if not _is_vector(self.target):
            with torch.inference_mode(mode=False), torch.no_grad():
                seen = network.prepare(self.target).images
                found = network.look(seen, [need])[need]
            return Similarity(self.layer, found[0].clone() if len(found) == 1 else found.clone())
        if self.target.shape[-1] != channels:
            raise ObjectiveError(
                f"A vector in {need.layer} of {network.name} has {channels} numbers; this one has "
                f"{self.target.shape[-1]}."
            )
        return self

    def of(self, image: int) -> "Similarity":
        """The objective with the vector of that image."""
        several = _is_vector(self.target) and self.target.ndim == 2 and len(self.target) > 1
        return replace(self, target=self.target[image]) if several else self

    def _vectors(self, values: Tensor) -> Tensor:
        """The target as rows, (B or 1, C)."""
        target = self.target.vector if isinstance(self.target, Direction) else self.target
        if not _is_vector(target):
            raise ObjectiveError(f"The target of {self} is not a vector yet; call objective.bind(network) first.")
        vectors = _nonzero(target).to(values).view(-1, target.shape[-1])
        if len(vectors) not in (1, len(values)):
            raise ObjectiveError(f"{len(vectors)} vectors were given for {len(values)} images; give one, or one each.")
        return vectors

    def __str__(self) -> str:
        named = isinstance(self.target, NamedDirection) or (isinstance(self.target, Direction) and self.target.name)
        return f"cos:{self.target}" if named else repr(self)

    def __repr__(self) -> str:
        named = isinstance(self.target, str | os.PathLike)
        size = tuple(getattr(self.target, "shape", ()))
        if isinstance(self.target, Direction | NamedDirection):
            return f"Similarity({self.layer!r}, {self.target!r})"
        target = repr(os.fspath(self.target)) if named else f"<{size} tensor>" if size else "<image>"
        return f"Similarity({self.layer!r}, {target})"


def _is_vector(target: object) -> bool:
    return isinstance(target, Tensor) and target.ndim in (1, 2)


def _nonzero(vector: Tensor) -> Tensor:
    """A vector, or several, in floating point, detached. Raises ObjectiveError if one is zero or not finite."""
    if not bool(vector.isfinite().all()) or not bool(vector.any(-1).all()):
        raise ObjectiveError("The target of a similarity must be finite and not zero: a zero vector has no direction.")
    return vector.detach() if vector.is_floating_point() else vector.float()
