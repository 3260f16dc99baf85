"""Similarity: how alike a layer is to a vector, by the angle between them.

Similarity("output", text_features)     CLIP: to what a text says
Similarity("avgpool", "cat.jpg")        to what another image gives there
Similarity("features.10", vector)       to any vector of the layer's channels
unit("cos:features.10/stripes")         to a named direction
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

    layer       the layer whose space is compared; "output" for a network that gives embeddings, `Need("norm", "class")`
                or "norm@class" for the class token of a layer
    target      a vector (C,), such as a text's features, or one for each image (B, C); or an image, whose own vector is
                computed when the question is bound to a network: a path, a PIL image, a tensor (1, C, H, W);
                or a `Direction`, which has a text form where it has a name: cos:LAYER/NAME

    A. Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, figure 3.
    """

    layer: str | Need
    target: Any

    def __post_init__(self) -> None:
        target = self.target
        if getattr(target, "ndim", 0) == 1 and not isinstance(target, Tensor):
            target = torch.as_tensor(target)
        if _is_vector(target):
            object.__setattr__(self, "target", _pointing(target))

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
        """The cosine: (B,). 0 where the layer is zero."""
        values = activations[self._need]
        return F.cosine_similarity(values, self._vectors(values), dim=1)

    def map(self, activations: Activations) -> Tensor:
        """The cosine at every position: (B, h, w)."""
        values = activations[Need(self._need.layer)]
        values = values if values.ndim == 4 else values[:, :, None, None]
        return F.cosine_similarity(values, self._vectors(values)[:, :, None, None], dim=1)

    def bind(self, network: "Network") -> "Similarity":
        """The same question with an image turned into its vector. Raises ObjectiveError where a vector does not fit."""
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
        """The vector that that image is compared with."""
        several = _is_vector(self.target) and self.target.ndim == 2 and len(self.target) > 1
        return replace(self, target=self.target[image]) if several else self

    def _vectors(self, values: Tensor) -> Tensor:
        """The target as rows, (B or 1, C)."""
        target = self.target.vector if isinstance(self.target, Direction) else self.target
        if not _is_vector(target):
            raise ObjectiveError(
                f"{self} compares with something that is not a vector yet; call objective.bind(network) first."
            )
        vectors = _pointing(target).to(values).view(-1, target.shape[-1])
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


def _pointing(vector: Tensor) -> Tensor:
    """A vector, or several, as numbers that point somewhere. Raises ObjectiveError where one does not."""
    if not bool(vector.isfinite().all()) or not bool(vector.any(-1).all()):
        raise ObjectiveError("A similarity is to a vector that is finite and not zero: zero points nowhere.")
    return vector.detach() if vector.is_floating_point() else vector.float()
