"""What is done to an image in [0, 1] before the module gets it."""

from collections.abc import Sequence, Sized
from typing import TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError

#: A number for each channel, or one for all of them.
Statistic: TypeAlias = float | Sequence[float]

# No mean or spread of numbers in [0, 1] is larger than 1; a little more is left to those who rescale as well.
_LARGEST = 4.0


class Normalisation:
    """(image - mean) / std, channel by channel; nothing where neither is stated.

    Raises NetworkError for statistics that do not fit together, or are not those of images in [0, 1].
    """

    def __init__(self, mean: Statistic | None, std: Statistic | None, channels: int) -> None:
        self.mean, self.std = _statistics(mean, std, channels)
        self._columns = [
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (self.mean, self.std) if values
        ]

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) as the module expects them; always a new tensor, so that the module may write to it."""
        if not self._columns:
            return images.clone()
        mean, std = (values.to(images) for values in self._columns)
        return (images - mean).div_(std)  # in place: one copy of the batch less


def _statistics(
    mean: Statistic | None, std: Statistic | None, channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if mean is None and std is None:
        return None, None
    means, stds = _each(mean, 0.0, channels), _each(std, 1.0, channels)
    if not channels == len(means) == len(stds) or min(stds) <= 0:
        raise NetworkError(
            f"mean and std give one number per channel, or one for all, and std is positive; here they are {means} and "
            f"{stds}, and the network reads {channels} channel{'s' * (channels != 1)}."
        )
    largest = max(map(abs, (*means, *stds)))
    if largest > _LARGEST:
        advice = (
            f"divide both by 255: mean={_told(means)}, std={_told(stds)}"
            if largest <= 255
            else "divide both by what the images were divided by to lie there"
        )
        raise NetworkError(
            f"mean and std are {means} and {stds}, which cannot be those of images in [0, 1], as the network is given; "
            f"{advice}."
        )
    return means, stds


def _each(statistic: Statistic | None, usual: float, channels: int) -> tuple[float, ...]:
    """One number for each channel."""
    if statistic is None:
        return (usual,) * channels
    if isinstance(statistic, Sized):
        return tuple(float(value) for value in statistic)
    return (float(statistic),) * channels


def _told(values: tuple[float, ...]) -> str:
    """What numbers in 0..255 are in [0, 1], as one would write them."""
    return f"({', '.join(f'{value / 255:.4g}' for value in values)}{',' if len(values) == 1 else ''})"
