"""What is done to an image in [0, 1] before the module gets it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from triscope.errors import NetworkError


class Normalisation:
    """(image - mean) / std, channel by channel; nothing where neither is stated.

    Raises NetworkError for statistics that do not fit together.
    """

    def __init__(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
        self.mean, self.std = _statistics(mean, std)
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
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if mean is None and std is None:
        return None, None
    channels = len(mean if mean is not None else std or ())
    mean = tuple(mean) if mean is not None else (0.0,) * channels
    std = tuple(std) if std is not None else (1.0,) * channels
    if len(mean) != len(std) or min(std) <= 0:
        raise NetworkError(
            f"mean and std give one number per channel, and std is positive; here they are {mean} and {std}."
        )
    return mean, std
