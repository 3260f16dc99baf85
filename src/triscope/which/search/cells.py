"""Cells: directions grouped around centres, so that a search reads only the nearest groups.

    cell(x) = argmax_c  x . c,     the centres c by spherical k-means on a sample

The inverted file of J. Sivic and A. Zisserman, "Video Google", ICCV 2003, with the clustering of I. Dhillon and
D. Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning 42, 2001. A neighbour
in a cell that is not looked into is missed; docs/methods/neighbors.md says how many are.

Cells are kept in a file of the store's cache, `NAME.VERSION.cells-DIGEST.safetensors`; one that is damaged is as good
as none.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from triscope.errors import StoreError
from triscope.which.database.durable import write_durably
from triscope.which.search.highest import highest
from triscope.which.search.products import products

_ROWS = 1000  # in a cell, on the average
_SAMPLE = 64  # rows per cell that the centres are found from
_ROUNDS = 8
_BLOCK = 65_536
_TOGETHER = 128  # directions: their products with a share of a million rows take 40 MB


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

    def near(self, direction: Tensor, share: float, count: int) -> Tensor:
        """The `count` places most like a direction (d,) in the cells nearest to it, which hold a `share` of all."""
        (spans,) = self._nearest_spans(direction[None], share)
        # One product for all is quicker than a hundred small ones.
        rows = torch.cat([self.rows[span] for span in spans])
        return self._highest(products(rows, direction), spans, count)

    def near_all(self, directions: Tensor, share: float, count: int) -> Iterator[Tensor]:
        """What `near` finds for each of directions (Q, d). Each cell is multiplied once, with all that look into it.

        In float32: in bfloat16 a kernel would be compiled for each of the many shapes (see `products`).
        """
        for some in torch.split(directions.float(), _TOGETHER):
            found = self._nearest_spans(some, share)
            asking: dict[int, list[int]] = {}  # the directions that look into a cell, by its start
            for number, spans in enumerate(found):
                for span in spans:
                    asking.setdefault(span.start, []).append(number)
            ends = {span.start: span.stop for spans in found for span in spans}
            scores: list[dict[int, Tensor]] = [{} for _ in found]
            for start, numbers in asking.items():
                rows = self.rows[start : ends[start]].float()
                for number, values in zip(numbers, some[numbers] @ rows.T, strict=True):
                    scores[number][start] = values
            for spans, by_start in zip(found, scores, strict=True):
                yield self._highest(torch.cat([by_start[span.start] for span in spans]), spans, count)

    def _nearest_spans(self, directions: Tensor, share: float) -> list[list[slice]]:
        """The rows of the cells nearest to each of directions (Q, d), so many cells that they hold a `share` of all."""
        order = (directions.float() @ self.centres.float().T).argsort(1, descending=True)
        lengths = self.starts.diff()[order].cumsum(1)
        many = ((lengths < share * len(self.places)).sum(1) + 1).tolist()
        starts = self.starts.tolist()
        return [
            [slice(starts[cell], starts[cell + 1]) for cell in cells[:some]]
            for cells, some in zip(order.tolist(), many, strict=True)
        ]

    def _highest(self, scores: Tensor, spans: list[slice], count: int) -> Tensor:
        places = torch.cat([self.places[span] for span in spans])
        return places[highest(scores, count)]

    @classmethod
    def recall(cls, folder: Path, name: str, count: int, length: int) -> "Cells | None":
        """The cells of rows (count, length) that `keep` put into a folder by this name; None where there are none."""
        for path in sorted(folder.glob(f"{name}.cells-*.safetensors")):
            with suppress(OSError, SafetensorError, TypeError):
                data = path.read_bytes()
                if _file(name, data) == path.name:
                    cells = cls(**safetensors.torch.load(data))
                    if cells._sound(count, length):
                        return cells
        return None

    def keep(self, folder: Path, name: str) -> None:
        """Put the cells into a file; where the folder cannot be written to they are not kept."""
        data = safetensors.torch.save(vars(self))
        with suppress(OSError, StoreError):
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob(f"{name.rpartition('.')[0]}.*.cells-*.safetensors"):
                old.unlink(missing_ok=True)
            write_durably(folder / _file(name, data), data)

    def _sound(self, count: int, length: int) -> bool:
        """Whether each of the rows (count, length) lies in one cell."""
        many = len(self.starts) - 1 if self.starts.ndim else 0
        return (
            self.rows.shape == (count, length)
            and self.centres.shape == (many, length)
            and self.rows.dtype == self.centres.dtype == torch.bfloat16
            and self.places.dtype == self.starts.dtype == torch.int64
            and torch.equal(self.places.sort().values, torch.arange(count))
            and torch.equal(self.starts.sort().values, self.starts)
            and self.starts[[0, -1]].tolist() == [0, count]
        )


def _file(name: str, data: bytes) -> str:
    return f"{name}.cells-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"


def _drawn(count: int, many: int, generator: torch.Generator) -> Tensor:
    """Places of `many` rows, or of all where there are fewer, ascending."""
    return torch.randperm(count, generator=generator)[:many].sort().values


def _nearest(rows: Tensor, centres: Tensor) -> Tensor:
    # NumPy's argmax, which is many times as quick as torch's.
    return torch.from_numpy((rows.bfloat16() @ centres.bfloat16().T).float().numpy().argmax(1))
