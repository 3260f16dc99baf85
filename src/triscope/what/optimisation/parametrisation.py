"""Canvases: how images are parametrised.

    Pixels      the pixels themselves, kept in [0, 1]
    Fourier     their spectrum, in decorrelated colours, drawn through a sigmoid
    Spectrum    the same, cut off at black and white

A canvas is a value. The numbers that an optimiser changes, one tensor (B, ...), are outside of it: `draw` turns them
into images (B, C, H, W) in [0, 1], differentiably, and `encode` turns images into them.

A step of the same length in every number of a spectrum, divided by frequency, moves coarse shapes before fine ones, as
photographs have them, and moves all channels of a colour together. Nothing about the optimum changes, only the way
there; that way passes through far more natural images (Olah, Mordvintsev, Schubert, "Feature visualization",
Distill 2017).

**Where ours departs.** Lucid takes the colours of ImageNet; our three axes and their spreads are those of 570
photographs (Caltech-101 and others), in [0, 1]: light, blue against yellow, green against magenta. The spectrum is
scaled to a spread of 1, so that a learning rate means the same at every size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

# Unit vectors, one in each row, and how far photographs spread along each (light being 1).
_AXES = ((0.560, 0.579, 0.592), (0.719, 0.014, -0.694), (0.410, -0.815, 0.409))
_SPREADS = (1.0, 0.286, 0.145)
_EDGE = 1e-3  # black and white are infinitely far away behind a sigmoid; this is as near as `encode` goes


@dataclass(frozen=True)
class Canvas(ABC):
    """A parametrisation of images of `channels` x `height` x `width`."""

    height: int
    width: int
    channels: int = 3

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width

    def resized(self, size: tuple[int, int]) -> Self:
        """The same kind of canvas, of another size."""
        return replace(self, height=size[0], width=size[1])

    @abstractmethod
    def noise(self, count: int, strength: float, generator: torch.Generator) -> Tensor:
        """The numbers of `count` grey images with a little noise of that strength on them."""

    @abstractmethod
    def draw(self, numbers: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1]; gradients flow back."""

    @abstractmethod
    def encode(self, pictures: Tensor) -> Tensor:
        """The numbers of which `draw` makes these images, as nearly as it can."""

    def confine(self, numbers: Tensor) -> Tensor:
        """The numbers, brought back to where they may lie; called after every step."""
        return numbers


@dataclass(frozen=True)
class Pixels(Canvas):
    """The pixels themselves: numbers (B, C, H, W), brought back into [0, 1] after every step."""

    def noise(self, count: int, strength: float, generator: torch.Generator) -> Tensor:
        """Grey, with independent noise in every pixel."""
        return 0.5 + 0.1 * strength * torch.randn(count, self.channels, *self.size, generator=generator)

    def draw(self, numbers: Tensor) -> Tensor:
        """The numbers are the image."""
        return numbers

    def encode(self, pictures: Tensor) -> Tensor:
        """The image is the numbers; contiguous, as L-BFGS wants them."""
        return pictures.clone(memory_format=torch.contiguous_format)

    def confine(self, numbers: Tensor) -> Tensor:
        """Clamped to [0, 1]."""
        return numbers.clamp(0, 1)


@dataclass(frozen=True)
class Spectral(Canvas):
    """What canvases share whose numbers are a spectrum in decorrelated colours: (B, C, H, W // 2 + 1, 2), real and
    imaginary parts.

    `decay` is the power of frequency that the spectrum is divided by; `chroma` is how much more colour than
    photographs have is within easy reach (1: as they do).
    """

    decay: float = 1.0
    chroma: float = 1.0

    @cached_property
    def _scale(self) -> Tensor:
        rows = torch.fft.fftfreq(self.height)[:, None]
        cols = torch.fft.rfftfreq(self.width)[None, :]
        frequency = (rows.square() + cols.square()).sqrt().clamp_min(1 / max(self.size))
        scale: Tensor = frequency.pow(-self.decay)
        return scale / scale.square().mean().sqrt()

    @cached_property
    def _colours(self) -> Tensor:
        """(C, C): a colour is `axes @ colours`."""
        if self.channels != 3:
            return torch.eye(self.channels)
        spreads = torch.tensor([_SPREADS[0], self.chroma * _SPREADS[1], self.chroma * _SPREADS[2]])
        return torch.tensor(_AXES) * spreads[:, None] * 3**0.5

    def noise(self, count: int, strength: float, generator: torch.Generator) -> Tensor:
        """Grey, with noise that has a photograph's spectrum and colours."""
        shape = (count, self.channels, self.height, self.width // 2 + 1, 2)
        return strength * torch.randn(shape, generator=generator)

    def _synthesis(self, numbers: Tensor) -> Tensor:
        """The inverse transform, in RGB; 0 is grey."""
        spectrum = torch.view_as_complex(numbers) * self._scale.to(numbers.device)
        axes = torch.fft.irfft2(spectrum, s=self.size, norm="ortho")
        return torch.einsum("bkhw,kc->bchw", axes, self._colours.to(numbers.device))

    def _analysis(self, colours: Tensor) -> Tensor:
        """The numbers of which `_synthesis` makes these colours."""
        axes = torch.einsum("bchw,ck->bkhw", colours, self._colours.inverse().to(colours.device))
        spectrum = torch.fft.rfft2(axes, norm="ortho") / self._scale.to(colours.device)
        return torch.view_as_real(spectrum).contiguous()


@dataclass(frozen=True)
class Fourier(Spectral):
    """A spectrum in decorrelated colours whose image goes through a sigmoid (Olah et al., 2017)."""

    def draw(self, numbers: Tensor) -> Tensor:
        """The inverse transform, in RGB, through a sigmoid."""
        return self._synthesis(numbers).sigmoid()

    def encode(self, pictures: Tensor) -> Tensor:
        """The spectrum of the image's logits."""
        return self._analysis(pictures.clamp(_EDGE, 1 - _EDGE).logit())


@dataclass(frozen=True)
class Spectrum(Spectral):
    """A spectrum in decorrelated colours whose image is cut off at black and white.

    A change of variables: optimisers find the way to large shapes and to colours more quickly than on pixels, and a
    photo is drawn exactly. Near grey, numbers mean what they do to `Fourier`: a sigmoid has a slope of 1/4 there.
    """

    def draw(self, numbers: Tensor) -> Tensor:
        """The inverse transform, in RGB, clamped to [0, 1]."""
        return (0.5 + self._synthesis(numbers) / 4).clamp(0, 1)

    def encode(self, pictures: Tensor) -> Tensor:
        """The spectrum of the image."""
        return self._analysis(4 * (pictures - 0.5))
