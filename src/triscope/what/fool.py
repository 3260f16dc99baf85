"""Fool: a photo changed so little that nobody sees it, and the network says something else.

    maximise  min(z_c - max over others z_j, margin)  -  weight * |x - photo|^2 / |photo|^2

The picture shows that a high score is no proof of a likeness: what raises a class lies mostly in directions that
photographs never take. This is the reason why ascent needs regularisers to look natural.

**When it misleads.** The change shown is one of many and the smallest only roughly. It fools the network it was made
for; another may shrug at it, and so may the same one after the file has been compressed.

**References.** C. Szegedy et al., "Intriguing properties of neural networks", 2014. A. Nguyen et al., "Deep neural
networks are easily fooled", 2015. N. Carlini, D. Wagner, "Towards evaluating the robustness of neural networks", 2017
(the objective).

**Where ours departs.** Carlini and Wagner search for the weight; ours is fixed, and the score kept at a margin.
"""

import dataclasses
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from triscope import render
from triscope.errors import ObjectiveError
from triscope.methods import Range, Step, method
from triscope.network import Fit, Network, Seen
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.distances import FeatureDistance
from triscope.objectives.text import Question, question
from triscope.objectives.units import OUTPUT, Logit
from triscope.what.canvas import Pixels
from triscope.what.loop import INPUT, Climb, climb
from triscope.what.optimisers import Adam
from triscope.what.picture import Imagined


@dataclass(frozen=True, repr=False)
class Margin(Objective):
    """How far a class is ahead of the best other one, `enough` at most: output (B, K) -> (B,)."""

    index: int
    enough: float

    @property
    def needs(self) -> frozenset[Need]:
        """The output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """min(z_c - max of the others, enough): (B,)."""
        scores = activations[OUTPUT]
        others = scores.index_fill(1, torch.tensor([self.index], device=scores.device), -torch.inf)
        return (scores[:, self.index] - others.amax(1)).clamp_max(self.enough)

    def bind(self, network: Network) -> "Margin":
        """Itself, its class known to exist."""
        return Margin(network.class_index(self.index), self.enough)


@dataclass(frozen=True, eq=False)
class Fooled(Imagined):
    """A photo and what was added to it: `photo` (B, C, H, W). `scores` (B,) are the class's softmax probability now."""

    photo: Tensor = dataclasses.field(kw_only=True)

    @property
    def change(self) -> Tensor:
        """The root mean square change of a pixel, in [0, 1]: (B,)."""
        return (self.values - self.photo).square().flatten(1).mean(1).sqrt()

    def draw(self) -> Tensor:
        """The photo, the changed photo, and the change, made visible; a row for each."""
        rows = []
        for before, after in zip(self.photo, self.values, strict=True):
            change = after - before
            visible = (0.5 + change / (2 * render.scale_of(change, 99.5))).clamp(0, 1)
            rows += [one.expand(3, -1, -1) for one in (before, after, visible)]
        return render.grid(rows, 3)


@method("what")
def fool(
    network: Network,
    images: Seen,
    objective: Question,
    *,
    steps: Annotated[int, Range(1, 100_000)] = 200,
    rate: Annotated[float, Range(0, 1)] = 0.002,
    weight: Annotated[float, Range(0, 1e9)] = 2000.0,
    margin: Annotated[float, Range(0, 1e6)] = 3.0,
    fit: Fit = "crop",
) -> Generator[Step[Fooled]]:
    """A photo changed as little as possible, so that the network calls it another class.

    Values (B, C, H, W) in [0, 1]; drawn as the photo, the changed photo, and the change, enlarged. Raises
    ObjectiveError where the question is not one class.

    steps     how many steps
    rate      how far a pixel moves in a step
    weight    how much a change costs
    margin    by how much the class is to lead, in logits
    fit       crop (the network's own preprocessing), pad (all of the picture, on grey) or keep (its own size)
    """
    asked = question(objective).bind(network)
    if not isinstance(asked, Logit) or isinstance(asked.classes, tuple):
        raise ObjectiveError(f"fool raises one class, and {asked} is not one; give an index or a name.")
    index = network.class_index(asked.classes)
    photo = images.images.float()
    near = FeatureDistance.from_activations({INPUT: photo})
    plan = Climb(
        network, Margin(index, margin), Pixels(photo.shape[-2], photo.shape[-1], network.channels),
        priors=-weight * near, optimiser=partial(Adam, rate), steps=steps,
    )  # fmt: skip
    for step in climb(plan, photo):
        made = step.result.values
        with torch.no_grad():
            shares = network.look(made.to(network.dtype), ["output"])[OUTPUT].float().softmax(1)
        missed = [str(row) for row, best in enumerate(shares.argmax(1).tolist()) if best != index]
        note = (
            f"Not fooled: picture {', '.join(missed)} is still called something else; try more steps, or less weight."
        )
        notes = step.result.notes + ((note,) if missed else ())
        result = Fooled(made, scores=shares[:, index], objective=asked, notes=notes, photo=photo)
        yield Step(step.index, step.total, step.score, step.terms, result)
