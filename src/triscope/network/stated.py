"""What is said of a module when a network is made of it, beside what everybody says."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TypedDict

from torch import nn

from triscope.errors import NetworkError, nearest
from triscope.network.normalisation import Statistic
from triscope.network.preprocess import Interpolation, Preprocess

_DEFAULT_SIZE = 224
_OFTEN = ("mean", "std", "size", "channels", "show", "classes", "output", "call", "task")


class Details(TypedDict, total=False):
    """What is seldom said of a module.

    resize          what an image is resized to (its short side) before its centre is cut out; `size` if left out.
    interpolation   how it is resized; bilinear if left out.
    tokens          (rows, columns) of the token grid at that size, where it is not found by itself.
    extra_tokens    how many tokens are (before, after) the grid: class, register and detection tokens; where that
                    is not found by itself. May be stated alone.
    name            what it is called in messages, results and recipes; the module's class, if left out.
    source          how `load` made the network, for recipes.
    missing         names of weights that were not given (a classifier that a file lacks).
    """

    resize: int | None
    interpolation: Interpolation
    tokens: tuple[int, int] | None
    extra_tokens: tuple[int, int] | None
    name: str | None
    source: Mapping[str, str] | None
    missing: Iterable[str]


def require_known(details: Details) -> None:
    """Raise NetworkError for what is no detail: a word that was misspelled."""
    known = Details.__annotations__
    if strange := [name for name in details if name not in known]:
        raise NetworkError(f"A Network has no argument {strange[0]!r}.{nearest(strange[0], [*_OFTEN, *known])}")


def preprocessing(size: int | tuple[int, int] | None, details: Details) -> Preprocess:
    """How images are fitted to a network."""
    rows, cols = (size, size) if isinstance(size, int) else size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
    return Preprocess((rows, cols), details.get("resize") or min(rows, cols), details.get("interpolation", "bilinear"))


def channels_of(
    module: nn.Module, size: tuple[int, int], mean: Statistic | None = None, std: Statistic | None = None
) -> int:
    """How many channels the network reads: as many as `mean` or `std` have, or as its first layer reads; else 3."""
    for statistic in (mean, std):
        if isinstance(statistic, Sized):
            return len(statistic)
    parts = list(module.modules())
    for part in parts:
        if isinstance(part, nn.Conv2d):
            return part.in_channels
    first = next((part for part in parts if isinstance(part, nn.Linear)), None)
    channels, rest = divmod(first.in_features, size[0] * size[1]) if first else (0, 0)
    return channels if channels and not rest else 3  # an image flattened into a row of numbers


def channels_shown(show: int | Sequence[int] | None, channels: int) -> tuple[int, ...] | None:
    """The channels in which images are shown. Raises NetworkError where the network has no such channels."""
    if show is None:
        return None
    chosen = (show,) if isinstance(show, int) else tuple(show)
    if len(chosen) not in (1, 3) or not all(0 <= one < channels for one in chosen):
        raise NetworkError(
            f"Pictures are shown in three channels (red, green, blue), or in one, of those from 0 to {channels - 1}; "
            f"show is {show!r}."
        )
    return chosen
