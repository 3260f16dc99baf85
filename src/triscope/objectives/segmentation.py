"""Objectives for segmentation networks, whose output is a map of scores for each class, (B, K, h, w).

Pixels(15)                              the mean score of class 15 over all positions
Pixels("person", "predicted")           over the positions that are predicted as a person
Pixels(15, (10, 20, 50, 60))            over rows 10 to 49 and columns 20 to 59 of the output
Pixels(15, mask)                        over a mask, weighted by it
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.base import Activations, Need, Spatial
from triscope.objectives.names import Classes, classes_of, classes_text, indices_of, name_after_colon, pick

if TYPE_CHECKING:
    from triscope.network import Network

Corners: TypeAlias = tuple[int, int, int, int]
Region: TypeAlias = Literal["predicted"] | Corners | Tensor | None

_WHOLE, _MEAN = Need("output"), Need("output", "mean")


@dataclass(frozen=True, repr=False, eq=False)
class Pixels(Spatial):
    """The mean score of a class over a region of the output: (B, K, h, w) -> (B,), in the output's units (logits).

    classes     an index, a name, or a sequence with one of these per image
    where       None: all positions. "predicted": the positions whose highest score is that of the class (if there is
                one class only: with a score above 0); they are determined once, in the original image, and stay the
                same when a method changes it. (top, left, bottom, right): rows top to bottom - 1 and columns left to
                right - 1 of the output. A mask (H, W), or (B, H, W) with one per image: weights of at least 0,
                averaged to the output's size.
    weights     the region as weights (B or 1, h, w); set by `resolve`

    The region of Grad-CAM for segmentation: K. Vinogradova, A. Dibrov, G. Myers, "Towards interpretable semantic
    segmentation via gradient-weighted class activation mapping", AAAI 2020, eq. 2; there the sum, here the mean.
    """

    classes: Classes
    where: Region = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", classes_of(self.classes))
        object.__setattr__(self, "where", _region(self.where))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pixels) or isinstance(self.where, Tensor) or isinstance(other.where, Tensor):
            return self is other
        return (self.classes, self.where) == (other.classes, other.where)

    def __hash__(self) -> int:
        return hash((self.classes, id(self.where) if isinstance(self.where, Tensor) else self.where))

    @property
    def needs(self) -> frozenset[Need]:
        """The output, whole; its mean if the region is all positions."""
        return frozenset({_MEAN if self.where is None else _WHOLE})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The output, whole."""
        return frozenset({_WHOLE})

    def __call__(self, activations: Activations) -> Tensor:
        """The mean score: (B,); minus infinity if no position is predicted as the class."""
        if self.where is None:
            return pick(activations[_MEAN], self.classes)
        maps = self.map(activations)
        weights = self.weights if self.weights is not None else self._weights(activations[_WHOLE])
        weights = weights.to(maps)
        total = weights.sum((1, 2))
        score = (maps * weights).sum((1, 2)) / total.clamp_min(torch.finfo(maps.dtype).tiny)
        return torch.where(total > 0, score, -torch.inf)

    def map(self, activations: Activations) -> Tensor:
        """The scores of the class at every position: (B, h, w)."""
        return pick(class_maps(activations[_WHOLE]), self.classes)

    def bind(self, network: "Network") -> "Pixels":
        """The objective with class names replaced by indices. Raises NetworkError if the output has no maps."""
        shape = network.layers["output"].shape if "output" in network.layers else ()
        if network.task != "maps" or len(shape) != 3:
            raise NetworkError(
                f"The output of {network.name}{f' ({_sides(shape)})' if shape else ''} is not one map of scores for "
                f"each class, which {self} needs. Use the name or index of a class alone."
            )
        return replace(self, classes=indices_of(self.classes, network))

    def resolve(self, activations: Activations) -> "Pixels":
        """The objective with the region determined for these images. Raises ObjectiveError if a region is empty."""
        if self.where is None or self.weights is not None:
            return self
        weights = self._weights(activations[_WHOLE]).detach().clone()
        if empty := (~weights.flatten(1).any(1)).nonzero().flatten().tolist():
            name = classes_text(self.of(empty[0]).classes)
            place = "Here" if len(weights) == 1 else f"In image {empty[0]}"
            raise ObjectiveError(
                f"{place} no position is predicted as class {name}; output:{name} covers all positions."
            )
        return replace(self, weights=weights)

    def of(self, image: int) -> "Pixels":
        """The objective with the class and region of that image."""
        where = self.where
        if isinstance(where, Tensor) and where.ndim == 3 and len(where) > 1:
            where = where[image]
        weights = self.weights
        if weights is not None and len(weights) > 1:
            weights = weights[image : image + 1]
        classes = self.classes[image] if isinstance(self.classes, tuple) else self.classes
        same = classes is self.classes and where is self.where and weights is self.weights
        return self if same else replace(self, classes=classes, where=where, weights=weights)

    def _weights(self, output: Tensor) -> Tensor:
        """The weights of the output's positions: (B or 1, h, w)."""
        maps = class_maps(output)
        if self.where == "predicted":
            return predicted(maps, self.classes)
        rows, cols = maps.shape[2:]
        if isinstance(self.where, Tensor):
            return _fitted(self.where, len(maps), (rows, cols))
        top, left, bottom, right = cast("Corners", self.where)
        if bottom > rows or right > cols:
            raise ObjectiveError(
                f"{self}: rows {top} to {bottom - 1} and columns {left} to {right - 1} are outside the output, which "
                f"has rows 0 to {rows - 1} and columns 0 to {cols - 1} for this image."
            )
        weights = maps.new_zeros(1, rows, cols)
        weights[:, top:bottom, left:right] = 1
        return weights

    def __str__(self) -> str:
        if isinstance(self.where, Tensor):
            return repr(self)
        region = (
            "" if self.where is None else "@" + (self.where if isinstance(self.where, str) else _commas(self.where))
        )
        names = self.classes if isinstance(self.classes, tuple) else (self.classes,)
        return f"output:{'|'.join(map(name_after_colon, names))}{region}"

    def __repr__(self) -> str:
        where = f"<{_sides(self.where.shape)} mask>" if isinstance(self.where, Tensor) else repr(self.where)
        return f"Pixels({self.classes!r}{'' if self.where is None else f', {where}'})"


