"""What is explained: the images, and the objective of each of them.

Methods that change an image again and again - hide a part of it, add noise, interpolate to another image - yield the
copies one by one; they are scored in batches of a bounded size, each by the objective of the image it was made from.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar
from weakref import WeakSet

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network import ImageBatch, Network
from triscope.network.cut_gradients import differentiating, no_gradient
from triscope.network.look import Look
from triscope.network.refusals import no_autocast
from triscope.objectives.base import Activations, Need, Objective, Sum
from triscope.objectives.detection import Box
from triscope.objectives.segmentation import Pixels
from triscope.objectives.units import Logit
from triscope.results import Heatmap

K = TypeVar("K")
H = TypeVar("H", bound=Heatmap)

#: Networks that were found to fail on channels-last images.
_ONE_ORDER: WeakSet[Network] = WeakSet()

_ANSWERS: ContextVar[dict[tuple[object, ...], Activations] | None] = ContextVar("answers", default=None)
_MOST_KEPT = 2**22  # float32 numbers of activations that are kept, 16 MB


@dataclass(frozen=True, eq=False)
class Changed(Generic[K]):
    """A changed copy `picture` (C, H, W) of image number `image` of a batch; `key` is the method's own key of it."""

    image: int
    picture: Tensor
    key: K


@dataclass(frozen=True, eq=False)
class Batch(Generic[K]):
    """Several changed copies, `pictures` (n, C, H, W), the numbers of their `images`, and their keys."""

    images: tuple[int, ...]
    pictures: Tensor
    keys: tuple[K, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """Images, and the objective with its top class determined: `scores` (B,) are its values."""

    network: Network
    seen: ImageBatch
    objective: Objective
    scores: Tensor

    @classmethod
    def of(cls, network: Network, images: ImageBatch, objective: Objective) -> "Target":
        """One forward pass, for the top class and the scores of the images themselves."""
        with without_gradients(network.device):
            look = network.look(images.images, objective.needs)
            scores = objective(look)
        return cls(network, images, objective.resolve(look), scores)

    @property
    def images(self) -> Tensor:
        """What the network sees: (B, C, H, W) in [0, 1]."""
        return self.seen.images

    def __len__(self) -> int:
        return len(self.seen)

    def ask(self, pictures: Tensor, images: Sequence[int]) -> Tensor:
        """The scores (n,) of `pictures` (n, C, H, W), each by the objective of the image of that number."""
        with without_gradients(self.network.device):
            return scores_of(self.objective, answers(self.network, pictures, self.objective.needs), images)

    def differentiate(self, pictures: Tensor, images: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The scores (n,) of `pictures`, and their gradients (n, C, H, W)."""
        with with_gradients(self.network.device):
            look = looked_at(self.network, pictures, self.objective.needs, leaf="input")
            scores = scores_of(self.objective, look, images)
            require_dependence(scores, self.objective, "input", self.network)
            with differentiating(self.network, self.objective):
                (gradients,) = torch.autograd.grad(scores.sum(), look.leaves["input"])
        return scores.detach(), gradients

    def heatmap(self, values: Tensor, notes: Sequence[str] = ()) -> Heatmap:
        """The heatmap of `values` (B, C, H, W)."""
        return self.result(Heatmap, values, notes)

    def result(self, kind: type[H], values: Tensor, notes: Sequence[str] = (), **more: Any) -> H:
        """A heatmap with further fields."""
        return kind(
            values,
            image=self.images,
            boxes=self.seen.boxes,
            scores=self.scores,
            objective=self.objective,
            asked=in_words(self.network, self.objective, len(values)),
            notes=tuple(notes),
            **more,
        )


def looked_at(network: Network, pictures: Tensor, needs: Iterable[Need], leaf: str | None = None) -> Look:
    """One pass over images (n, C, H, W), channels-last in memory on a CPU, where that is faster."""
    if network.device.type == "cpu" and not network.random and network not in _ONE_ORDER:
        try:
            return network.look(pictures.contiguous(memory_format=torch.channels_last), needs, leaf=leaf)
        except NetworkError:  # such as of networks that call `view`, which needs contiguous memory
            _ONE_ORDER.add(network)
    return network.look(pictures, needs, leaf=leaf)


@contextmanager
def kept_answers() -> Iterator[None]:
    """Within, the activations of images are kept, so that the same images need no second pass.

    For maps of several classes by one method: occlusion, RISE and the like hide the same parts of an image for each.
    """
    if _ANSWERS.get() is not None:
        yield
        return
    token = _ANSWERS.set({})
    try:
        yield
    finally:
        _ANSWERS.reset(token)


def answers(network: Network, pictures: Tensor, needs: Iterable[Need]) -> Activations:
    """The activations of images (n, C, H, W) for `needs`; within `kept_answers`, those of an earlier pass."""
    needs, kept = frozenset(needs), _ANSWERS.get()
    if kept is None or network.random or pictures.device.type != "cpu":
        return looked_at(network, pictures, needs)
    numbers = pictures.contiguous().view(torch.uint8).numpy()
    key = (network, needs, pictures.shape, hashlib.sha256(numbers.data).digest())
    if key not in kept:
        look = looked_at(network, pictures, needs)
        found = {need: look[need] for need in needs}
        if sum(value.numel() for known in (found, *kept.values()) for value in known.values()) > _MOST_KEPT:
            return found
        kept[key] = found
    return kept[key]


def scores_of(objective: Objective, activations: Activations, images: Sequence[int]) -> Tensor:
    """The scores (n,) of n rows of activations, each by the objective of the image of that number."""
    asked = {image: objective.of(image) for image in images}
    if all(one is objective for one in asked.values()):
        return objective(activations)
    rows = {image: [row for row, other in enumerate(images) if other == image] for image in asked}
    answers = {
        image: one({need: activations[need][rows[image]] for need in objective.needs}) for image, one in asked.items()
    }
    return torch.stack([answers[image][rows[image].index(row)] for row, image in enumerate(images)])


def in_batches(changed: Iterable[Changed[K]], size: int) -> Iterator[Batch[K]]:
    """The changed copies, `size` of them at a time; no more are held."""
    copies = iter(changed)
    while several := tuple(islice(copies, size)):
        yield Batch(
            tuple(one.image for one in several),
            torch.stack([one.picture for one in several]),
            tuple(one.key for one in several),
        )


def in_words(network: Network, objective: Objective, count: int) -> tuple[str, ...]:
    """The objective of each of `count` images, with class names: "tabby", "features.10:42", "tabby - goose"."""

    def named(term: Objective) -> Objective:
        if isinstance(term, Logit) and isinstance(term.classes, int):
            return Logit(network.class_name(term.classes), term.form)
        if isinstance(term, Pixels | Box) and isinstance(term.classes, int) and network.classes:
            return replace(term, classes=network.class_name(term.classes))
        return term

    each = [objective.of(image) for image in range(count)]
    return tuple(
        network.class_name(one.classes)
        if isinstance(one, Logit) and isinstance(one.classes, int)
        else str(
            Sum(tuple((weight, named(term)) for weight, term in one.terms)) if isinstance(one, Sum) else named(one)
        )
        for one in each
    )


def require_dependence(scores: Tensor, objective: Objective, layer: str, network: Network) -> None:
    """Raise NetworkError where no gradient of the scores can reach `layer`."""
    if not scores.requires_grad:
        raise no_gradient(network, objective, layer)


@contextmanager
def with_gradients(device: torch.device) -> Iterator[None]:
    """Gradients on, whatever modes the caller is in; autocast off, which lowers the precision of gradients."""
    with torch.inference_mode(mode=False), torch.enable_grad(), no_autocast(device):
        yield


@contextmanager
def without_gradients(device: torch.device) -> Iterator[None]:
    """Gradients off, whatever modes the caller is in."""
    with torch.inference_mode(mode=False), torch.no_grad(), no_autocast(device):
        yield


class Sums:
    """Weighted sums of maps, for each of `count` rows: many changed copies of few images are summed in them."""

    def __init__(self, count: int, like: Tensor) -> None:
        """`like` (..., C, H, W) has the size and type of one map."""
        with without_gradients(like.device):
            self.values = torch.zeros(count, *like.shape[-3:], dtype=like.dtype, device=like.device)
            self.weights = torch.zeros(count, dtype=like.dtype, device=like.device)

    def add(self, rows: Sequence[int], weights: Tensor, values: Tensor) -> None:
        """Add `values` (n, C, H, W), each with its weight (n,), to those rows."""
        met = sorted(set(rows))
        with without_gradients(values.device):
            shares = torch.zeros(len(met), len(rows), dtype=values.dtype, device=values.device)
            shares[[met.index(row) for row in rows], range(len(rows))] = weights.to(shares)
            self.weights[met] += shares.sum(1)
            self.values[met] += (shares @ values.flatten(1)).view(len(met), *values.shape[1:])

    def means(self) -> Tensor:
        """The weighted means so far: (count, C, H, W), zero for rows without any map yet."""
        with without_gradients(self.values.device):
            return self.values / self.weights.clamp_min(1e-30).view(-1, 1, 1, 1)
