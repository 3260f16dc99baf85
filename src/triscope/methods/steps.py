"""Steps: how a job tells how far it is."""

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
    """One step of a job: `index` of `total`, from 1; the mean score over the batch, and the terms it is made of.

    `score` is NaN where a method has none. `result` is what the job returns if it is stopped here. A method that
    answers at once has one step.
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
        """The result so far, for notebooks: its image where it has one."""
        if isinstance(self.result, Drawn) and self.result.drawable:
            return image(self.result.png(), repr(self).partition(":")[0].strip("<"))
        return f"<pre>{html.escape(self.result.text() or repr(self))}</pre>"
