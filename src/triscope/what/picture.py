"""What the WHAT methods return: an image and its scores."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from triscope.results import PerImage, Picture


@dataclass(frozen=True, eq=False)
class SynthesisedImage(Picture):
    """An image optimised for an objective: values (B, C, H, W) in [0, 1].

    `objective` was maximised, `scores` (B,) are its values on the final image, without the priors. Of one with several
    terms, `parts` (B, terms) are what each adds to the score, in their order.
    """

    scores: PerImage[Tensor]
    objective: PerImage[Any]
    parts: PerImage[Tensor | None] = field(default=None, kw_only=True)

    def summary(self) -> dict[str, Any]:
        """The scores."""
        return {"scores": self.scores.tolist(), **super().summary()}

    @property
    def details(self) -> tuple[str, ...]:
        """The scores."""
        return (f"score {', '.join(f'{score:.4g}' for score in self.scores.tolist())}",)
