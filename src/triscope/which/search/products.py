"""Products of stored rows with one vector, or with several, in bfloat16.

oneDNN, which PyTorch multiplies bfloat16 with, compiles a kernel for each shape that it meets and keeps the last 1,024:
half a megabyte each, so that a process whose searches look at another number of rows each time grows by 500 MB. So rows
are multiplied in pieces whose lengths are powers of two, of which there are few.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

_SHORT = 64  # rows: what is left of them is multiplied in float32, for which no kernels are compiled


def products(rows: Tensor, vectors: Tensor) -> Tensor:
    """The products of rows (N, D) with a vector (D,), or with several (Q, D): (N,) or (Q, N), float32.

    They are rounded to the rows' precision.
    """
    asked = vectors.to(rows.dtype)
    if rows.dtype == torch.float32:
        return asked @ rows.T
    if asked.ndim == 2:
        asked = F.pad(asked, (0, 0, 0, few_shapes(len(asked)) - len(asked)))
    made = torch.empty(*asked.shape[:-1], len(rows))
    start = 0
    while len(rows) - start >= _SHORT:
        end = start + (1 << ((len(rows) - start).bit_length() - 1))
        made[..., start:end] = _product(rows[start:end], asked)
        start = end
    if start < len(rows):
        made[..., start:] = _product(rows[start:].float(), asked.float()).to(rows.dtype)
    return made[: len(vectors)] if vectors.ndim == 2 else made


def few_shapes(count: int) -> int:
    """A number at least as large, by a quarter at most, of which there are four up to each power of two."""
    step = 1 << max(0, count.bit_length() - 3)
    return -(-count // step) * step


def _product(rows: Tensor, asked: Tensor) -> Tensor:
    return torch.mv(rows, asked) if asked.ndim == 1 else asked @ rows.T
