"""A training stage of the pocket network: its losses, and how the weights are exported."""

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
from training.pocket.robust import adversarial, radius
from training.pocket.student import Student, denoised, folded
from triscope.network.loading.pocket import PocketAlexNet, quantise

NOISE_AT_EXPORT = 0.01  # so little that the outputs hardly change
SIMILARITY = 0.35  # weight of the similarity loss, against the cross-entropy
SHARPNESS = 16  # inverse temperature of the softmax over similarities


@dataclass(frozen=True, kw_only=True)
class Plan(AnyPlan):
    """A plan with the learning rates of Muon and AdamW, and weight decay.

    `robust` is the L2 norm of the adversarial perturbations of half of the images (see robust.py); 0: none.
    """

    muon: float
    adam: float
    decay: float
    robust: float = 0.0


class Run(Stretch):
    """A training stage of the pocket network."""

    plan: Plan
    student: Student

    def __init__(self, student: Student, plan: Plan, device: torch.device) -> None:
        student = student.to(device).train()
        super().__init__(student, optimisers(student, plan.muon, plan.adam, plan.decay), plan, device)

    def losses(self, lesson: Lesson, temperature: float) -> tuple[Tensor, Tensor]:
        """Cross-entropy with the teacher, and similarity loss; adversarial perturbations first if the plan has them."""
        images = lesson.images
        if length := radius(self.plan.robust, images.shape[-1], self.progress):
            images = adversarial(self.student, images, lesson.answers, temperature, length, self.step, self.half)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits, hidden = self.student.with_hidden(images)
        return cross_entropy(logits, lesson.answers, temperature), SIMILARITY * similarity_loss(
            hidden.float(), lesson.features
        )

    def keep(self, images: list[Tensor], path: Path) -> PocketAlexNet:
        """Write the weights file."""
        network = self.exported(images)
        export(network, path)
        return network

    def exported(self, batches: Sequence[Tensor]) -> PocketAlexNet:
        """The averaged student ready to ship; statistics, filters and class prior come from `batches` of photos."""
        with torch.device("meta"):  # no time spent on weights that are replaced at once
            student = Student()
        student.load_state_dict({name: value.clone().cpu() for name, value in self.average.items()}, assign=True)
        settle(student, batches)
        network = folded(student)
        first, last = network.features[0], network.classifier[6]
        first.weight.data = denoised(first.weight, batches[0], NOISE_AT_EXPORT)
        last.bias.data -= prior(network, batches)
        return network


def similarity_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """KL divergence between the similarities within a batch of vectors `found` (B, N) and those of `wanted` (B, M).

    Similarities are the softmax over cosines to the other vectors, after centring. Minimising it makes neighbours in
    one space neighbours in the other.
    """
    ours, theirs = _similarities(found), _similarities(wanted)
    return F.kl_div(ours.log_softmax(dim=1), theirs.softmax(dim=1), reduction="batchmean")


def _similarities(vectors: Tensor) -> Tensor:
    centred = F.normalize(vectors - vectors.mean(dim=0), dim=1)
    return (SHARPNESS * centred @ centred.T).fill_diagonal_(-1e4)  # no vector is its own neighbour


@torch.no_grad()
def settle(student: Student, batches: Iterable[Tensor]) -> None:
    """Estimate the batch normalisation statistics of averaged weights, at the image size of the batches."""
    for normed in student.normed().values():
        normed.norm.reset_running_stats()
        normed.norm.momentum = None  # a plain mean over the batches
    student.train()
    for batch in batches:
        student(batch)


@torch.no_grad()
def prior(network: PocketAlexNet, batches: Sequence[Tensor]) -> Tensor:
    """Log of the mean probability (1000,) that the network gives each class on the photos, centred.

    The photos show some classes far more often than others, and the student learns this prior. It is subtracted from
    the logits (Menon et al., 2021, "Long-tail learning via logit adjustment").
    """
    shares = torch.cat([network(batch).softmax(dim=1) for batch in batches]).mean(dim=0).log()
    return shares - shares.mean()


def export(network: PocketAlexNet, path: Path) -> None:
    """Write the weights file that triscope ships."""
    replace(path, lambda part: save_file(quantise(network.state_dict()), part))
