"""A training stage: its schedule, and a student with the state needed to resume from a checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from training.distillation.lessons import Lesson
from triscope.network.variants.precision import native_bfloat16

AVERAGE_EVERY, AVERAGE_KEEP = 8, 0.97  # an exponential moving average over about 270 steps


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The schedule of a stage: its length in hours or steps, image sizes with their share of it, and the learning rate.

    `warm_up` is the number of steps over which the rate rises, `fall` the share of the stage over which it decays.
    """

    hours: float
    steps: int
    sizes: tuple[tuple[int, float], ...]
    fall: float
    warm_up: int = 200

    def progress(self, step: int, seconds: float) -> float:
        """The share of the stage that is done, 0 to 1."""
        return min(1.0, step / self.steps if self.steps else seconds / (3600 * self.hours))

    def size(self, progress: float) -> int:
        """The side length of the images in pixels."""
        for size, share in self.sizes:
            if (progress := progress - share) < 0:
                return size
        return self.sizes[-1][0]

    def rate(self, step: int, progress: float) -> float:
        """The learning rate as a share of its peak: linear warm-up, constant, then linear decay to zero."""
        return min(1.0, (step + 1) / self.warm_up, (1 - progress) / self.fall)


class Stretch(ABC):
    """A student, its averaged copy and its optimisers."""

    def __init__(self, student: nn.Module, optimisers: list[Optimizer], plan: Plan, device: torch.device) -> None:
        self.plan, self.device = plan, device
        self.half = native_bfloat16(device)
        self.student = student
        self.average = {name: value.clone() for name, value in student.state_dict().items()}
        self.optimisers = optimisers
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["peak"] = group["lr"]
        self.step, self.seconds = 0, 0.0

    @abstractmethod
    def losses(self, lesson: Lesson, temperature: float) -> tuple[Tensor, Tensor]:
        """The cross-entropy with the targets at `temperature`, and the other losses, weighted."""

    @abstractmethod
    def keep(self, images: list[Tensor], path: Path) -> nn.Module:
        """Write the averaged student's weights to `path`, and return it; `images` are crops without augmentation."""

    @property
    def progress(self) -> float:
        """The share of the plan that is done, 0 to 1."""
        return self.plan.progress(self.step, self.seconds)

    def learn(self, lesson: Lesson, temperature: float) -> float:
        """One training step; returns the cross-entropy."""
        rate = self.plan.rate(self.step, self.progress)
        answer, rest = self.losses(lesson, temperature)
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        (answer + rest).backward()
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

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one is replaced atomically."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "student": self.student.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        replace(path, lambda part: torch.save(state, part))

    def restore(self, path: Path) -> None:
        """Resume from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step, self.seconds, self.average = state["step"], state["seconds"], state["average"]
        self.student.load_state_dict(state["student"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)


def cross_entropy(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Of logits (B, classes) at `temperature` with targets (B, classes), the mean over the batch."""
    return -(answers * F.log_softmax(logits.float() / temperature, dim=1)).sum(dim=1).mean()


def replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file beside `path`, then move it to `path` atomically."""
    part = path.with_suffix(".part")
    write(part)
    part.replace(path)
