"""One stretch of training: its plan, and a student with all that is needed to go on after a kill."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lessons import Lesson
from optimiser import optimisers
from robust import reach, worsened
from safetensors.torch import save_file
from student import Student, folded, quieted
from torch import Tensor
from torch.nn import functional as F

from triscope.network.loading.pocket import PocketAlexNet, quantise
from triscope.network.variants.precision import native_bfloat16

QUIET_AT_EXPORT = 0.01  # so little that the answers stay as they are
LIKENESS = 0.35  # weight of the likenesses within a batch against the answers
SHARPNESS = 16  # of the softmax over them
AVERAGE_EVERY, AVERAGE_KEEP = 8, 0.97  # the average looks back over about 270 steps


@dataclass(frozen=True)
class Plan:
    """How a stretch goes: its length in hours or in steps, picture sizes with their share of it, learning rates.

    `robust` is how far half of the pictures are moved to where the student does worst (see robust.py), 0 not at all.
    """

    hours: float
    steps: int
    sizes: tuple[tuple[int, float], ...]
    muon: float
    adam: float
    decay: float
    fall: float
    warm_up: int = 200
    robust: float = 0.0

    def progress(self, step: int, seconds: float) -> float:
        """How much of the stretch is done, 0 to 1."""
        return min(1.0, step / self.steps if self.steps else seconds / (3600 * self.hours))

    def size(self, progress: float) -> int:
        """The side of the pictures in pixels."""
        for size, share in self.sizes:
            if (progress := progress - share) < 0:
                return size
        return self.sizes[-1][0]

    def rate(self, step: int, progress: float) -> float:
        """The learning rate as a share of its peak: up over the first steps, level, then down in a line to zero."""
        return min(1.0, (step + 1) / self.warm_up, (1 - progress) / self.fall)


class Run:
    """A student, its averaged copy and its optimisers."""

    def __init__(self, student: Student, plan: Plan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.half = native_bfloat16(device)
        self.student = student.to(device).train()
        self.average = {name: value.clone() for name, value in self.student.state_dict().items()}
        self.optimisers = optimisers(self.student, plan.muon, plan.adam, plan.decay)
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """How much of the plan is done, 0 to 1."""
        return self.plan.progress(self.step, self.seconds)

    def learn(self, lesson: Lesson, temperature: float) -> float:
        """One step; the cross-entropy of the answers."""
        rate = self.plan.rate(self.step, self.progress)
        images = lesson.images
        if length := reach(self.plan.robust, images.shape[-1], self.progress):
            images = worsened(self.student, images, lesson.answers, temperature, length, self.step, self.half)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits, hidden = self.student.with_hidden(images)
        answer = -(lesson.answers * F.log_softmax(logits.float() / temperature, dim=1)).sum(dim=1).mean()
        loss = answer + LIKENESS * unlike(hidden.float(), lesson.features)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * rate
            optimiser.step()
        self.step += 1
        if self.step % AVERAGE_EVERY == 0:
            self._average()
        return float(answer.detach())

    def _average(self) -> None:
        keep = min(AVERAGE_KEEP, self.step / (self.step + 10 * AVERAGE_EVERY))
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)

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

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one stays until the new one is whole."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "student": self.student.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        replace(path, lambda part: torch.save(state, part))

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step, self.seconds, self.average = state["step"], state["seconds"], state["average"]
        self.student.load_state_dict(state["student"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


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


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside `path`, then put it in its place in one move."""
    part = path.with_suffix(".part")
    write(part)
    part.replace(path)


def export(network: PocketAlexNet, path: Path) -> None:
    """Write the weights file that triscope ships."""
    replace(path, lambda part: save_file(quantise(network.state_dict()), part))
