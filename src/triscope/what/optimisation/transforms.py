"""Random views of an image, so that a unit is activated in every one of them.

    Jitter(12)  Scale(0.9, 1.1)  Rotate(5)  Fit(224, 224)

What raises a unit only when every pixel stays in its place is noise; what still does after a small shift or a change of
size is a shape. A transform is a value; `draw` samples it from a `torch.Generator`, and returns the view as a function
of the image. One sample holds for the whole batch, so that an image is treated as if it were alone.

**References.** A. Mordvintsev et al., "Inceptionism", 2015 (jitter); C. Olah et al., "Feature visualization", 2017.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import torch
import torch.nn.functional as F
from torch import Tensor

View = Callable[[Tensor], Tensor]

_FACTORS = 20  # of `Scale`


@dataclass(frozen=True)
class Transform(ABC):
    """A kind of random view: (B, C, H, W) -> (B, C, H', W')."""

    @abstractmethod
    def draw(self, generator: torch.Generator) -> View:
        """One view, chosen at random."""


@dataclass(frozen=True)
class Jitter(Transform):
    """A shift by up to `pixels` in both directions; what leaves at one side comes in again at the other."""

    pixels: int

    def draw(self, generator: torch.Generator) -> View:
        """Rows and columns to shift by."""
        rows, cols = (int(_uniform(generator, -self.pixels, self.pixels + 1) // 1) for _ in range(2))
        return lambda images: images.roll((rows, cols), (2, 3))


@dataclass(frozen=True)
class Scale(Transform):
    """Resized by one of 20 evenly spaced factors from `least` to `most`; the view's size changes with it.

    They are few, since a CPU prepares the convolutions anew for each size of image.
    """

    least: float
    most: float

    def draw(self, generator: torch.Generator) -> View:
        """The factor."""
        place = int(_uniform(generator, 0, _FACTORS)) / (_FACTORS - 1)
        factor = self.least + (self.most - self.least) * place
        return lambda images: _resized(images, [max(1, round(side * factor)) for side in images.shape[-2:]])


@dataclass(frozen=True)
class Rotate(Transform):
    """Turned by up to `degrees` either way, the corners mirrored in."""

    degrees: float

    def draw(self, generator: torch.Generator) -> View:
        """The angle."""
        angle = _uniform(generator, -self.degrees, self.degrees) * pi / 180

        def turn(images: Tensor) -> Tensor:
            height, width = images.shape[-2:]
            rows = [[cos(angle), -sin(angle) * height / width, 0], [sin(angle) * width / height, cos(angle), 0]]
            turns = images.new_tensor([rows]).expand(len(images), -1, -1)
            grid = F.affine_grid(turns, list(images.shape), align_corners=False)
            return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

        return turn


@dataclass(frozen=True)
class Fit(Transform):
    """To a size: cut in the middle where the view is larger, mirrored outwards where it is smaller.

    Last in a chain for networks that take one size only.
    """

    height: int
    width: int

    def draw(self, generator: torch.Generator) -> View:
        """Always the same."""
        return lambda images: _fit(images, self.height, self.width)


@dataclass(frozen=True)
class FitMultiple(Transform):
    """To the nearest size whose sides are multiples of `step`, cut or mirrored outwards as by `Fit`.

    Last in a chain for networks that take such sizes only.
    """

    step: int

    def draw(self, generator: torch.Generator) -> View:
        """Always the same."""
        return lambda images: _fit(images, *(max(1, round(side / self.step)) * self.step for side in images.shape[-2:]))


def draw(transforms: Sequence[Transform], generator: torch.Generator) -> View:
    """One view through all of them, in order."""
    views = [transform.draw(generator) for transform in transforms]

    def look(images: Tensor) -> Tensor:
        for view in views:
            images = view(images)
        return images

    return look


def _uniform(generator: torch.Generator, least: float = 0.0, most: float = 1.0) -> float:
    return least + (most - least) * float(torch.rand((), generator=generator))


def _fit(images: Tensor, height: int, width: int) -> Tensor:
    """Cut in the middle where larger, mirrored outwards where smaller."""
    tall, wide = height - images.shape[-2], width - images.shape[-1]
    sides = (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)
    images = F.pad(images, [min(side, 0) for side in sides])
    return F.pad(images, [max(side, 0) for side in sides], mode="reflect")


def _resized(images: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(images, size, mode="bilinear", align_corners=False)
