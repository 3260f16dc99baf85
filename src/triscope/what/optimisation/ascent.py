"""The loop: the parameters of a canvas are optimised until the image's score is high.

    numbers --canvas--> image --random view--> network --objective--> score
       ^______________________ optimiser ______________________________|

An `AscentSpec` (see `spec`) describes one; `optimise` runs it and yields a `Step` for every step. It never prints, and
saves nothing but a checkpoint. The result's notes report:

    - A score or gradient that is not a number: that image is stepped back, and its rate halved.
    - A gradient that is exactly zero: for a while it is redirected through silent ReLUs, so that the units
      become active.
      Where nothing comes back in all of the first steps, that is an error; where it is zero at the last, a note.

**Which image is kept.** Without random views, the one with the best score, seen at any step. With them a step's score
depends on its view, so the last image is kept; at the end of an octave it is judged again without them. The same
holds for a network that draws random numbers: every step has its own, and judged is what the ascent's seed gives.
"""

import warnings
from collections.abc import Generator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.errors import ObjectiveError, TriscopeWarning
from triscope.methods import Step
from triscope.objectives.base import terms_of
from triscope.results import note_about
from triscope.what.optimisation.checkpoint import Saved, read_checkpoint, worded, write_checkpoint
from triscope.what.optimisation.evaluation import Evaluator, named
from triscope.what.optimisation.spec import AscentSpec
from triscope.what.optimisation.transforms import Transform, View, draw
from triscope.what.picture import SynthesisedImage

_SAVE_EVERY = 25


def optimise(plan: AscentSpec, start: Tensor) -> Generator[Step[SynthesisedImage]]:
    """Ascend from the images `start` (B, C, H, W), of any size, or from numbers of the canvas (`Canvas.noise`).

    Raises ObjectiveError where the gradient is zero for every image tried, NetworkError where the first score is
    not a number or the network cannot run at this size, OptionError where the checkpoint is another job's.
    """
    with torch.inference_mode(mode=False):
        run = _Run(plan, start)
    try:
        if run.index >= plan.steps:
            yield Step(run.index, plan.steps, float(run.best_scores.mean()), {}, run.result())
        while run.index < plan.steps:
            yield run.step()
    finally:
        run.save()


def noise(plan: AscentSpec, count: int = 1, strength: float = 0.3, *, alike: bool = False) -> Tensor:
    """`count` noise images of the coarsest octave's size; all the same one, where `alike`."""
    canvas = plan.canvas.resized(plan.size(0))
    generator = torch.Generator().manual_seed(plan.seed)
    numbers = canvas.noise(1 if alike else count, strength, generator)
    return canvas.draw(numbers).expand(count, -1, -1, -1).to(plan.network.device)


def regrown(pictures: Tensor, start: Tensor, size: tuple[int, int]) -> Tensor:
    """Images made of `start`, of another size, with what their own size could not hold of it."""
    lost = _resized(start, size) - _resized(_resized(start, (pictures.shape[-2], pictures.shape[-1])), size)
    return (_resized(pictures, size) + lost).clamp(0, 1)


def with_notes(made: SynthesisedImage, earlier: Sequence[str]) -> SynthesisedImage:
    """The image, with the notes of the earlier parts of its job."""
    return replace(made, notes=tuple(dict.fromkeys((*earlier, *made.notes)))) if earlier else made


