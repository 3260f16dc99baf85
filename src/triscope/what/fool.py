"""Fool: a photo changed imperceptibly, so that the network gives another class.

    minimise  |x - photo|    where    z_c - max over others z_j  >=  margin

Every step goes up the slope of the left side, and is then put at a distance from the photo that shrinks by 5 % where
the network is fooled, and grows by 5 % where it is not. The smallest change that fooled it is kept. The images judged
are those a file holds, in 256 levels, so that what is saved fools the network too.

The image shows that a high score is no proof of a likeness: what raises a class lies mostly in directions that
photographs never take. This is the reason why ascent needs regularisers to look natural.

**When it misleads.** The change shown is one of many; a smaller one may exist. It fools the network it was made for;
another may not change its answer, nor the same one after lossy compression of the file.

**References.** C. Szegedy et al., "Intriguing properties of neural networks", 2014. A. Nguyen et al., "Deep neural
networks are easily fooled", 2015. J. Rony et al., "Decoupling direction and norm for efficient gradient-based L2
adversarial attacks and defenses", CVPR 2019 (the shrinking distance).

**Differences from the paper.** Rony et al. maximise the cross-entropy; we maximise the lead of the class, whose slope
does not fade once the class is ahead.
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
from triscope.methods import ImagesArg, NetworkArg, ObjectiveInput, Range, Step, Steps, method
from triscope.network import Network
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.units import OUTPUT, Logit
from triscope.results import PerImage, note_about
from triscope.what.optimisation.ascent import optimise
from triscope.what.optimisation.optimisers import Momentum
from triscope.what.optimisation.parametrisation import Pixels
from triscope.what.optimisation.spec import AscentSpec
from triscope.what.picture import SynthesisedImage

_NOT_FOOLED = "Not fooled: the class does not lead by {:g} yet; try more steps, a higher rate, or a smaller margin."


@dataclass(frozen=True, repr=False)
class Lead(Objective):
    """How far a class is ahead of the best other one: output (B, K) -> (B,)."""

    index: int

    @property
    def needs(self) -> frozenset[Need]:
        """The output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """z_c - max of the others: (B,)."""
        scores = activations[OUTPUT]
        others = scores.index_fill(1, torch.tensor([self.index], device=scores.device), -torch.inf)
        return scores[:, self.index] - others.amax(1)

    def bind(self, network: Network) -> "Lead":
        """Itself, its class known to exist."""
        return Lead(network.class_index(self.index))


@dataclass(frozen=True, eq=False)
class Fooled(SynthesisedImage):
    """A photo and what was added to it: `photo` (B, C, H, W). `scores` (B,) are the class's softmax probability now."""

    photo: PerImage[Tensor] = dataclasses.field(kw_only=True)

    @property
    def change(self) -> Tensor:
        """The root mean square change of a pixel, in [0, 1]: (B,)."""
        return _length(self.values - self.photo)

    def montage(self) -> render.Montage:
        """The photo, the changed photo, and the change, made visible; a row for each."""
        rows = []
        for before, after in zip(self.photo, self.values, strict=True):
            change = after - before
            visible = (0.5 + change / (2 * render.scale_of(change, 99.5))).clamp(0, 1)
            rows += [self.visible(one) for one in (before, after, visible)]
        return render.montage(rows, 3)


@method("what")
def fool(
    network: NetworkArg,
    images: ImagesArg,
    objective: Annotated[Objective, ObjectiveInput(word="CLASS")],
    *,
    steps: Steps = 200,
    rate: Annotated[float, Range(0, 1)] = 0.002,
    margin: Annotated[float, Range(0, 1e6)] = 1.0,
) -> Generator[Step[Fooled]]:
    """A photo changed as little as possible so that the network classifies it as another class.

    Values (B, C, H, W) in [0, 1], in 256 levels; drawn as the photo, the changed photo, and the change, enlarged.
    Raises ObjectiveError if the objective is not a single class.

    steps     number of steps
    rate      how far a pixel moves in the first step, for values in [0, 1]; later steps are shorter
    margin    how far the class must lead all others, in logits
    """
    if not isinstance(objective, Logit) or isinstance(objective.classes, tuple):
        raise ObjectiveError(f"fool raises one class, and {objective} is not one; give an index or a name.")
    lead = Lead(network.class_index(objective.classes))
    share = Logit(lead.index, "probability")
    photo = _as_saved(images.images.float())
    near = _Nearing(network, photo, lead, margin, 2 * rate)
    plan = AscentSpec(
        network, lead, Pixels(photo.shape[-2], photo.shape[-1], network.channels),
        optimiser=partial(Momentum, rate, 0.0, normalise_each_step=True), edits=(near,), steps=steps,
    )  # fmt: skip
    for step in optimise(plan, photo):
        missed = [row for row, change in enumerate(near.change.tolist()) if change == torch.inf]
        notes = step.result.notes + ((note_about(_NOT_FOOLED.format(margin), missed, len(photo)),) if missed else ())
        result = Fooled(near.best, scores=near.shares, objective=share, notes=notes, photo=photo)
        yield Step(step.index, step.total, step.score, step.terms, result)


class _Nearing:
    """Keeps images (B, C, H, W) at a distance from their photos, and the nearest that fooled the network.

    `change` (B,) is how far that one is, infinite where none has; `best` is then the last tried.
    """

    def __init__(self, network: Network, photo: Tensor, lead: Lead, margin: float, distance: float) -> None:
        self.network, self.photo, self.lead, self.margin = network, photo, lead, margin
        self.distance = torch.full((len(photo),), distance, device=photo.device)
        self.change = torch.full_like(self.distance, torch.inf)
        self.best, self.shares = photo, torch.zeros_like(self.distance)

    @torch.no_grad()
    def __call__(self, pictures: Tensor, slope: Tensor, step: int) -> Tensor:
        """The images, at the distance that follows from whether they fool the network."""
        del slope, step
        made = _as_saved(pictures)
        look = self.network.look(made.to(self.network.dtype), self.lead.needs)
        fooled = self.lead(look).float() >= self.margin
        change = _length(made - self.photo)
        taken = torch.where(fooled, change < self.change, self.change == torch.inf)
        self.best = made.where(_wide(taken), self.best)
        self.shares = look[OUTPUT].float().softmax(1)[:, self.lead.index].where(taken, self.shares)
        self.change = change.where(taken & fooled, self.change)
        self.distance = self.distance * torch.where(fooled, 0.95, 1.05)
        away = pictures - self.photo
        length = _length(away).clamp_min(torch.finfo(away.dtype).tiny)
        return (self.photo + away * _wide(self.distance / length)).clamp(0, 1)


def _as_saved(pictures: Tensor) -> Tensor:
    """In the 256 levels that a file holds."""
    return (255 * pictures).round() / 255


def _length(change: Tensor) -> Tensor:
    """The root mean square over pixels: (B,)."""
    return change.square().flatten(1).mean(1).sqrt()


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
