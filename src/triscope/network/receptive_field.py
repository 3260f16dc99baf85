"""Receptive fields: the part of the image that a position of a layer depends on.

Along one axis, position i of a layer depends on the pixels

    offset + i * stride  ...  offset + i * stride + size - 1

The three numbers follow from the operations before the layer (Araujo, Norris and Sim, "Computing receptive fields of
convolutional neural networks", Distill 2019). `triscope.network.positions` determines them during a pass.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """The receptive fields of the positions along one axis, in pixels."""

    size: int = 1
    stride: int = 1
    offset: int = 0

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Span":
        """The span after a convolution or pooling."""
        reach = dilation * (kernel - 1)
        return Span(self.size + reach * self.stride, self.stride * stride, self.offset - padding * self.stride)

    def union(self, other: "Span") -> "Span | None":
        """The span of an operation that reads both; None if the strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.offset, other.offset)
        return Span(max(self.offset + self.size, other.offset + other.size) - start, self.stride, start)

    def at(self, position: int, limit: int) -> tuple[int, int]:
        """The first pixel of the receptive field of `position`, and the one after its last, within `limit` pixels."""
        start = self.offset + position * self.stride
        return max(start, 0), min(start + self.size, limit)


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive fields of the positions of a layer; None for an axis along which each is the whole image."""

    rows: Span | None
    cols: Span | None

    def box(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The receptive field (top, left, height, width) of a position in an image of height x width pixels."""
        top, bottom = self.rows.at(row, height) if self.rows else (0, height)
        left, right = self.cols.at(col, width) if self.cols else (0, width)
        return top, left, bottom - top, right - left

    def __str__(self) -> str:
        sizes = [str(span.size) if span else "all" for span in (self.rows, self.cols)]
        return sizes[0] if sizes[0] == sizes[1] else "x".join(sizes)


WHOLE = ReceptiveField(None, None)
