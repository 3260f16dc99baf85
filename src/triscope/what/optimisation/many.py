"""Many ascents in one batch: the place of a finished one goes to the next.

    places    [ 0:17 ][ 0:18 ][ 0:42 ] ...     each at a step of its own, all at the same place of the window
    window    steps 0 to 15 of every ascent see the same 16 random views, and so do its steps 16 to 31, ...

All begin with the same noise. Because views repeat, an ascent sees the same views at the same step, whatever else is in
the batch: its result does not depend on the batch. And because a window's views are those of the one before, its mean
score can be compared with that: an image has **converged** where the last window added less than `tolerance` of all
that the score has risen. Such an image has one window more, in which the rate falls to its end.

A unit without a gradient in its first window is given up, without an image.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil

import torch
from torch import Tensor

from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.what.optimisation.evaluation import Evaluator, named
from triscope.what.optimisation.optimisers import Adam
from triscope.what.optimisation.parametrisation import Canvas
from triscope.what.optimisation.spec import Edit, cosine
from triscope.what.optimisation.transforms import Transform, View, draw

_WINDOW = 16  # steps, or about as many as divide all steps evenly; a multiple of 4, as edits come every 4th step
_REDIRECT = 16  # steps in which a gradient of zero is redirected through silent ReLUs


@dataclass(frozen=True)
class ManySpec:
    """So many ascents of one kind, numbered from 0.

    network     the network in the loop; `judge` scores the finished images
    question    gives the objective and the priors of some of them, by number, with an entry for each
    places      how many are under way at once
    tolerance   the part of a score's rise that a window has to add; 0 takes all steps
    """

    network: Network
    judge: Network
    count: int
    question: Callable[[Sequence[int]], tuple[Objective, Objective | None]]
    canvas: Canvas
    transforms: tuple[Transform, ...]
    edits: tuple[Edit, ...]
    rate: float
    steps: int
    places: int
    tolerance: float
    seed: int

    @property
    def window(self) -> int:
        """After how many steps the views repeat."""
        windows = max(1, round(self.steps / _WINDOW))
        return min(self.steps, 4 * ceil(self.steps / windows / 4))


@dataclass(frozen=True, eq=False)
class Made:
    """A finished ascent: its number, its image (C, H, W) and score, None where the unit was silent, and notes."""

    number: int
    picture: Tensor | None
    score: float | None
    steps: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Tick:
    """A step of all that are under way: the steps taken so far (those that were not needed count as taken), the mean
    score, and what was finished.
    """

    taken: int
    score: float
    made: tuple[Made, ...]


def ascend_many(spec: ManySpec) -> Iterator[Tick]:
    """Ascend all of them; a tick for each step of the batch."""
    with torch.inference_mode(mode=False):
        run = _Run(spec)
    while run.places:
        yield run.tick()


@dataclass
class _Place:
    """An ascent under way: how many steps it has taken, where it will end, and the mean score of each window."""

    number: int
    ends: int
    step: int = 0
    cooled: int | None = None  # the step from which on the rate falls to its end
    sum: float = 0.0
    means: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def pace(self, steps: int) -> float:
        """What the rate is multiplied by: half a cosine over all steps, and a second one once it has converged."""
        if self.cooled is None:
            return cosine(self.step / steps)
        return cosine(self.cooled / steps) * cosine((self.step - self.cooled) / (self.ends - self.cooled))

    def close_window(self, window: int, tolerance: float) -> None:
        """A window is over: keep its mean, and see whether the image has converged."""
        self.means.append(self.sum / window)
        self.sum = 0.0
        if self.cooled is None and len(self.means) > 2 and self.step + window < self.ends:
            first, *_, before, now = self.means
            if now - before < tolerance * (now - first):
                self.cooled, self.ends = self.step, self.step + window


class _Run:
    """The ascents under way."""

    def __init__(self, spec: ManySpec) -> None:
        self.spec, self.clock, self.next, self.taken = spec, 0, 0, 0
        generator = torch.Generator().manual_seed(spec.seed + 1)
        self.views = [self._view(generator) for _ in range(spec.window)]
        noise = spec.canvas.noise(1, 0.3, torch.Generator().manual_seed(spec.seed))
        self.start = spec.canvas.encode(spec.canvas.draw(noise)).to(spec.network.device)
        self.drawn = spec.canvas.draw(self.start)
        self.numbers, self.best, self.totals = self.start[:0], self.drawn[:0], self.start.new_zeros(0)
        self.places: list[_Place] = []
        asked, priors = spec.question([0])
        self.evaluator = Evaluator(
            spec.network, asked, named(asked, priors), 0, redirect=_REDIRECT,
            of_some=lambda rows: named(*spec.question([self.places[row].number for row in rows])),
        )  # fmt: skip
        self.evaluator.canvas = spec.canvas
        self.optimiser = Adam(spec.rate)
        self._exchange([])

    def _view(self, generator: torch.Generator) -> tuple[View, int]:
        """The view of a step, and the seed of what the network draws in it."""
        view = draw(self.spec.transforms, generator)
        random = self.spec.network.random
        return view, int(torch.randint(2**62, (), generator=generator)) if random else self.spec.seed

    @property
    def _varies(self) -> bool:
        return bool(self.spec.transforms) or self.spec.network.random

    @torch.inference_mode(mode=False)
    def tick(self) -> Tick:
        """A step of all that are under way."""
        spec, place = self.spec, self.clock % self.spec.window
        self.evaluator.view, self.evaluator.seed = self.views[place]
        pace = self.start.new_tensor([one.pace(spec.steps) for one in self.places])
        numbers, answer = self.optimiser.advance(self.numbers, self.evaluator.evaluate, pace)
        self.numbers = spec.canvas.confine(numbers)
        self.clock += 1
        self.taken += len(self.places)
        for edit in spec.edits:
            self.numbers = spec.canvas.encode(edit(spec.canvas.draw(self.numbers), self.evaluator.slope, self.clock))
        self._keep(slice(None), answer.pictures, answer.scores)
        self._tell(answer.scores)
        made = self._finish()
        return Tick(self.taken, float(answer.scores.mean()), made)

    def _keep(self, rows: slice | Tensor, pictures: Tensor, totals: Tensor) -> None:
        """Keep the best images; where every step has another view, the last."""
        better = totals.isfinite() if self._varies else totals > self.totals[rows]
        self.best[rows] = pictures.where(better.view(-1, 1, 1, 1), self.best[rows])
        self.totals[rows] = totals.where(better, self.totals[rows])

    def _tell(self, scores: Tensor) -> None:
        """Record scores and troubles, and at the end of a window, which images have converged."""
        for one, score in zip(self.places, scores.tolist(), strict=True):
            one.step += 1
            one.sum += score
        for sentence, about in self.optimiser.troubles:
            for row in about:
                self.places[row].notes.append(f"Step {self.places[row].step}: {sentence}")
        self.optimiser.troubles.clear()
        if self.clock % self.spec.window == 0:
            for one in self.places:
                one.close_window(self.spec.window, self.spec.tolerance)

    def _finish(self) -> tuple[Made, ...]:
        """Take finished ascents out of the batch; where a window begins, put others in their place."""
        silent = self.evaluator.silent.tolist()
        over = [
            row
            for row, one in enumerate(self.places)
            if one.step == one.ends or (silent[row] and one.step >= min(_REDIRECT, self.spec.window))
        ]
        begins = self.clock % self.spec.window == 0
        if not over and not (begins and len(self.places) < self.spec.places and self.next < self.spec.count):
            return ()
        made = self._judged([row for row in over if not silent[row]])
        made += tuple(self._left(row) for row in over if silent[row])
        self.taken += sum(self.spec.steps - self.places[row].step for row in over)
        if len(over) == len(self.places) and not begins:  # none is left
            self.clock += -self.clock % self.spec.window
        self._exchange(over)
        return tuple(sorted(made, key=lambda one: one.number))

    def _judged(self, rows: list[int]) -> tuple[Made, ...]:
        """Finished images, scored without random views."""
        if not rows:
            return ()
        spec, places = self.spec, torch.tensor(rows)
        numbers = [self.places[row].number for row in rows]
        asked, priors = spec.question(numbers)
        self.evaluator.view, self.evaluator.seed = draw((), torch.Generator()), spec.seed
        pictures = spec.canvas.draw(self.numbers[places])
        terms = self.evaluator.terms_at(pictures, named(asked, priors))
        self._keep(places, pictures, torch.stack(list(terms.values())).sum(0))
        found = self.best[places]
        with torch.no_grad():
            scores = asked(spec.judge.look(found.to(spec.judge.dtype), asked.needs, seed=spec.seed)).float()
        without_gradient = (self.evaluator.without_gradient[places] & (scores.cpu() == 0)).tolist()
        return tuple(
            Made(
                number,
                picture.clone(),
                float(score),
                self.places[row].step,
                (*dict.fromkeys(self.places[row].notes), *([_ENDED_SILENT] if silent else [])),
            )
            for number, row, picture, score, silent in zip(numbers, rows, found, scores, without_gradient, strict=True)
        )

    def _left(self, row: int) -> Made:
        one = self.places[row]
        return Made(one.number, None, None, one.step, (_DEAD.format(one.step),))

    def _exchange(self, over: Sequence[int]) -> None:
        """Take the images that are over out of the batch, and where a window begins, others in."""
        spec = self.spec
        kept = [row for row in range(len(self.places)) if row not in set(over)]
        room = spec.places - len(kept) if self.clock % spec.window == 0 else 0
        new = range(self.next, min(self.next + room, spec.count))
        self.next = new.stop
        self.places = [self.places[row] for row in kept] + [_Place(number, spec.steps) for number in new]
        if not self.places:
            return
        rows, begun = torch.tensor(kept, dtype=torch.int64), _several(self.start, len(new))
        self.numbers = torch.cat([self.numbers[rows], begun])
        self.best = torch.cat([self.best[rows], _several(self.drawn, len(new))])
        self.totals = torch.cat([self.totals[rows], self.totals.new_full((len(new),), -torch.inf)])
        self.optimiser.exchange(rows, begun)
        self.evaluator.exchange(rows, len(new))
        self.evaluator.terms = named(*spec.question([one.number for one in self.places]))


def _several(one: Tensor, count: int) -> Tensor:
    return one.expand(count, *one.shape[1:])


_ENDED_SILENT = (
    "It ended silent: a score of 0 with a gradient of exactly zero. Take more steps, or start from another seed."
)
_DEAD = (
    "There is no image of it: its gradient was exactly zero in all of its first {} steps, also where it was "
    "redirected through silent ReLUs. The unit may be dead."
)
