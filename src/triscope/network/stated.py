"""What is said of a module when a network is made of it, beside what everybody says."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from torch import nn

from triscope.errors import NetworkError, nearest
from triscope.network.preprocess import Interpolation, Preprocess

_DEFAULT_SIZE = 224
_OFTEN = ("mean", "std", "size", "classes", "output", "call", "task", "name")


class Details(TypedDict, total=False):
    """What is seldom said of a module.

    resize          what a picture is resized to (its short side) before its centre is cut out; `size` if left out.
    interpolation   how it is resized; bilinear if left out.
    tokens          (rows, columns) of the token grid at that size, where it is not found by itself.
    extra_tokens    how many tokens are (before, after) the grid: class, register and detection tokens; where that
                    is not found by itself. May be stated alone.
    source          how `load` made the network, for recipes.
    missing         names of weights that were not given (a classifier that a file lacks).
    """

    resize: int | None
    interpolation: Interpolation
    tokens: tuple[int, int] | None
    extra_tokens: tuple[int, int] | None
    source: Mapping[str, str] | None
    missing: Iterable[str]


def require_known(details: Details) -> None:
    """Raise NetworkError for what is no detail: a word that was misspelled."""
    known = Details.__annotations__
    if strange := [name for name in details if name not in known]:
        raise NetworkError(f"A Network is not told {strange[0]!r}.{nearest(strange[0], [*_OFTEN, *known])}")


def preprocessing(size: int | tuple[int, int] | None, details: Details) -> Preprocess:
    """How pictures are fitted to a network."""
    rows, cols = (size, size) if isinstance(size, int) else size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
    return Preprocess((rows, cols), details.get("resize") or min(rows, cols), details.get("interpolation", "bilinear"))


def channels_of(module: nn.Module, mean: Sequence[float] | None) -> int:
    """How many channels the network reads: as many as `mean` has, or as its first convolution reads."""
    if mean is not None:
        return len(mean)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            return part.in_channels
    return 3
