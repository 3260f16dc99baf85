"""How a layer's numbers are arranged, and how they are seen as maps or vectors."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from triscope.errors import NetworkError

_MOST_PREFIX_TOKENS = 8


@dataclass(frozen=True, eq=False)
class Order:
    """Where the positions of an image are in a tensor that holds them in any order.

    The positions lie along the dimensions `along`; flattened, `run` of one image are followed by as many of the next
    one, and so on, `count` of each image in all. `places` are those of the rows and columns, in order. Each position
    has so many `channels`.
    """

    along: tuple[int, ...]
    run: int
    count: int
    channels: int
    places: Tensor

    def shape_of_one(self, shape: Sequence[int], pictures: int) -> tuple[int, ...]:
        """The shape that one image alone would have."""
        inside, lengths = 1, list(shape)
        for dim in reversed(self.along):
            if inside * shape[dim] > self.run:  # the images lie along this one
                lengths[dim] //= pictures
                break
            inside *= shape[dim]
        return tuple(lengths)

    def fits(self, shape: Sequence[int], pictures: int) -> bool:
        """Whether a tensor of this shape can hold so many images."""
        return math.prod(shape[dim] for dim in self.along) == pictures * self.count

    def along_pictures(self, shape: Sequence[int]) -> int | None:
        """The dimension along which more images lie beside one that has this shape; None where it is no whole one."""
        inside = 1
        for dim in reversed(self.along):
            if inside == self.run and shape[dim] == 1:
                return dim
            inside *= shape[dim]
        return self.along[0] if inside == self.run else None

    def each(self, values: Tensor, pictures: int) -> Tensor:
        """`values` (...) as (B, count, C): all there is of each image, in its own order."""
        rest = [dim for dim in range(values.ndim) if dim not in self.along]
        flat = values.permute(*self.along, *rest).reshape(-1, pictures, self.run, self.channels)
        return flat.transpose(0, 1).reshape(pictures, self.count, self.channels)

    def put(self, values: Tensor, pictures: int) -> Tensor:
        """`values` (...) as (B, positions, C), the positions row by row."""
        return self.each(values, pictures).index_select(1, self.places.to(values.device))


@dataclass(frozen=True)
class Layout:
    """How a layer's numbers are arranged, and how to see them as maps (B, C, h, w) or vectors (B, D).

    maps        (B, C, h, w)
    maps-last   (B, h, w, C)
    tokens      (B, prefix + h * w + suffix, C), row by row
    windows     positions in any other order, in `order`: windows in the batch, units of a mask, tokens that come first
    vector      (B, D)
    roi         a row for each region that a detector proposes: no `images`
    other       none of these; its rows may also be no `images`

    `grid` is (h, w) for an image of the network's usual size. At another size tokens have every `step`th row and
    column of the layer `source`, else as many as patches of `patch` pixels are in the image. `why` says why a layer
    is `other`.
    """

    kind: str
    prefix: int = 0
    suffix: int = 0
    grid: tuple[int, int] | None = None
    patch: tuple[float, float] | None = None
    source: str | None = None
    step: tuple[int, int] = (1, 1)
    order: Order | None = field(default=None, compare=False)
    pictures: bool = True
    why: str | None = None

    def rows_fit(self, shape: Sequence[int], pictures: int) -> bool:
        """Whether a tensor of this shape can hold so many images."""
        return self.order.fits(shape, pictures) if self.order else bool(shape) and shape[0] == pictures

    def together(self, values: Sequence[Tensor]) -> Tensor:
        """What a layer gave for several images, of what it gave for each. Raises NetworkError where they mix."""
        dim = self.order.along_pictures(values[0].shape) if self.order else 0
        if dim is None:
            raise NetworkError("This layer can be used with one image at a time only.")
        return torch.cat(list(values), dim)

    def view(
        self, values: Tensor, pictures: int, size: tuple[int, int], grids: Mapping[str, tuple[int, int]]
    ) -> Tensor:
        """`values` as maps or vectors, for images of `size`; `grids` are the rows and columns of sources in that
        pass. What is no position, such as class tokens, is left out.
        """
        if self.kind == "maps-last":
            return values.permute(0, 3, 1, 2)
        if self.kind == "tokens":
            rows, cols = self._grid(values.shape[1], size, grids)
            positions = values[:, self.prefix : self.prefix + rows * cols]
        elif self.order and self.grid:
            (rows, cols), positions = self.grid, self.order.put(values, pictures)
        else:
            return values
        return positions.transpose(1, 2).reshape(len(positions), -1, rows, cols)

    @property
    def before(self) -> int:
        """How many tokens stand before the first position: class and register tokens."""
        if self.order is None:
            return self.prefix
        return int(self.order.places.min()) if self.order.places.numel() else 0

    def tokens(self, values: Tensor, pictures: int) -> Tensor | None:
        """`values` as all tokens of each image in the layer's own order, (B, T, C); None where it has none."""
        if self.order:
            return self.order.each(values, pictures)
        return values if values.ndim == 3 and self.kind in ("tokens", "other") and self.pictures else None

    def rows_and_cols(self, shape: Sequence[int]) -> tuple[int, int] | None:
        """The (rows, columns) of maps of this shape."""
        if self.kind not in ("maps", "maps-last"):
            return None
        rows, cols = shape[2:] if self.kind == "maps" else shape[1:3]
        return rows, cols

    def _grid(self, count: int, size: tuple[int, int], grids: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
        """The rows and columns that so many tokens make. Raises NetworkError where they make none."""
        left = count - self.prefix - self.suffix
        if self.source is not None and self.source in grids:
            rows, cols = (-(-length // step) for length, step in zip(grids[self.source], self.step, strict=True))
        elif self.patch:
            exact = [length / patch for length, patch in zip(size, self.patch, strict=True)]
            rows, cols = (max(1, round(length)) for length in exact)
            if rows * cols != left:  # a patch embedding may also cut off, or fill up
                both = [sorted({max(1, math.floor(length)), math.ceil(length)}) for length in exact]
                rows, cols = next((pair for pair in product(*both) if pair[0] * pair[1] == left), (rows, cols))
        else:
            rows, cols = self.grid or (1, 1)
        if rows * cols != left:
            extra = f"{self.prefix} and {self.suffix}" if self.suffix else f"{self.prefix}"
            raise NetworkError(
                f"{count} tokens do not make {extra} and a grid of {rows} x {cols} for an image of "
                f"{size[0]} x {size[1]} pixels; state the grid: Network(..., tokens=(rows, columns))."
            )
        return rows, cols


def guess(
    shape: tuple[int, ...],
    size: tuple[int, int],
    tokens: tuple[int, int] | None,
    extra: tuple[int, int] | None,
) -> Layout:
    """The layout that a layer of this shape (B, ...) may have, for images of `size`.

    Where it is stated, with `tokens` in rows and columns, and `extra` ones before and after.
    """
    height, width = size
    if len(shape) == 2:
        return Layout("vector")
    if len(shape) == 4:
        # A map is as square as the image; channels that come last are found by that.
        last = alike(shape[1], shape[2], height, width) and not alike(shape[2], shape[3], height, width)
        return Layout("maps-last", grid=(shape[1], shape[2])) if last else Layout("maps", grid=(shape[2], shape[3]))
    if len(shape) == 3:
        for prefix, suffix, (rows, cols) in _grids(shape[1], height, width, tokens, extra):
            patch = (height / rows, width / cols)
            return Layout("tokens", grid=(rows, cols), prefix=prefix, suffix=suffix, patch=patch)
    return Layout("other")


def alike(rows: int, cols: int, height: int, width: int) -> bool:
    """Whether so many rows and columns are as square as an image of this height and width."""
    return abs(rows * width - cols * height) <= max(height, width)


def _grids(
    count: int, height: int, width: int, tokens: tuple[int, int] | None, extra: tuple[int, int] | None
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """How many tokens come before and after which grid, where there are `count`: what is stated, else grids as wide as
    the image is, the fewest extra tokens first.
    """
    if tokens:
        rows, cols = tokens
        left = count - rows * cols
        if left >= 0 and (extra is None or sum(extra) == left):
            yield (*(extra or (left, 0)), tokens)
        return
    pairs = [extra] if extra else [(prefix, 0) for prefix in range(min(_MOST_PREFIX_TOKENS, count - 1) + 1)]
    for prefix, suffix in pairs:
        left = count - prefix - suffix
        rows = round(math.sqrt(max(left, 0) * height / width))
        cols = left // rows if rows else 0
        if rows > 1 and cols > 1 and rows * cols == left and abs(rows * width - cols * height) < max(height, width) / 2:
            yield prefix, suffix, (rows, cols)
