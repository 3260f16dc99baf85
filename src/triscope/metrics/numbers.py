"""The numbers of the maps of one image."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from triscope.metrics import faithfulness, localisation, sanity
from triscope.metrics.baselines import baseline
from triscope.metrics.judgement import Number
from triscope.metrics.maps import evidence
from triscope.metrics.perturbed import Subject
from triscope.network import ImageBatch, Network
from triscope.objectives.base import Need, Objective
from triscope.objectives.units import Logit
from triscope.results import Heatmap
from triscope.where.target import kept_answers


class Explainer(Protocol):
    """A function that computes the heatmap of images for an objective: an attribution method with its options."""

    def __call__(self, network: Network, images: ImageBatch, objective: Objective, /) -> Heatmap:
        """The heatmap of the images."""


class ImageJudge:
    """Computes the numbers of maps of one image.

    `image` is a batch of one; `mask` (H, W) marks the pixels of the object, None where it is not known. `random` are
    networks with random weights, to be made once for many images; None makes them here.
    """

    def __init__(
        self,
        network: Network,
        image: ImageBatch,
        objective: Objective,
        *,
        steps: int = 28,
        seed: int = 0,
        mask: Tensor | None = None,
        random: Sequence[Network] | None = None,
    ) -> None:
        self.network, self.image, self.objective = network, image, objective
        self.steps, self.seed, self.mask, self.random = steps, seed, mask, random
        self.subject = Subject.of(network, image.images[0], objective)
        self.other = self._other_class()

    def of(self, explainer: Explainer, numbers: Sequence[Number]) -> list[float]:
        """The numbers of a method's map, in order; NaN where one does not apply."""
        explain = partial(self._explain, explainer)
        with kept_answers():
            values = explain(self.network, self.image.images[0])
            return [self._number(number, values, explain, explainer) for number in numbers]

    def of_baseline(self, name: str, numbers: Sequence[Number]) -> list[float]:
        """The numbers of the baseline map of that name; NaN where one does not apply."""
        values = baseline(name, self.image.images[0], self.seed)
        return [self._number(number, values, None, None) for number in numbers]

    def _number(
        self, number: Number, values: Tensor, explain: sanity.Explain | None, explainer: Explainer | None
    ) -> float:
        measures: dict[Number, Callable[[], float]] = {
            "insertion": partial(faithfulness.insertion, self.subject, values, steps=self.steps),
            "deletion": partial(faithfulness.deletion, self.subject, values, steps=self.steps),
            "road": partial(faithfulness.road, self.subject, values, seed=self.seed),
            "infidelity": partial(faithfulness.infidelity, self.subject, values, seed=self.seed),
            "sensitivity_n": partial(faithfulness.sensitivity_n, self.subject, values, seed=self.seed),
        }
        if number in measures:
            return measures[number]()
        if number in ("pointing", "energy"):
            measure = localisation.pointing if number == "pointing" else localisation.energy
            return math.nan if self.mask is None else measure(values, self.mask)
        if explain is None or explainer is None:
            return math.nan
        return self._sanity(number, values, explain, explainer)

    def _sanity(self, number: Number, values: Tensor, explain: sanity.Explain, explainer: Explainer) -> float:
        image = self.image.images[0]
        if number == "class":
            if self.other is None:
                return math.nan
            other = evidence(explainer(self.network, self.image, self.other))[0].cpu()
            return sanity.class_correlation(values, other)
        if number == "randomisation":
            return sanity.randomisation(explain, self.network, image, values, seed=self.seed, networks=self.random)
        return sanity.max_sensitivity(explain, self.network, image, values, seed=self.seed)

    def _explain(self, explainer: Explainer, network: Network, image: Tensor) -> Tensor:
        batch = ImageBatch(image[None], self.image.boxes, self.image.sources)
        return evidence(explainer(network, batch, self.objective))[0].cpu()

    def _other_class(self) -> Logit | None:
        """The class with the highest score beside the explained one; None where no class is explained."""
        if not isinstance(self.objective, Logit) or not isinstance(self.objective.classes, int):
            return None
        with torch.no_grad():
            output = self.network.look(self.image.images, ["output"])[Need("output")][0].clone()
        if output.ndim != 1 or len(output) < 2:
            return None
        output[self.objective.classes] = -math.inf
        return Logit(int(output.argmax()))
