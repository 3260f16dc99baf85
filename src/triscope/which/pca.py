"""Principal components of stored vectors, found from blocks of rows by subspace iteration.

    Q <- orthonormal(X' X Q), a few times;  then the eigenvectors of (X Q)' (X Q), turned back by Q

X are the rows less their mean (N. Halko, P. G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM
Review 2011, algorithms 4.4 and 5.3). The paper draws a sample of X's range once and then iterates on both sides; we
iterate on X' X alone, block by block, so that the rows are read once per round and may stay in half precision.
Of few rows, the eigenvectors of X X' give the components at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

RANK = 256
_BLOCK = 2048
_SPARE = 16  # directions beyond those wanted, that make the wanted ones exact sooner
_ROUNDS = 3
_FEW = 1024  # rows whose products among themselves are quicker


@dataclass(frozen=True, eq=False)
class Projection:
    """A mean (D,) and orthonormal directions (R, D), strongest first, with the variance (R,) along each."""

    mean: Tensor
    directions: Tensor
    variance: Tensor

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (N, D) along the directions, (N, R), and the length (N,) of what no direction shows. Both float32."""
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
    count, length = rows.shape
    rank = min(rank, count, length)
    mean = _mean(rows)
    if count <= _FEW:
        return _fit_few(rows.float() - mean, mean, rank)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(length, min(rank + _SPARE, length), generator=generator)
    basis = torch.linalg.qr(basis).Q
    for _ in range(_ROUNDS):
        image = torch.zeros_like(basis)
        for block in _blocks(rows, mean):
            image.addmm_(block.T, block @ basis)
        basis = torch.linalg.qr(image).Q
    gram = torch.zeros(basis.shape[1], basis.shape[1])
    for block in _blocks(rows, mean):
        seen = block @ basis
        gram.addmm_(seen.T, seen)
    strengths, turns = torch.linalg.eigh(gram)
    order = strengths.argsort(descending=True)[:rank]
    directions = (basis @ turns[:, order]).T.contiguous()
    return Projection(mean, directions, strengths[order].clamp(min=0) / max(count - 1, 1))


def _fit_few(centred: Tensor, mean: Tensor, rank: int) -> Projection:
    """The components of few rows, from the matrix of their products: X X' u = s u, and then X' u is a direction."""
    strengths, turns = torch.linalg.eigh(centred @ centred.T)
    order = strengths.argsort(descending=True)[:rank]
    directions = torch.linalg.qr(centred.T @ turns[:, order]).Q.T.contiguous()  # also where a strength is zero
    return Projection(mean, directions, strengths[order].clamp(min=0) / max(len(centred) - 1, 1))


def _mean(rows: Tensor) -> Tensor:
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for start in range(0, len(rows), _BLOCK):
        total += rows[start : start + _BLOCK].double().sum(0)
    return (total / max(len(rows), 1)).float()


def _blocks(rows: Tensor, mean: Tensor) -> Iterator[Tensor]:
    return (rows[start : start + _BLOCK].float() - mean for start in range(0, len(rows), _BLOCK))
