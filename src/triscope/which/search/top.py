"""Top images: the images of a collection with the highest score, for any objective on stored layers.

**When it misleads.** Nine images are the far tail of a distribution: a unit that responds most to dogs may respond to
most things that are not dogs too. A mean over positions favours images that are full of a pattern; `patches` shows the
single places.

**Reference.** R. Girshick et al., "Rich feature hierarchies for accurate object detection and semantic segmentation",
CVPR 2014 (section 3.1); M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Annotated

import torch
from torch import Tensor

from triscope.errors import StoreError
from triscope.methods import ObjectiveArg, Range, method
from triscope.objectives.base import terms_of
from triscope.objectives.detection import Box
from triscope.which.search.gallery import Gallery
from triscope.which.store import StoreArg


@dataclass(frozen=True, eq=False)
class Best:
    """The k highest scores so far, with the rows that have them; of equal scores the earlier row comes first.

    `extra` is anything else known of each. Two of them make one, in any order and grouping.
    """

    scores: Tensor
    rows: Tensor
    extra: Tensor
    k: int

    def __add__(self, other: "Best") -> "Best":
        rows = torch.cat([self.rows, other.rows])
        by_row = rows.argsort(stable=True)
        scores = torch.cat([self.scores, other.scores])[by_row]
        order = by_row[scores.argsort(descending=True, stable=True)][: self.k]
        return Best(
            torch.cat([self.scores, other.scores])[order],
            rows[order],
            torch.cat([self.extra, other.extra])[order],
            self.k,
        )

    @classmethod
    def none(cls, k: int) -> "Best":
        """Nothing yet."""
        return cls(torch.empty(0), torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64), k)


@method("which")
def top(
    store: StoreArg, objective: ObjectiveArg, *, k: Annotated[int, Range(1, 10_000)] = 9, where: str | None = None
) -> Gallery:
    """The k images of a store that activate a unit most, with their scores (k,), best first.

    The store must keep the unit's layer: `output` for a class. Sums of units work, too. Raises StoreError if the store
    does not keep what the objective needs.

    k       number of images
    where   only images that meet this SQL condition: folder = 'cats', name LIKE '%2019%', width > 500
    """
    if any(isinstance(term, Box) for _, term in terms_of(objective)):
        raise StoreError(
            "A store keeps no detected boxes, whose number varies. Use single images (predict, saliency, occlusion: "
            f"{objective}), or a unit of a layer that the store keeps."
        )
    parts = (
        Best.none(k)
        + Best(
            scores := objective(answers).float(), torch.from_numpy(rows), torch.zeros(len(scores), dtype=torch.int64), k
        )
        for rows, answers in store.answers(objective.needs, where)
    )
    best = reduce(Best.__add__, parts, Best.none(k))
    rows = best.rows.tolist()
    return Gallery(
        best.scores,
        rows=tuple(rows),
        names=store.names(rows),
        pictures=store.thumbnails(rows),
        score=f"score of {objective}",
        objective=objective,
    )