def class_maps(output: Tensor) -> Tensor:
    """The output, checked to be maps of classes (B, K, h, w). Raises NetworkError if its shape is another."""
    if output.ndim != 4:
        raise NetworkError(f"Pixels need an output (B, K, h, w); this network's is {tuple(output.shape)}.")
    return output


def best_classes(maps: Tensor) -> Tensor:
    """The class with the highest score at each position: (B, K, h, w) -> (B, h, w).

    With a single map, class 0 where its score is above 0, else -1.
    """
    return maps.argmax(1) if maps.shape[1] > 1 else (maps[:, 0] > 0).long() - 1


def shares(maps: Tensor) -> Tensor:
    """The fraction of the positions predicted as each class: (B, K, h, w) -> (B, K), in [0, 1]."""
    best = best_classes(maps).flatten(1)
    return torch.stack([(best == index).float().mean(1) for index in range(maps.shape[1])], 1)


def predicted(maps: Tensor, classes: Classes) -> Tensor:
    """The mask of the positions predicted as the class: (B, K, h, w) -> (B, h, w)."""
    wanted = torch.tensor(classes, device=maps.device)
    return best_classes(maps) == (wanted.view(-1, 1, 1) if wanted.ndim else wanted)


def _fitted(mask: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """A mask as weights of the output's positions: averaged to a smaller size, repeated to a larger one."""
    weights = mask.float().view(-1, *mask.shape[-2:])
    if len(weights) not in (1, count):
        raise ObjectiveError(f"{len(weights)} masks were given for {count} images; give one, or one for each.")
    return F.interpolate(weights[:, None], size, mode="area")[:, 0]


def _region(where: object) -> Region:
    """A region, checked as far as possible without an image."""
    if where is None:
        return None
    if isinstance(where, str) and where == "predicted":
        return "predicted"
    if isinstance(where, Tensor) and where.ndim in (2, 3):
        if not bool(where.flatten(-2).any(-1).all()) or bool((where.float() < 0).any()):
            raise ObjectiveError("The weights of a mask must be at least 0, and one of them above 0.")
        return where
    if isinstance(where, Sequence) and not isinstance(where, str) and len(where) == 4:
        top, left, bottom, right = (int(side) for side in where)
        if 0 <= top < bottom and 0 <= left < right:
            return top, left, bottom, right
    given = f"a tensor {_sides(where.shape)}" if isinstance(where, Tensor) else repr(where)
    raise ObjectiveError(
        'The region of Pixels is None (all positions), "predicted", (top, left, bottom, right) in the output, or a '
        f"mask (H, W); not {given}."
    )


def _commas(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))


def _sides(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
