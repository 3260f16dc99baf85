"""The less common arguments of `Network`, and the defaults that are derived from a module."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TypedDict

from torch import nn

from triscope.errors import NetworkError, nearest
from triscope.network.normalisation import Statistic
from triscope.network.preprocess import Interpolation, Preprocess

_DEFAULT_SIZE = 224
_OFTEN = ("mean", "std", "size", "channels", "show", "classes", "output", "call", "task")


class Details(TypedDict, total=False):
    """Further arguments of `Network`.

    resize          the length to which the short side of an image is resized before the centre crop. Default: `size`.
    interpolation   bilinear or bicubic. Default: bilinear.
    tokens          (rows, columns) of the token grid at the default size, if it is not found automatically.
    extra_tokens    the number of tokens (before, after) the grid: class, register and detection tokens; if it is not
                    found automatically. May be stated alone.
    name            the name in messages, results and recipes. Default: the module's class.
    source          how `load` made the network, for recipes.
    missing         names of weights that were not loaded (a classifier that a file lacks).
    """

    resize: int | None
    interpolation: Interpolation
    tokens: tuple[int, int] | None
    extra_tokens: tuple[int, int] | None
    name: str | None
    source: Mapping[str, str] | None
    missing: Iterable[str]


def require_known(details: Details) -> None:
    """Raise NetworkError for an unknown argument."""
    known = Details.__annotations__
    if strange := [name for name in details if name not in known]:
        raise NetworkError(f"A Network has no argument {strange[0]!r}.{nearest(strange[0], [*_OFTEN, *known])}")


def preprocessing(size: int | tuple[int, int] | None, details: Details) -> Preprocess:
    """The preprocessing for these arguments."""
    rows, cols = (size, size) if isinstance(size, int) else size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
    return Preprocess((rows, cols), details.get("resize") or min(rows, cols), details.get("interpolation", "bilinear"))


def channels_of(
    module: nn.Module, size: tuple[int, int], mean: Statistic | None = None, std: Statistic | None = None
) -> int:
    """The number of channels of images: as many as `mean` or `std` have, else as the first layer reads, else 3."""
    for statistic in (mean, std):
        if isinstance(statistic, Sized):
            return len(statistic)
    parts = list(module.modules())
    for part in parts:
        if isinstance(part, nn.Conv2d):
            return part.in_channels
    first = next((part for part in parts if isinstance(part, nn.Linear)), None)
    channels, rest = divmod(first.in_features, size[0] * size[1]) if first else (0, 0)
    return channels if channels and not rest else 3  # a linear layer that reads flattened images


def channels_shown(show: int | Sequence[int] | None, channels: int) -> tuple[int, ...] | None:
    """The channels in which images are shown. Raises NetworkError if the network has no such channels."""
    if show is None:
        return None
    chosen = (show,) if isinstance(show, int) else tuple(show)
    if len(chosen) not in (1, 3) or not all(0 <= one < channels for one in chosen):
        raise NetworkError(
            f"show must be three channels (red, green, blue), or one, from 0 to {channels - 1}, not {show!r}."
        )
    return chosen
