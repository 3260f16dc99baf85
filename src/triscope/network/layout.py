"""How a layer's numbers are arranged, told by their shape."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from triscope.errors import NetworkError

_MOST_PREFIX_TOKENS = 8


@dataclass(frozen=True)
class Layout:
    """How a layer's numbers are arranged, and how to see them as maps (B, C, h, w) or vectors (B, D).

    `maps` (B, C, h, w), `maps-last` (B, h, w, C), `tokens` (B, prefix + h * w, C), `vector` (B, D), or `other`. A token
    stands for a `patch` of rows x columns pixels. `other` may also have rows that are no `pictures`.
    """

    kind: str
    prefix: int = 0
    patch: tuple[float, float] = (1.0, 1.0)
    pictures: bool = True

    def view(self, values: Tensor, height: int, width: int) -> Tensor:
        """`values` as maps or vectors, for an image of height x width pixels. Class tokens are left out."""
        if self.kind == "maps-last":
            return values.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            rows, cols = max(1, round(height / self.patch[0])), max(1, round(width / self.patch[1]))
            if values.shape[1] != self.prefix + rows * cols:
                raise NetworkError(
                    f"{values.shape[1]} tokens do not make {self.prefix} and a grid of {rows} x {cols} for an image of "
                    f"{height} x {width} pixels; state the grid: Network(..., tokens=(rows, columns))."
                )
            return values[:, self.prefix :].transpose(1, 2).reshape(len(values), -1, rows, cols)
        return values


def guess(shape: tuple[int, ...], height: int, width: int, tokens: tuple[int, int] | None) -> Layout:
    """The layout of a layer of this shape (B, ...), for images of height x width pixels."""
    if len(shape) == 2:
        return Layout("vector")
    if len(shape) == 4:
        # A map is as square as the picture; channels that come last are found by that.
        last = _alike(shape[1], shape[2], height, width) and not _alike(shape[2], shape[3], height, width)
        return Layout("maps-last" if last else "maps")
    if len(shape) == 3:
        grids = [tokens] if tokens else list(_grids(shape[1], height, width))
        for rows, cols in grids:
            if shape[1] >= rows * cols:
                return Layout("tokens", shape[1] - rows * cols, (height / rows, width / cols))
    return Layout("other")


def _alike(rows: int, cols: int, height: int, width: int) -> bool:
    return abs(rows * width - cols * height) <= max(height, width)


def _grids(count: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """The grids, as wide as the image is, that `count` tokens may be, the fewest extra tokens first."""
    for prefix in range(min(_MOST_PREFIX_TOKENS, count - 1) + 1):
        rows = round(math.sqrt((count - prefix) * height / width))
        cols = (count - prefix) // rows if rows else 0
        if (
            rows > 1
            and cols > 1
            and rows * cols == count - prefix
            and abs(rows * width - cols * height) < max(height, width) / 2
        ):
            yield rows, cols
