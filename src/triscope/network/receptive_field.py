"""Receptive fields: which part of the image a position of a layer can see.

Along one axis, position i of a layer sees the pixels

    offset + i * stride  ...  offset + i * stride + size - 1

and the three numbers follow from the operations on the way (Araujo, Norris and Sim, "Computing receptive fields of
convolutional neural networks", Distill 2019). `triscope.network.positions` reads them off a running pass.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """What the positions of one axis see, in pixels."""

    size: int = 1
    stride: int = 1
    offset: int = 0

    def window(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Span":
        """After a sliding window of this kind."""
        reach = dilation * (kernel - 1)
        return Span(self.size + reach * self.stride, self.stride * stride, self.offset - padding * self.stride)

    def union(self, other: "Span") -> "Span | None":
        """What sees both; None where the strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.offset, other.offset)
        return Span(max(self.offset + self.size, other.offset + other.size) - start, self.stride, start)

    def at(self, position: int, limit: int) -> tuple[int, int]:
        """First pixel seen from `position` and the one after the last, inside an image of `limit` pixels."""
        start = self.offset + position * self.stride
        return max(start, 0), min(start + self.size, limit)


@dataclass(frozen=True)
class ReceptiveField:
    """What the positions of a layer see; None where an axis sees the whole image."""

    rows: Span | None
    cols: Span | None

    def box(self, row: int, col: int, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of what position (row, col) sees of an image of height x width pixels."""
        top, bottom = self.rows.at(row, height) if self.rows else (0, height)
        left, right = self.cols.at(col, width) if self.cols else (0, width)
        return top, left, bottom - top, right - left

    def __str__(self) -> str:
        sizes = [str(span.size) if span else "all" for span in (self.rows, self.cols)]
        return sizes[0] if sizes[0] == sizes[1] else "x".join(sizes)


WHOLE = ReceptiveField(None, None)
