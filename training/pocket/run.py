"""A stretch of the pocket network's training: what it learns from a lesson, and how it is exported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from training.distillation.lessons import Lesson
from training.distillation.stretch import Plan as AnyPlan
from training.distillation.stretch import Stretch, cross_entropy, replace
from training.pocket.optimiser import optimisers
from training.pocket.robust import reach, worsened
from training.pocket.student import Student, folded, quieted
from triscope.network.loading.pocket import PocketAlexNet, quantise

QUIET_AT_EXPORT = 0.01  # so little that the answers stay as they are
LIKENESS = 0.35  # weight of the likenesses within a batch against the answers
SHARPNESS = 16  # of the softmax over them


@dataclass(frozen=True, kw_only=True)
class Plan(AnyPlan):
    """A plan with learning rates: of Muon, of AdamW, and how weights decay.

    `robust` is how far half of the pictures are moved to where the student does worst (see robust.py), 0 not at all.
    """

    muon: float
    adam: float
    decay: float
    robust: float = 0.0


class Run(Stretch):
    """A stretch of the pocket network."""

    plan: Plan
    student: Student

    def __init__(self, student: Student, plan: Plan, device: torch.device) -> None:
        student = student.to(device).train()
        super().__init__(student, optimisers(student, plan.muon, plan.adam, plan.decay), plan, device)

    def losses(self, lesson: Lesson, temperature: float) -> tuple[Tensor, Tensor]:
        """Answers, and likenesses within the batch; half of the images are moved first if the plan is robust."""
        images = lesson.images
        if length := reach(self.plan.robust, images.shape[-1], self.progress):
            images = worsened(self.student, images, lesson.answers, temperature, length, self.step, self.half)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits, hidden = self.student.with_hidden(images)
        return cross_entropy(logits, lesson.answers, temperature), LIKENESS * unlike(hidden.float(), lesson.features)

    def keep(self, images: list[Tensor], path: Path) -> PocketAlexNet:
        """Write the weights file."""
        network = self.exported(images)
        export(network, path)
        return network

    def exported(self, batches: Sequence[Tensor]) -> PocketAlexNet:
        """The averaged student as a network to ship: settled, folded, quiet and even by the `batches` of photos."""
        with torch.device("meta"):  # no time spent on weights that are replaced at once
            student = Student()
        student.load_state_dict({name: value.clone().cpu() for name, value in self.average.items()}, assign=True)
        settle(student, batches)
        network = folded(student)
        first, last = network.features[0], network.classifier[6]
        first.weight.data = quieted(first.weight, batches[0], QUIET_AT_EXPORT)
        last.bias.data -= prior(network, batches)
        return network


def unlike(found: Tensor, wanted: Tensor) -> Tensor:
    """How far each vector's likenesses to the others of its batch are from those of `wanted`, on average.

    The divergence of the softmax over cosines, after centring; `found` (B, N) and `wanted` (B, M) may be of different
    length. Neighbours in one space become neighbours in the other.
    """
    ours, theirs = _likenesses(found), _likenesses(wanted)
    return F.kl_div(ours.log_softmax(dim=1), theirs.softmax(dim=1), reduction="batchmean")


def _likenesses(vectors: Tensor) -> Tensor:
    centred = F.normalize(vectors - vectors.mean(dim=0), dim=1)
    return (SHARPNESS * centred @ centred.T).fill_diagonal_(-1e4)  # nothing is its own neighbour


@torch.no_grad()
def settle(student: Student, batches: Iterable[Tensor]) -> None:
    """Give averaged weights their own statistics: plain means over the batches, at the size they will be used at."""
    for normed in student.normed().values():
        normed.norm.reset_running_stats()
        normed.norm.momentum = None  # a plain mean over the batches
    student.train()
    for batch in batches:
        student(batch)


@torch.no_grad()
def prior(network: PocketAlexNet, batches: Sequence[Tensor]) -> Tensor:
    """Log of the mean probability (1000,) that the network gives each class on the photos, centred.

    The photos show some classes far more than others, and the student learns that too. Taken off the logits it makes
    every class about as likely as the next (Menon et al., 2021, "Long-tail learning via logit adjustment").
    """
    shares = torch.cat([network(batch).softmax(dim=1) for batch in batches]).mean(dim=0).log()
    return shares - shares.mean()


def export(network: PocketAlexNet, path: Path) -> None:
    """Write the weights file that triscope ships."""
    replace(path, lambda part: save_file(quantise(network.state_dict()), part))
