"""Optimisers: how numbers are changed to raise a score, each picture of a batch by itself.

    Adam        adaptive steps; the default
    Momentum    plain ascent; momentum is forgotten when the rate changes (Mahendran and Vedaldi, 2015)
    Lbfgs       curvature from the last steps; for smooth objectives without random views

An optimiser is asked to `advance` numbers (B, ...) and may `ask` for the answer at any numbers. Where a score or
gradient is not a number, it steps that picture back, halves its rate, and says so in `troubles`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from triscope.errors import NetworkError

_CLIFF = 1e30  # what a line search sees where the score is not a number: it turns back
_LOOKED_BACK, _SHORTENED = 5, 6  # steps that a step without a search is measured by; how often it is made shorter


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of the pictures that some numbers make.

    `pictures` (B, C, H, W), `scores` (B,), `terms` the parts of the scores by name, `gradient` that of each score at
    its numbers, in their shape.
    """

    pictures: Tensor
    scores: Tensor
    terms: dict[str, Tensor]
    gradient: Tensor

    def finite(self) -> Tensor:
        """(B,) whether everything about a picture is a finite number, as a sum is where all its parts are."""
        return (self.scores + self.gradient.flatten(1).sum(1)).isfinite()

    def culprit(self) -> str:
        """What is not a number, by name."""
        return next((name for name, term in self.terms.items() if not term.isfinite().all()), "the gradient")


class Ask(Protocol):
    """Answers for numbers (B, ...), or for (1, ...) those of picture `only`."""

    def __call__(self, numbers: Tensor, only: int | None = None) -> Answer: ...  # noqa: D102


class Optimiser(ABC):
    """Changes numbers to raise scores. `rate` is scaled by `pace`, from 1 down, as the ascent goes on."""

    #: Whether answers of several steps are compared, so that nothing random may differ between them.
    needs_one_question: ClassVar[bool] = False

    def __init__(self, rate: float) -> None:
        self.rate = rate
        #: Sentences, and the pictures that each is about.
        self.troubles: list[tuple[str, list[int]]] = []

    @abstractmethod
    def advance(self, numbers: Tensor, ask: Ask, pace: float) -> tuple[Tensor, Answer]:
        """The numbers after one step, and the answer at the numbers before it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors, numbers and lists of them."""

    @abstractmethod
    def restore(self, state: dict[str, Any], numbers: Tensor) -> None:
        """Take up what `state` gave."""

    def _trouble(self, answer: Answer, about: list[int]) -> None:
        self.troubles.append((f"{answer.culprit()} was not a finite number; stepped back, and halved the rate.", about))


class _FirstOrder(Optimiser):
    """One answer a step."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self._memory: dict[str, Tensor] = {}

    def advance(self, numbers: Tensor, ask: Ask, pace: float) -> tuple[Tensor, Answer]:
        """One step along the gradient; pictures whose answer is not finite go back to where they were before."""
        answer = ask(numbers)
        fine = answer.finite()
        if not self._memory:
            if not fine.all():
                raise NetworkError(
                    f"{answer.culprit()} is not a finite number on the very first picture, so there is no way up."
                )
            self._memory = {"factor": torch.ones(len(numbers), device=numbers.device), "before": numbers}
            self._memory |= self._start(numbers)
        mask = fine.view(-1, *[1] * (numbers.ndim - 1))
        rate = self.rate * pace * self._memory["factor"].view(mask.shape)
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

    @abstractmethod
    def _start(self, numbers: Tensor) -> dict[str, Tensor]:
        """The memory before the first step, zero."""

    @abstractmethod
    def _step(self, gradient: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The step, and what is remembered after it."""


class Adam(_FirstOrder):
    """Adam (Kingma and Ba, 2015), upwards; every number by itself, so a batch does not couple its pictures."""

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


class Momentum(_FirstOrder):
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


