"""Steps: how a job tells how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from triscope.results import Result

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