class _Run:
    """An ascent under way."""

    def __init__(self, plan: AscentSpec, start: Tensor) -> None:
        self.plan = plan
        self.start = start.detach().float()
        self.generator = torch.Generator().manual_seed(plan.seed + 1)
        self.numbers, self.best, self.best_scores, self.parts = (start,) * 4
        self.index = 0
        #: Sentences, and the images that each is about.
        self.notes: list[tuple[str, list[int]]] = []
        terms = named(plan.asked, plan.priors)
        self.asked = tuple(terms)[: len(terms_of(plan.asked))]
        self.evaluator = Evaluator(plan.network, plan.asked, terms, len(start), redirect=plan.redirect)
        self.identity = plan.identity(self.start) if plan.checkpoint else {}
        saved = read_checkpoint(plan.checkpoint, self.identity, plan.options, plan.steps) if plan.checkpoint else None
        self._begin_octave(saved.state["octave"] if saved else max(0, plan.octaves - max(1, plan.steps)), self.start)
        if saved:
            self._restore(saved)

    @torch.inference_mode(mode=False)
    def step(self) -> Step[SynthesisedImage]:
        """One step."""
        plan, first, last = self.plan, self._boundary(self.octave), self._boundary(self.octave + 1)
        self.evaluator.canvas = self.canvas
        self.evaluator.view, self.evaluator.seed = self._view(plan.transforms), self._drawn()
        numbers, answer = self.optimiser.advance(
            self.numbers, self.evaluator.evaluate, plan.pace(max(0, self.index - first) / max(1, last - first))
        )
        self.numbers = self.canvas.confine(numbers)
        self.index += 1
        for edit in plan.edits:
            self.numbers = self.canvas.encode(edit(self.canvas.draw(self.numbers), self.evaluator.slope, self.index))
        self._keep(answer.pictures, answer.terms)
        self._say()
        if self.index == last:
            self._end_octave()
        step = Step(
            self.index,
            plan.steps,
            float(answer.scores.mean()),
            {name: float(answer.terms[name].mean()) for name in self.evaluator.terms},
            self.result(),
        )
        if self.index == last < plan.steps:
            self._begin_octave(self.octave + 1, self._grown())
        if plan.checkpoint and self.index % _SAVE_EVERY == 0:
            self.save()
        return step

    def result(self) -> SynthesisedImage:
        """The image so far, in its final size."""
        told = self.notes + (self._ended_silent() if self.index == self.plan.steps else [])
        notes = tuple(note_about(sentence, about, len(self.best)) for sentence, about in told)
        left = f"Left at step {self.index} of {self.plan.steps}"
        if self.octave + 1 < self.plan.octaves:
            rows, cols = self.best.shape[-2:]
            notes += (f"{left}: the image was of {rows} x {cols} pixels, of which the score is; it is shown enlarged.",)
        elif self._varies and self.index != self.plan.steps:
            notes += (f"{left}: the score is that of the last random view.",)
        scores, images = self.parts.sum(0), _resized(self.best, self.plan.canvas.size)
        return SynthesisedImage(images, scores=scores, objective=self.plan.asked, parts=self.parts.T, notes=notes)

    def save(self) -> None:
        """Write the checkpoint, where one was asked for."""
        if self.plan.checkpoint:
            state = {name: getattr(self, name) for name in _SAVED}
            state |= {name: getattr(self.evaluator, attribute) for name, attribute in _SAVED_OF_EVALUATOR.items()}
            state |= {"optimiser": self.optimiser.state(), "generator": self.generator.get_state()}
            saved = Saved(self.identity, worded(self.plan.options), self.plan.steps, state)
            write_checkpoint(self.plan.checkpoint, saved)

    def _restore(self, saved: Saved) -> None:
        for name in _SAVED:
            setattr(self, name, saved.state[name])
        for name, attribute in _SAVED_OF_EVALUATOR.items():
            setattr(self.evaluator, attribute, saved.state[name])
        self.optimiser.restore(saved.state["optimiser"], self.numbers)
        self.generator.set_state(saved.state["generator"])
        if saved.steps != self.plan.steps:
            before = saved.options.get("steps", str(saved.steps))
            now = self.plan.options.get("steps", self.plan.steps)
            sentence = f"Started with {before} steps, and continued to {now}; {now} in one job may give another image."
            self.notes.append((sentence, list(range(len(self.best)))))

    def _boundary(self, octave: int) -> int:
        """The steps before an octave. Each octave has one at least; with fewer steps, the coarsest have none."""
        steps, octaves = self.plan.steps, self.plan.octaves
        return max(0, min(round(steps * octave / octaves), steps - octaves + octave))

    def _begin_octave(self, octave: int, pictures: Tensor) -> None:
        self.octave = octave
        self.canvas = self.plan.canvas.resized(self.plan.size(octave))
        self.optimiser = self.plan.optimiser()
        self.numbers = self.canvas.encode(_resized(pictures, self.canvas.size))
        self.best = self.canvas.draw(self.numbers)
        self.best_scores = torch.full((len(pictures),), -torch.inf, device=pictures.device)
        self.parts = self.best_scores.expand(len(self.asked), -1)

    def _grown(self) -> Tensor:
        """The image for the next octave, with the detail that its start lost in this one, where that is wanted."""
        return (
            regrown(self.best, self.start, self.plan.size(self.octave + 1)) if self.plan.restore_detail else self.best
        )

    def _end_octave(self) -> None:
        """Judge the last image, which no step has looked at, without random views; in the end in full precision."""
        pictures = self.canvas.draw(self.numbers)
        self.evaluator.view, self.evaluator.seed = self._view(()), self.plan.seed
        self._keep(pictures, self.evaluator.terms_at(pictures))
        if self.plan.scorer and self.index == self.plan.steps:
            self.evaluator.network = self.plan.scorer
            terms = self.evaluator.terms_at(self.best)
            self.parts = torch.stack([terms[name] for name in self.asked])

    def _keep(self, pictures: Tensor, terms: dict[str, Tensor]) -> None:
        """Keep the images that are better than those before, and what each part (parts, B) of the question gives."""
        scores = torch.stack(list(terms.values())).sum(0)
        parts = torch.stack([terms[name] for name in self.asked])
        better = scores.isfinite() if self._varies else scores > self.best_scores
        if better.all():
            self.best, self.best_scores, self.parts = pictures, scores, parts
        else:
            self.best = pictures.where(better.view(-1, 1, 1, 1), self.best)
            self.best_scores = scores.where(better, self.best_scores)
            self.parts = parts.where(better, self.parts)

    @property
    def _varies(self) -> bool:
        """Whether the score of an image depends on the step."""
        return bool(self.plan.transforms) or self.plan.network.random

    def _drawn(self) -> int:
        """The seed of what the network draws in a step: another in each, unless the optimiser needs one question."""
        if self.optimiser.needs_one_question or not self.plan.network.random:
            return self.plan.seed
        return int(torch.randint(2**62, (), generator=self.generator))

    def _view(self, transforms: tuple[Transform, ...]) -> View:
        view = draw(transforms, self.generator)
        if not self.plan.upscale_to_final:
            return view
        return lambda pictures: view(_resized(pictures, self.plan.canvas.size))

    def _say(self) -> None:
        """Add notes on this step."""
        self.notes += [(f"Step {self.index}: {sentence}", about) for sentence, about in self.optimiser.troubles]
        self.optimiser.troubles.clear()
        if self.index != max(1, min(self.plan.redirect, self.plan.steps)) or not self.evaluator.silent.any():
            return
        silence = (
            f"The gradient of {self.plan.asked} in {self.plan.network.name} was exactly zero for every image tried "
            f"in {self.index} steps, also where it was redirected through silent ReLUs"
        )
        if self.evaluator.silent.all():
            raise ObjectiveError(
                f"{silence}: the unit may be dead. Start from another seed or image, or choose another unit."
            )
        self.notes.append((f"{silence}.", self.evaluator.silent.nonzero().flatten().tolist()))
        warnings.warn(self.result().notes[-1], TriscopeWarning, stacklevel=2)

    def _ended_silent(self) -> list[tuple[str, list[int]]]:
        """A note on the units that ended with a gradient of zero."""
        silent = (self.evaluator.without_gradient & (self.parts.sum(0).cpu() == 0)).nonzero().flatten().tolist()
        sentence = (
            f"{self.plan.asked} in {self.plan.network.name} ended silent: a score of 0 with a gradient of exactly "
            "zero. Take more steps, or start from another seed."
        )
        return [(sentence, silent)] if silent and not self.evaluator.silent.any() else []


_SAVED = ("octave", "index", "numbers", "notes", "best", "best_scores", "parts")
#: The evaluator's attributes, by their names in checkpoints.
_SAVED_OF_EVALUATOR = {"silent": "silent", "asleep": "without_gradient", "drowsy": "redirected_for"}


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(pictures.shape[-2:]) == size:
        return pictures
    return F.interpolate(pictures, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
