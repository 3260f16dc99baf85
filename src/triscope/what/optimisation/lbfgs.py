"""L-BFGS for the images of a batch, each by itself (D. Liu, J. Nocedal, 1989)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.what.optimisation.optimisers import Answer, Ask, Optimiser, Pace

_CLIFF = 1e30  # the loss a line search sees where the score is not finite: it turns back
_LOOKED_BACK, _SHORTENED = 5, 6  # steps that a step without a search is measured by; how often it is made shorter


class Lbfgs(Optimiser):
    """L-BFGS (Liu and Nocedal, 1989), one for each image; with a strong Wolfe line search, or with none.

    One L-BFGS over a batch would share one estimate of curvature, and its images would disturb each other. `confine`
    is applied inside the closure, so that what is judged is what is drawn. An image that ends worse than it began, or
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

    def advance(self, numbers: Tensor, ask: Ask, pace: Pace) -> tuple[Tensor, Answer]:
        """One iteration of each image's own L-BFGS."""
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
        minimiser.engine.step(closure)
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
            self.troubles.append(("L-BFGS diverged; rolled back to the best image, and halved the rate.", [index]))
        minimiser.judge(before, answer)
        return answer

    @torch.no_grad()
    def _free(self, numbers: Tensor, gradient: Tensor) -> Tensor:
        """Which parameters can follow the gradient; the others are at a bound."""
        return self._confine(numbers + 1e-3 * gradient.sign()) != numbers

    def state(self) -> dict[str, Any]:
        """Each image's numbers and curvature."""
        return {"minimisers": [minimiser.state() for minimiser in self._minimisers]}

    def restore(self, state: dict[str, Any], numbers: Tensor) -> None:
        """Each image's numbers and curvature."""
        self._minimisers = self._begun(numbers)
        for minimiser, saved in zip(self._minimisers, state["minimisers"], strict=True):
            minimiser.restore(saved)


class _Minimiser:
    """One image's L-BFGS, and the best it has been."""

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
        """The answer at these numbers, if known from the last step, whose line search ended here."""
        return next((answer for numbers, answer in self.answers if torch.equal(numbers, self.leaf)), None)

    def sound(self, answer: Answer) -> bool:
        """Whether the ascent is still above where it began."""
        return bool(answer.finite()) and not float(answer.scores) < self.first_score

    def judge(self, before: Tensor, answer: Answer) -> None:
        """Remember the best; where the numbers before this step were not sound, start again from it."""
        score = float(answer.scores)
        if math.isnan(self.first_score) and not answer.finite():
            raise NetworkError(
                f"{answer.culprit()} is not a finite number on the first image, so the optimisation cannot start."
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
            self.begin(self.rate)  # the estimated curvature does not help from here; the gradient may

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
