"""A comparison: one unit, optimised under every regulariser, side by side.

**When it misleads.** The scores are not a contest: a regulariser that lets noise through reaches the highest ones.
What to compare is how much of an image's score a person can see a reason for.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch

from triscope import render
from triscope.errors import NetworkError, ObjectiveError
from triscope.methods import NetworkArg, ObjectiveArg, Range, Seed, Step, Steps, method
from triscope.render.caption import captioned
from triscope.results import Note, PerImage, joined_notes
from triscope.what.ascend import ascend
from triscope.what.optimisation.regularisers import REGULARISERS
from triscope.what.picture import SynthesisedImage


@dataclass(frozen=True, eq=False)
class Comparison(SynthesisedImage):
    """One image for each regulariser in `titles`."""

    titles: PerImage[tuple[str, ...]] = field(kw_only=True)

    def montage(self) -> render.Montage:
        """One row, the regulariser and the score under each."""
        words = [f"{title}  {float(score):.1f}" for title, score in zip(self.titles, self.scores, strict=True)]
        shown = [self.visible(one) for one in self.values]
        return render.montage([captioned(one, text) for one, text in zip(shown, words, strict=True)], len(shown))


@method("what")
def regularisers(
    network: NetworkArg,
    objective: ObjectiveArg,
    *,
    size: Annotated[int | None, Range(8, 4096)] = None,
    steps: Steps = 192,
    seed: Seed = 0,
) -> Generator[Step[Comparison]]:
    """A unit optimised under every regulariser, side by side: none, L2, blur and clipping, jitter, Fourier, natural.

    Values (6, C, size, size) in [0, 1], in that order. Raises ObjectiveError for several classes.

    size    side of an image, in pixels  [default: the network's usual size]
    steps   number of steps for each image
    seed    random seed of the initial noise and of the random views
    """
    done: dict[str, SynthesisedImage] = {}
    lost: list[str] = []
    total, several = len(REGULARISERS) * steps, False
    for number, name in enumerate(REGULARISERS):
        try:
            for step in ascend.steps(network, objective, size=size, steps=steps, seed=seed, regulariser=name):
                several = len(step.result) > 1
                joined = _joined({**done, name: step.result}, lost)
                yield Step(number * steps + step.index, total, step.score, step.terms, joined)
        except (NetworkError, ObjectiveError) as error:
            lost.append(f"{name} was left out. {error}")
            if several or len(lost) == len(REGULARISERS):
                raise
        else:
            done[name] = step.result
    if lost:  # the last step may have been that of a regulariser that failed, or may not name it
        yield Step(total, total, step.score, {}, _joined(done, lost))


def _joined(parts: Mapping[str, SynthesisedImage], lost: Sequence[str]) -> Comparison:
    names, made = tuple(parts), list(parts.values())
    if len(made[-1]) > 1:
        raise ObjectiveError("regularisers compares images of one unit; give one class at a time.")
    return Comparison(
        torch.cat([part.values for part in made]),
        scores=torch.cat([part.scores for part in made]),
        objective=made[0].objective,
        notes=(
            *(
                Note(f"{', '.join(names[number] for number in note.about)}: {note.sentence}", note.about, 1)
                if isinstance(note, Note)
                else note
                for note in joined_notes([part.notes for part in made])
            ),
            *lost,
        ),
        titles=names,
    )
