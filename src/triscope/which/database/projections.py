"""Principal components of stored vectors, found from blocks of rows: from their covariance where that is less work,
else by subspace iteration.

    Q <- orthonormal(X' X Q), a few times;  then the eigenvectors of (X Q)' (X Q), turned back by Q

X are the rows less their mean (N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM
Review 2011, algorithms 4.4 and 5.3). The paper draws a sample of X's range once and then iterates on both sides; we
iterate on X' X alone, block by block, so that the rows are read once per round and may stay in half precision.
Of few rows, the eigenvectors of X X' give the components at once; of rows that are not much longer than the number of
directions times the rounds, those of X' X do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import safetensors.torch
import torch
from torch import Tensor

RANK = 256
_BLOCK = 2048
_SPARE = 16  # oversampling: extra directions, so that the wanted ones converge sooner
_ROUNDS = 3
_FEW = 1024  # rows up to which their Gram matrix is quicker
_FAINT = 1e-4  # of the longest X'u: shorter ones are orthogonal only roughly

Blocks: TypeAlias = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True, eq=False)
class Projection:
    """A mean (D,) and orthonormal directions (R, D), strongest first, with the variance (R,) along each."""

    mean: Tensor
    directions: Tensor
    variance: Tensor

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, D) projected on the directions, (N, R), and the norm (N,) of the residual. Both float32."""
        centred = rows.float() - self.mean
        projected = centred @ self.directions.T
        rest = (centred.square().sum(1) - projected.square().sum(1)).clamp(min=0).sqrt()
        return projected, rest

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        return safetensors.torch.save({"mean": self.mean, "directions": self.directions, "variance": self.variance})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Projection":
        """What `to_bytes` gave."""
        return cls(**safetensors.torch.load(data))


def fit(rows: Tensor, rank: int = RANK, *, seed: int = 0) -> Projection:
    """The `rank` principal components of rows (N, D) of any float type; as many as there can be where that is fewer."""

    def blocks() -> Iterator[Tensor]:
        return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))

    return fit_blocks(blocks, len(rows), rows.shape[1], rank, seed=seed)


def fit_blocks(
    blocks: Blocks,
    count: int,
    length: int,
    rank: int = RANK,
    *,
    spare: int = _SPARE,
    rounds: int = _ROUNDS,
    seed: int = 0,
) -> Projection:
    """The same of rows that are never in memory together: `blocks()` gives them anew, some (n, D) at a time.

    `count` and `length` are N and D. More `spare` directions and `rounds` make it more exact, and take longer; where
    the whole covariance is no more work, it is taken, and the components are exact.
    """
    rank = min(rank, count, length)
    mean = _mean(blocks, count, length)
    if count <= _FEW:
        return _fit_few(torch.cat([block.float() - mean for block in blocks()]), mean, rank)
    if length <= 2 * rounds * (rank + spare):
        return _fit_short(blocks, mean, count, rank)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(length, min(rank + spare, length), generator=generator)
    basis = torch.linalg.qr(basis).Q
    for _ in range(rounds):
        image = torch.zeros_like(basis)
        for block in blocks():
            centred = block.float() - mean
            image.addmm_(centred.T, centred @ basis)
        basis = torch.linalg.qr(image).Q
    gram = torch.zeros(basis.shape[1], basis.shape[1])
    for block in blocks():
        seen = (block.float() - mean) @ basis
        gram.addmm_(seen.T, seen)
    strengths, turns = torch.linalg.eigh(gram)
    order = strengths.argsort(descending=True)[:rank]
    directions = (basis @ turns[:, order]).T.contiguous()
    return Projection(mean, directions, strengths[order].clamp(min=0) / max(count - 1, 1))


def _fit_few(centred: Tensor, mean: Tensor, rank: int) -> Projection:
    """The components of few rows, from the matrix of their products: X X' u = s u, and then X' u is a direction."""
    rows = centred.double()
    strengths, turns = torch.linalg.eigh(rows @ rows.T)
    order = strengths.argsort(descending=True)[:rank]
    lengths = strengths[order].clamp(min=0).sqrt()
    directions = rows.T @ turns[:, order]
    if lengths[-1] > _FAINT * lengths[0]:
        directions /= lengths  # orthonormal to single precision; QR takes longer, far longer where processors are busy
    else:
        directions = torch.linalg.qr(directions).Q
    variance = lengths.square() / max(len(rows) - 1, 1)
    return Projection(mean, directions.T.float().contiguous(), variance.float())


def _fit_short(blocks: Blocks, mean: Tensor, count: int, rank: int) -> Projection:
    """The components of short rows, from their whole covariance: X' X d = s d."""
    products = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for block in blocks():
        centred = block.float() - mean
        products += centred.T @ centred
    strengths, directions = torch.linalg.eigh(products)
    order = strengths.argsort(descending=True)[:rank]
    variance = strengths[order].clamp(min=0) / max(count - 1, 1)
    return Projection(mean, directions.T[order].float().contiguous(), variance.float())


def total_variance(blocks: Blocks, mean: Tensor, count: int) -> float:
    """The variance of all directions together, of which a projection keeps a part."""
    total = torch.zeros((), dtype=torch.float64)
    for block in blocks():
        total += (block.float() - mean).square().sum(dtype=torch.float64)
    return float(total) / max(count - 1, 1)


def _mean(blocks: Blocks, count: int, length: int) -> Tensor:
    total = torch.zeros(length, dtype=torch.float64)
    for block in blocks():
        total += block.double().sum(0)
    return (total / max(count, 1)).float()
