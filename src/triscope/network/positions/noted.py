"""Tensors as a record of a pass notes them: without their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Noted:
    """A tensor that was met: its number among those that depend on the images (None if it does not), and its shape.

    `values` are kept of what may be an index.
    """

    number: int | None
    shape: tuple[int, ...]
    values: Tensor | None = None

    @property
    def ndim(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)


def flat(values: Sequence[Any]) -> list[Any]:
    """The values, with tuples and lists of them opened once (cat takes a list, chunk returns a tuple)."""
    return [inner for value in values for inner in (value if isinstance(value, tuple | list) else (value,))]
