"""Optimisers: gradient ascent on parameters, each image of a batch by itself.

    Adam        adaptive steps; the default
    Momentum    plain ascent; momentum is forgotten when the rate changes (Mahendran and Vedaldi, 2015)
    Lbfgs       curvature from the last steps; for smooth objectives without random views; in `lbfgs`

An optimiser is asked to `advance` numbers (B, ...) and may `ask` for the answer at any numbers. Where a score or
gradient is not a number, it steps that image back, halves its rate, and says so in `troubles`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError


@dataclass(frozen=True, eq=False)
class Answer:
    """Images, their scores and gradients.

    `images` (B, C, H, W), `scores` (B,), `terms` the parts of the scores by name, `gradient` that of each score at
    its numbers, in their shape.
    """

    pictures: Tensor
    scores: Tensor
    terms: dict[str, Tensor]
    gradient: Tensor

    def finite(self) -> Tensor:
        """(B,) whether everything about an image is a finite number, as a sum is where all its parts are."""
        return (self.scores + self.gradient.flatten(1).sum(1)).isfinite()

    def culprit(self) -> str:
        """What is not a number, by name."""
        return next((name for name, term in self.terms.items() if not term.isfinite().all()), "the gradient")


#: What the rate is multiplied by: the same for all images, or (B,) for each its own.
Pace: TypeAlias = float | Tensor


class Ask(Protocol):
    """Answers for numbers (B, ...), or for (1, ...) those of image `only`."""

    def __call__(self, numbers: Tensor, only: int | None = None) -> Answer: ...  # noqa: D102


class Optimiser(ABC):
    """Changes numbers to raise scores. `rate` is scaled by `pace`, from 1 down, as the ascent goes on."""

    #: Whether answers of several steps are compared, so that nothing random may differ between them.
    needs_one_question: ClassVar[bool] = False

    def __init__(self, rate: float) -> None:
        self.rate = rate
        #: Sentences, and the images that each is about.
        self.troubles: list[tuple[str, list[int]]] = []

    @abstractmethod
    def advance(self, numbers: Tensor, ask: Ask, pace: Pace) -> tuple[Tensor, Answer]:
        """The numbers after one step, and the answer at the numbers before it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors, numbers and lists of them."""

    @abstractmethod
    def restore(self, state: dict[str, Any], numbers: Tensor) -> None:
        """Restore what `state` returned."""

    def _trouble(self, answer: Answer, about: list[int]) -> None:
        self.troubles.append((f"{answer.culprit()} was not a finite number; stepped back, and halved the rate.", about))


class FirstOrder(Optimiser):
    """One answer a step."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._memory: dict[str, Tensor] = {}

    def advance(self, numbers: Tensor, ask: Ask, pace: Pace) -> tuple[Tensor, Answer]:
        """One step along the gradient; images whose answer is not finite go back to where they were before."""
        answer = ask(numbers)
        fine = answer.finite()
        if not self._memory:
            if not fine.all():
                raise NetworkError(
                    f"{answer.culprit()} is not a finite number on the first image, so the optimisation cannot start."
                )
            self._memory = {"factor": torch.ones(len(numbers), device=numbers.device), "before": numbers}
            self._memory |= self._start(numbers)
        mask = fine.view(-1, *[1] * (numbers.ndim - 1))
        rate = (self.rate * pace * self._memory["factor"]).view(mask.shape)
        gradient = answer.gradient if fine.all() else answer.gradient.where(mask, 0)
        step, memory = self._step(gradient, rate)
        moved = step.add_(numbers)
        memory["before"] = numbers
        memory["factor"] = (1.05 * self._memory["factor"]).clamp_max(1).where(fine, self._memory["factor"] / 2)
        if not fine.all():
            self._trouble(answer, (~fine).nonzero().flatten().tolist())
            moved = moved.where(mask, self._memory["before"])
            memory["before"] = numbers.where(mask, self._memory["before"])
            for name in memory.keys() - {"before", "factor"}:
                memory[name] = memory[name].where(mask if memory[name].ndim == mask.ndim else fine, 0)
        self._memory |= memory
        return moved, answer

    def state(self) -> dict[str, Any]:
        """The memory."""
        return dict(self._memory)

    def restore(self, state: dict[str, Any], numbers: Tensor) -> None:
        """The memory."""
        self._memory = {name: value.to(numbers.device) for name, value in state.items()}

    def exchange(self, kept: Tensor, new: Tensor) -> None:
        """Continue with the images `kept` (their numbers), followed by `new` ones, at their first step.

        `new` are their numbers, (N, ...).
        """
        if self._memory:
            begun = {"factor": torch.ones(len(new), device=new.device), "before": new, **self._start(new)}
            self._memory = {name: torch.cat([value[kept], begun[name]]) for name, value in self._memory.items()}

    @abstractmethod
    def _start(self, numbers: Tensor) -> dict[str, Tensor]:
        """The memory before the first step, zero."""

    @abstractmethod
    def _step(self, gradient: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The step, and what is remembered after it."""


class Adam(FirstOrder):
    """Adam (Kingma and Ba, 2015), upwards; every number by itself, so a batch does not couple its images."""

    betas = (0.9, 0.999)

    def _start(self, numbers: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros_like(numbers)
        return {"mean": zero, "square": zero, "count": torch.zeros(len(numbers), device=numbers.device)}

    def _step(self, gradient: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        first, second = self.betas
        mean = self._memory["mean"].lerp(gradient, 1 - first)
        square = (second * self._memory["square"]).addcmul_(gradient, gradient, value=1 - second)
        count = self._memory["count"] + 1
        age = count.view(rate.shape)
        # Adam's own 1e-8 is too much here: gradients of a mean over many positions are small themselves.
        spread = (square / (1 - second**age)).sqrt_().add_(1e-12)
        step = torch.div(mean, spread, out=spread).mul_(rate / (1 - first**age))
        return step, {"mean": mean, "square": square, "count": count}


class Momentum(FirstOrder):
    """Ascent with momentum. The first step is `rate` long, as a root mean square, whatever the gradient's scale; every
    step's gradient is measured anew where `normalise_each_step`.

    The momentum is forgotten whenever the rate has fallen by more than half since it was last forgotten.
    """

    def __init__(self, rate: float, keep: float = 0.9, *, normalise_each_step: bool = False) -> None:
        super().__init__(rate)
        self.keep = keep
        self.normalise_each_step = normalise_each_step

    def _start(self, numbers: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros(len(numbers), device=numbers.device)
        return {"velocity": torch.zeros_like(numbers), "unit": zero, "since": zero}

    def _step(self, gradient: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        flat = rate.flatten()
        size = gradient.flatten(1).square().mean(1).sqrt()
        unit = size if self.normalise_each_step else self._memory["unit"].where(self._memory["unit"] > 0, size)
        fallen = flat < self._memory["since"] / 2
        since = flat.where(fallen | (self._memory["since"] == 0), self._memory["since"])
        scaled = rate * gradient / unit.clamp_min(torch.finfo(unit.dtype).tiny).view(rate.shape)
        velocity = self.keep * self._memory["velocity"].where(~fallen.view(rate.shape), 0) + scaled
        return velocity.clone(), {"velocity": velocity, "unit": unit, "since": since}
