"""The scores of perturbed copies of one image."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.objectives.units import Logit
from triscope.where.target import looked_at, without_gradients

_BATCH_SIZE = 16


@dataclass(frozen=True, eq=False)
class Subject:
    """An image (C, H, W) in [0, 1], a network, and the objective whose scores are computed."""

    network: Network
    image: Tensor
    objective: Objective

    @classmethod
    def of(cls, network: Network, image: Tensor, objective: Objective) -> "Subject":
        """The subject for an objective, with the logit of a class replaced by its probability, which is in [0, 1]."""
        if isinstance(objective, Logit) and objective.form == "logit":
            objective = Logit(objective.classes, "probability")
        return cls(network, image, objective)

    def scores(self, images: Iterable[Tensor]) -> Tensor:
        """The scores (N,) of images (C, H, W), computed in batches of a bounded size; float64."""
        none = torch.empty(0, dtype=torch.float64)
        return torch.cat([self._batch_scores(batch) for batch in _batches(images)] or [none])

    def _batch_scores(self, batch: Tensor) -> Tensor:
        with without_gradients(self.network.device):
            images = batch.to(self.network.device, self.network.dtype)
            look = looked_at(self.network, images, self.objective.needs)
            return self.objective(look).double().cpu()


def _batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    waiting = iter(images)
    while batch := list(islice(waiting, _BATCH_SIZE)):
        yield torch.stack(batch)


def mixed(image: Tensor, other: Tensor, taken: Tensor) -> Tensor:
    """The image (C, H, W) with the pixels in the mask `taken` (H, W) replaced by those of `other`."""
    return torch.where(taken, other, image)
