"""Normalisation of images in [0, 1] for a module: (image - mean) / std."""

from collections.abc import Sequence, Sized
from typing import TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError

#: One number per channel, or one for all channels.
Statistic: TypeAlias = float | Sequence[float]

# The mean and standard deviation of values in [0, 1] are at most 1; a little more allows for rescaling.
_LARGEST = 4.0


class Normalisation:
    """(image - mean) / std, channel by channel; the identity if neither is given.

    Raises NetworkError for statistics of different lengths, or for images in another range than [0, 1].
    """

    def __init__(self, mean: Statistic | None, std: Statistic | None, channels: int) -> None:
        self.mean, self.std = _statistics(mean, std, channels)
        self._columns = [
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (self.mean, self.std) if values
        ]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W); always a new tensor, so that the module may write to it."""
        if not self._columns:
            return images.clone()
        mean, std = (values.to(images) for values in self._columns)
        return (images - mean).div_(std)  # in place, to save a copy of the batch


def _statistics(
    mean: Statistic | None, std: Statistic | None, channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if mean is None and std is None:
        return None, None
    means, stds = _each(mean, 0.0, channels), _each(std, 1.0, channels)
    if not channels == len(means) == len(stds) or min(stds) <= 0:
        raise NetworkError(
            f"mean and std must have one number per channel, or one for all, and std must be positive; here they are "
            f"{means} and {stds}, and the network reads {channels} channel{'s' * (channels != 1)}."
        )
    largest = max(map(abs, (*means, *stds)))
    if largest > _LARGEST:
        advice = (
            f"divide both by 255: mean={_divided(means)}, std={_divided(stds)}"
            if largest <= 255
            else "divide both by the number that scales the images to [0, 1]"
        )
        raise NetworkError(
            f"mean and std are {means} and {stds}, which cannot be those of images in [0, 1], which the network gets; "
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


def _divided(values: tuple[float, ...]) -> str:
    """Values for the range 0 to 255, converted to [0, 1], as text."""
    return f"({', '.join(f'{value / 255:.4g}' for value in values)}{',' if len(values) == 1 else ''})"
