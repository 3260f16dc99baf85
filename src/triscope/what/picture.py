"""What the WHAT methods return: a picture, what it scores, and what became of it on the way."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from triscope.results import Picture


@dataclass(frozen=True, eq=False)
class Imagined(Picture):
    """A picture made to raise a question: values (B, C, H, W) in [0, 1].

    `scores` (B,) are its score, `objective` what was asked, without the priors. `notes` say what a reader should know.
    """

    scores: Tensor
    objective: Any
    notes: tuple[str, ...] = ()
