"""Regularisers: what keeps an image natural during gradient ascent, by name.

    none        the pixels, and nothing else: noise that fools the network
    l2          pixels pulled towards grey (Simonyan et al., 2014)
    blur        blurred now and then, and weak pixels set to grey (Yosinski et al., 2015)
    jitter      shifted and resized views, with total variation (Mordvintsev et al., 2015)
    fourier     a spectrum in decorrelated colours instead of pixels (Olah et al., 2017)
    natural     fourier, random views and light total variation: the default

Each is a `Regulariser`, and each of its parts can be switched by itself.
"""

from dataclasses import dataclass, fields
from functools import partial
from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.methods import Formerly, Range
from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.objectives.priors import PNorm, TotalVariation
from triscope.objectives.units import Logit
from triscope.what.optimisation.parametrisation import Canvas, Fourier, Pixels
from triscope.what.optimisation.spec import Edit
from triscope.what.optimisation.transforms import Jitter, Rotate, Scale, Transform

Weight: TypeAlias = Annotated[float, Range(0, 1e6)]
Part: TypeAlias = Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class Regulariser:
    """What is done to keep an image natural. Strengths are per unit of a score that the unit itself reaches easily.

    canvas              parametrisation of the image: a Fourier spectrum in decorrelated colours (fourier), or pixels
    rate                step size of the optimiser
    class_log_prob      weight of the class's log-probability, added to its logit, so that similar classes do not rise
                        as well
    l2                  weight of the L2 prior, which pulls pixels towards grey
    tv                  weight of the total variation prior, which smooths
    jitter              maximum shift of the random views, as a fraction of the image's side
    scale               maximum change of scale of the random views: 0.1 means 0.9 to 1.1
    rotate              maximum rotation of the random views, in degrees
    blur                sigma of the Gaussian blur applied after every 4th step, in pixels
    clip                fraction of the pixels set to grey after every 4th step: those closest to grey
    contribution_clip   fraction of the pixels set to grey after every 4th step: those that contribute least to the
                        score
    """

    canvas: Literal["fourier", "pixels"] = "pixels"
    rate: Weight = 0.02
    class_log_prob: Weight = 0.0
    l2: Weight = 0.0
    tv: Weight = 0.0
    jitter: Annotated[float, Range(0, 0.5)] = 0.0
    scale: Annotated[float, Range(0, 0.9)] = 0.0
    rotate: Annotated[float, Range(0, 180)] = 0.0
    blur: Annotated[float, Range(0, 100)] = 0.0
    clip: Part = 0.0
    contribution_clip: Annotated[float, Range(0, 1), Formerly("idle")] = 0.0

    def make_canvas(self, network: Network, size: tuple[int, int]) -> Canvas:
        """The canvas, of that size."""
        return (Fourier if self.canvas == "fourier" else Pixels)(*size, network.channels)

    def priors(self, unit: float) -> Objective | None:
        """The priors, their weights multiplied by the size of score that counts as much, or None."""
        parts = [(self.l2, PNorm(2)), (self.tv, TotalVariation(2))]
        weighed = [-weight * unit * prior for weight, prior in parts if weight]
        return None if not weighed else weighed[0] if len(weighed) == 1 else weighed[0] + weighed[1]

    @property
    def needs_typical(self) -> bool:
        """Whether priors are weighed by how strongly a layer typically responds."""
        return bool(self.l2 or self.tv)

    def priors_of(self, asked: Objective, typically: float) -> Objective | None:
        """The priors added to an objective, with comparable weights in every layer: `typically` is the layer's
        response, as `typical` finds it.
        """
        priors = self.priors(typically) if self.needs_typical else None
        if not (self.class_log_prob and isinstance(asked, Logit) and asked.form == "logit"):
            return priors
        log_prob = self.class_log_prob * Logit(asked.classes, "log-probability")
        return log_prob if priors is None else priors + log_prob

    def transforms(self, side: int) -> tuple[Transform, ...]:
        """The random views of an image with that short side."""
        parts: list[Transform] = []
        if self.jitter:
            parts.append(Jitter(max(1, round(self.jitter * side))))
        if self.rotate:
            parts.append(Rotate(self.rotate))
        if self.scale:
            parts.append(Scale(1 - self.scale, 1 + self.scale))
        return tuple(parts)

    def edits(self) -> tuple[Edit, ...]:
        """What is done to the image after steps."""
        chosen: list[Edit] = []
        if self.clip:
            chosen.append(partial(clipped, part=self.clip))
        if self.contribution_clip:
            chosen.append(partial(contribution_clipped, part=self.contribution_clip))
        if self.blur:
            chosen.append(partial(blurred, sigma=self.blur))
        return tuple(chosen)

    def __str__(self) -> str:
        parts = (f"{item.name} {getattr(self, item.name):g}" for item in fields(self)[1:] if getattr(self, item.name))
        return ", ".join([self.canvas, *parts])


REGULARISERS: dict[str, Regulariser] = {
    "none": Regulariser(),
    "l2": Regulariser(l2=1.0),
    "blur": Regulariser(l2=0.3, blur=0.7, clip=0.02, contribution_clip=0.02),
    "jitter": Regulariser(tv=10.0, jitter=0.05, scale=0.1),
    "fourier": Regulariser("fourier", rate=0.05),
    "natural": Regulariser("fourier", rate=0.05, class_log_prob=8.0, tv=15.0, jitter=0.1, scale=0.3, rotate=8.0),
}


def typical(network: Network, asked: Objective, size: tuple[int, int]) -> float:
    """How strongly the objective's layers respond to noise: the root mean square of their activations."""
    noisy = Fourier(*size, network.channels)
    pictures = noisy.draw(noisy.noise(4, 1.0, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        look = network.look(pictures.to(network.device, network.dtype), asked.needs)
    return float(torch.cat([look[need].float().flatten() for need in asked.needs]).square().mean().sqrt()) or 1.0


def blurred(pictures: Tensor, slope: Tensor, step: int, *, sigma: float, every: int = 4) -> Tensor:
    """Gaussian blur of `sigma` pixels after every `every`th step, the border mirrored."""
    del slope
    if step % every:
        return pictures
    reach = min(max(1, round(3 * sigma)), min(pictures.shape[-2:]) - 1)
    window = torch.exp(-torch.arange(-reach, reach + 1.0).square() / (2 * sigma**2))
    window = (window / window.sum()).to(pictures).expand(pictures.shape[1], 1, -1)
    padded = F.pad(pictures, (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, window[..., None], groups=pictures.shape[1])
    return F.conv2d(rows, window[..., None, :], groups=pictures.shape[1])


def clipped(pictures: Tensor, slope: Tensor, step: int, *, part: float, every: int = 4) -> Tensor:
    """The weakest pixels - nearest to grey, over all colours - set to grey after every `every`th step."""
    del slope
    return pictures if step % every else _greyed(pictures, (pictures - 0.5).square().sum(1), part)


def contribution_clipped(pictures: Tensor, slope: Tensor, step: int, *, part: float, every: int = 4) -> Tensor:
    """The pixels that contribute least set to grey after every `every`th step.

    What a pixel contributes is how much the score would change, along its slope, if the pixel were grey.
    """
    return pictures if step % every else _greyed(pictures, (slope * (pictures - 0.5)).sum(1).abs(), part)


def _greyed(pictures: Tensor, worth: Tensor, part: float) -> Tensor:
    """The `part` of the pixels of least `worth` (B, H, W), set to grey."""
    limit = worth.flatten(1).quantile(part, dim=1).view(-1, 1, 1)
    return pictures.where((worth > limit)[:, None], 0.5)
