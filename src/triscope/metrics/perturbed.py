"""One image and its question, asked again and again with parts of the image taken away."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.objectives.units import Logit
from triscope.where.target import looked_at, without_gradients

_AT_ONCE = 16  # images that pass through the network together


@dataclass(frozen=True, eq=False)
class Subject:
    """An image (C, H, W) before a network, and the objective that is asked of it."""

    network: Network
    image: Tensor
    objective: Objective

    @classmethod
    def of(cls, network: Network, image: Tensor, objective: Objective) -> "Subject":
        """A class is judged by its probability, which lies in [0, 1]; any other unit by its score."""
        if isinstance(objective, Logit) and objective.form == "logit":
            objective = Logit(objective.classes, "probability")
        return cls(network, image, objective)

    def scores(self, images: Iterable[Tensor]) -> Tensor:
        """The scores (N,) of images (C, H, W), a bounded number of which are held at once; float64."""
        return torch.cat([self._ask(batch) for batch in _batches(images)] or [torch.empty(0, dtype=torch.float64)])

    def _ask(self, batch: Tensor) -> Tensor:
        with without_gradients(self.network.device):
            pictures = batch.to(self.network.device, self.network.dtype)
            look = looked_at(self.network, pictures, self.objective.needs)
            return self.objective(look).double().cpu()


def _batches(images: Iterable[Tensor]) -> Iterator[Tensor]:
    waiting = iter(images)
    while several := list(islice(waiting, _AT_ONCE)):
        yield torch.stack(several)


def mixed(image: Tensor, other: Tensor, taken: Tensor) -> Tensor:
    """The image (C, H, W) with the pixels in `taken` (H, W) from `other`."""
    return torch.where(taken, other, image)
