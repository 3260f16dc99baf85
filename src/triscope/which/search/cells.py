"""Cells: directions grouped around centres, so that a search looks only into the groups that lie near.

    cell(x) = argmax_c  x . c,     the centres c by spherical k-means on a sample

The inverted file of J. Sivic and A. Zisserman, "Video Google", ICCV 2003, with the clustering of I. Dhillon and
D. Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning 42, 2001. A neighbour
in a cell that is not looked into is missed; docs/methods/neighbors.md says how many are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS = 1000  # in a cell, on the average
_SAMPLE = 64  # rows per cell that the centres are found from
_ROUNDS = 8
_BLOCK = 65_536


@dataclass(frozen=True, eq=False)
class Cells:
    """Directions (N, d) by cells: `centres` (C, d), and the `places` (N,) and `rows` (N, d) of each cell, from
    `starts[c]` to `starts[c + 1]`.
    """

    centres: Tensor
    places: Tensor
    rows: Tensor
    starts: Tensor

    @classmethod
    def of(cls, directions: Tensor, *, seed: int = 0) -> "Cells":
        """The cells of directions (N, d), bfloat16, each of length 1 or 0."""
        count = max(1, len(directions) // _ROWS)
        generator = torch.Generator().manual_seed(seed)
        sample = directions[_drawn(len(directions), count * _SAMPLE, generator)].float()
        centres = sample[_drawn(len(sample), count, generator)].clone()
        for _ in range(_ROUNDS):
            nearest = _nearest(sample, centres)
            sums = torch.zeros_like(centres).index_add_(0, nearest, sample)
            empty = sums.norm(dim=1) == 0
            centres = torch.where(empty[:, None], centres, F.normalize(sums))
        nearest = torch.cat([_nearest(block, centres) for block in torch.split(directions, _BLOCK)])
        places = nearest.argsort(stable=True)
        starts = F.pad(nearest.bincount(minlength=count).cumsum(0), (1, 0))
        return cls(centres.bfloat16(), places, directions[places], starts)

    def near(self, direction: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The places in the cells nearest to a direction (d,), a `share` of all rows, and their products with it."""
        order = (self.centres.float() @ direction.float()).argsort(descending=True)
        lengths = self.starts.diff()[order].cumsum(0)
        looked_into = order[: int((lengths < share * len(self.places)).sum()) + 1].tolist()
        wanted = direction.to(self.rows.dtype)
        spans = [slice(int(self.starts[cell]), int(self.starts[cell + 1])) for cell in looked_into]
        # One product for all: threads that wait for each other after each of a hundred small ones take longer.
        rows = torch.cat([self.rows[span] for span in spans])
        return torch.cat([self.places[span] for span in spans]), torch.mv(rows, wanted).float()


def _drawn(count: int, many: int, generator: torch.Generator) -> Tensor:
    """Places of `many` rows, or of all where there are fewer, ascending."""
    return torch.randperm(count, generator=generator)[:many].sort().values


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    return (rows.bfloat16() @ centres.bfloat16().T).argmax(1)