class Lbfgs(Optimiser):
    """L-BFGS (Liu and Nocedal, 1989), one for each picture; with a strong Wolfe line search, or with none.

    One L-BFGS over a batch would share one estimate of curvature, and its pictures would disturb each other. `confine`
    is applied inside the closure, so that what is judged is what is drawn. A picture that ends worse than it began, or
    not finite, is rolled back to its best and started again with half the rate.

    A line search may ask several times in a step, and fails where rounding hides what a step gains. Without one, a step
    is only made shorter where it ends worse than all of the last few did (Grippo, Lampariello and Lucidi, 1986).
    """

    needs_one_question = True

    def __init__(
        self,
        rate: float = 1.0,
        history: int = 15,
        confine: Callable[[Tensor], Tensor] = torch.clone,
        *,
        search: bool = True,
    ) -> None:
        super().__init__(rate)
        self.history = history
        self.search = search
        self._confine = confine
        self._minimisers: list[_Minimiser] = []

    def advance(self, numbers: Tensor, ask: Ask, pace: float) -> tuple[Tensor, Answer]:
        """One iteration of each picture's own L-BFGS."""
        if not self._minimisers:
            self._minimisers = self._begun(numbers)
        answers = [self._one(index, minimiser, ask) for index, minimiser in enumerate(self._minimisers)]
        first = answers[0]
        joined = Answer(
            torch.cat([answer.pictures for answer in answers]),
            torch.cat([answer.scores for answer in answers]),
            {name: torch.cat([answer.terms[name] for answer in answers]) for name in first.terms},
            torch.cat([answer.gradient for answer in answers]),
        )
        return torch.cat([minimiser.leaf.detach() for minimiser in self._minimisers]).clone(), joined

    def _begun(self, numbers: Tensor) -> list["_Minimiser"]:
        return [_Minimiser(one, self.rate, self.history, search=self.search) for one in torch.split(numbers, 1)]

    def _one(self, index: int, minimiser: "_Minimiser", ask: Ask) -> Answer:
        def closure() -> float:
            with torch.no_grad():
                minimiser.leaf.copy_(self._confine(minimiser.leaf))
            answer = minimiser.known()
            if answer is None:
                answer = ask(minimiser.leaf.detach().clone(), index)
                minimiser.answers.append((minimiser.leaf.detach().clone(), answer))
            if not answer.finite():
                minimiser.leaf.grad = torch.zeros_like(minimiser.leaf)
                return _CLIFF
            minimiser.leaf.grad = -answer.gradient.where(self._free(minimiser.leaf, answer.gradient), 0)
            return -float(answer.scores)

        before = minimiser.leaf.detach().clone()
        minimiser.engine.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            minimiser.leaf.copy_(self._confine(minimiser.leaf))
        answer = next(answer for numbers, answer in minimiser.answers if torch.equal(numbers, before))
        if not self.search and answer.finite():
            minimiser.losses = [*minimiser.losses, -float(answer.scores)][-_LOOKED_BACK:]
            for _ in range(_SHORTENED):
                if closure() <= max(minimiser.losses):
                    break
                minimiser.shorten(before)
        for _, other in minimiser.answers:
            if not other.finite():
                self._trouble(other, [index])
        if answer.finite() and not minimiser.sound(answer):
            self.troubles.append(("L-BFGS diverged; rolled back to the best picture, and halved the rate.", [index]))
        minimiser.judge(before, answer)
        return answer

    @torch.no_grad()
    def _free(self, numbers: Tensor, gradient: Tensor) -> Tensor:
        """Where the numbers may go the way the gradient points; elsewhere the line search would run into the bound."""
        return self._confine(numbers + 1e-3 * gradient.sign()) != numbers

    def state(self) -> dict[str, Any]:
        """Each picture's numbers and curvature."""
        return {"minimisers": [minimiser.state() for minimiser in self._minimisers]}

    def restore(self, state: dict[str, Any], numbers: Tensor) -> None:
        """Each picture's numbers and curvature."""
        self._minimisers = self._begun(numbers)
        for minimiser, saved in zip(self._minimisers, state["minimisers"], strict=True):
            minimiser.restore(saved)


class _Minimiser:
    """One picture's L-BFGS, and the best it has been."""

    def __init__(self, numbers: Tensor, rate: float, history: int, *, search: bool) -> None:
        self.leaf = numbers.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        self.history, self.search = history, search
        self.answers: list[tuple[Tensor, Answer]] = []
        self.losses: list[float] = []
        self.best, self.best_score, self.first_score = self.leaf.detach().clone(), -math.inf, math.nan
        self.begin(rate)

    def begin(self, rate: float) -> None:
        """Start without curvature."""
        self.rate = rate
        self.engine = torch.optim.LBFGS(
            [self.leaf],
            lr=rate,
            max_iter=1,
            max_eval=20,
            history_size=self.history,
            line_search_fn="strong_wolfe" if self.search else None,
            tolerance_grad=0,
            tolerance_change=0,
        )

    def shorten(self, before: Tensor) -> None:
        """Go back by three quarters of the last step, and let the curvature know."""
        with torch.no_grad():
            self.leaf.copy_(before.lerp(self.leaf, 0.25))
        self.engine.state[self.leaf]["t"] *= 0.25

    def known(self) -> Answer | None:
        """The answer at these numbers, where the last step has already asked: its line search ended here."""
        return next((answer for numbers, answer in self.answers if torch.equal(numbers, self.leaf)), None)

    def sound(self, answer: Answer) -> bool:
        """Whether the ascent is still above where it began."""
        return bool(answer.finite()) and not float(answer.scores) < self.first_score

    def judge(self, before: Tensor, answer: Answer) -> None:
        """Remember the best; where the numbers before this step were not sound, start again from it."""
        score = float(answer.scores)
        if math.isnan(self.first_score) and not answer.finite():
            raise NetworkError(
                f"{answer.culprit()} is not a finite number on the very first picture, so there is no way up from it."
            )
        sound = self.sound(answer)
        self.first_score = score if math.isnan(self.first_score) else self.first_score
        if sound and score > self.best_score:
            self.best, self.best_score = before, score
        self.answers = [(numbers, known) for numbers, known in self.answers[-1:] if known.finite()]
        if not sound or not self.leaf.isfinite().all():
            with torch.no_grad():
                self.leaf.copy_(self.best)
            self.begin(self.rate / 2)
        elif torch.equal(self.leaf, before):
            self.begin(self.rate)  # the curvature leads nowhere from here; the gradient may

    def state(self) -> dict[str, Any]:
        """As `restore` takes it up."""
        return {
            "leaf": self.leaf.detach().clone(),
            "best": self.best,
            "best_score": self.best_score,
            "first_score": self.first_score,
            "rate": self.rate,
            "losses": self.losses,
            "engine": self.engine.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave."""
        with torch.no_grad():
            self.leaf.copy_(state["leaf"])
        self.best, self.best_score, self.first_score = state["best"], state["best_score"], state["first_score"]
        self.begin(state["rate"])
        self.losses = state["losses"]
        self.engine.load_state_dict(state["engine"])
