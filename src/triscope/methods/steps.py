"""Steps of a long method."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from triscope.results import Drawn, Result
from triscope.results.notebook import image

R = TypeVar("R", bound=Result)


@dataclass(frozen=True, eq=False)
class Step(Generic[R]):
    """One step of a method, with the result so far. A method without iterations has one step.

    index       number of the step, from 1
    total       number of steps
    score       mean score over the batch; NaN if the method has no score
    terms       the terms of the score, such as priors, by name
    result      what the method returns if it is stopped here
    """

    index: int
    total: int
    score: float
    terms: Mapping[str, float]
    result: R

    def __repr__(self) -> str:
        score = "" if math.isnan(self.score) else f", score {self.score:.4g}"
        return f"<Step {self.index} of {self.total}{score}: {self.result!r}>"

    def _repr_html_(self) -> str:
        """The result so far, for notebooks: as an image if it can be drawn, else as text."""
        if isinstance(self.result, Drawn) and self.result.drawable:
            return image(self.result.png(), repr(self).partition(":")[0].strip("<"))
        return f"<pre>{html.escape(self.result.text() or repr(self))}</pre>"
