"""The specification of an ascent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import cos, pi
from pathlib import Path
from typing import Any

from torch import Tensor

from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.what.optimisation.identity import Part, part
from triscope.what.optimisation.optimisers import Adam, Optimiser
from triscope.what.optimisation.parametrisation import Canvas
from triscope.what.optimisation.transforms import Transform

_ADAM = partial(Adam, 0.05)

#: What is done to images (B, C, H, W) after a step (its index, from 1): blurring, clipping. In between stands the
#: gradient of the score at the images before that step.
Edit = Callable[[Tensor, Tensor, int], Tensor]


def cosine(done: float) -> float:
    """The pace at a part `done` of an octave: from 1 down to 0.05, along half a cosine."""
    return 0.05 + 0.95 * (1 + cos(pi * done)) / 2


def steady(done: float) -> float:
    """The pace that never changes."""
    del done
    return 1.0


def octave_size(size: tuple[int, int], octave: int) -> tuple[int, int]:
    """The size of an octave of an image of this `size`: 0 is the last, -1 the one before it."""
    rows, cols = (max(1, round(side * 1.4**octave)) for side in size)
    return rows, cols


@dataclass(frozen=True)
class AscentSpec:
    """One ascent.

    asked             the objective, bound; the result's scores are its own
    canvas            of the final size
    priors            what is added to the objective; priors see the image itself, not a random view of it
    transforms        the random views
    optimiser         makes the optimiser, anew for each octave
    pace              what the rate is multiplied by, at a part of an octave
    steps             in all octaves together
    octaves           how many sizes, coarse to fine, each 1.4 times the one before
    upscale_to_final  coarse octaves are shown to the network enlarged to the final size
    restore_detail    the detail that `start` lost in a coarse octave is put back in the next
    edits             what is done to the images after each step
    redirect          for how many steps a gradient is redirected where it was zero; a unit that sends nothing back in
                      as many first steps counts as dead
    checkpoint        a file to save to, and to resume from if it exists
    options           the caller's options by name; a checkpoint of another job is refused in their words
    beyond            what shapes the job of which this ascent is a part, and is not seen in the ascent itself
    scorer            the network that gives the scores of the final image, where `network` is one of less precision
    """

    network: Network
    asked: Objective
    canvas: Canvas
    priors: Objective | None = None
    transforms: tuple[Transform, ...] = ()
    optimiser: Callable[[], Optimiser] = _ADAM
    pace: Callable[[float], float] = cosine
    steps: int = 256
    octaves: int = 1
    upscale_to_final: bool = False
    restore_detail: bool = False
    edits: tuple[Edit, ...] = ()
    redirect: int = 16
    seed: int = 0
    checkpoint: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    beyond: Any = None
    scorer: Network | None = None

    @property
    def objective(self) -> Objective:
        """What is maximised: the objective asked for, and the priors."""
        return self.asked if self.priors is None else self.asked + self.priors

    def size(self, octave: int) -> tuple[int, int]:
        """The size of an octave, from 0, the coarsest."""
        return octave_size(self.canvas.size, octave + 1 - self.octaves)

    def identity(self, start: Tensor) -> dict[str, Part]:
        """All that shapes the image but the number of steps, by name; `start` are the images it begins with."""
        made = self.optimiser()
        return {
            "the network": part(self.network, f"{self.network.name} with the weights {self.network.sha256[:8]}"),
            "the question": part(self.asked, str(self.asked)),
            "seed": part(self.seed),
            "octaves": part((self.octaves, self.upscale_to_final, self.restore_detail), str(self.octaves)),
            "the first picture": part(start, " x ".join(map(str, start.shape))),
            "the canvas": part(self.canvas),
            "the random views": part(self.transforms),
            "what is done after a step": part(self.edits),
            "the optimiser": part(made, f"{type(made).__name__} with the rate {made.rate:g}"),
            "the way the rate falls": part(self.pace, self.pace.__name__),
            "the steps in which silent units are woken": part(self.redirect),
            "the priors": part(self.priors),
            "the job": part(self.beyond),
        }
