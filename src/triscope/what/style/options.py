"""The options that textures and styles share: what images are compared in, and how an image is optimised."""

from dataclasses import dataclass
from typing import Annotated, Literal

from triscope.methods import Bytes, Checkpoint, Range, Rate, Seed, Steps
from triscope.network.variants.configured import Pooling
from triscope.network.variants.precision import Precision
from triscope.objectives.statistics import Statistics
from triscope.what.style.presets import Preset

Weight = Annotated[float | None, Range(0, 1e12)]


@dataclass(frozen=True)
class TextureLoss:
    """How the textures of two images are compared.

    layers        layers whose texture is matched: names, or aliases such as relu3_1  [default: those of the preset]
    statistics    the statistics of these layers to match: Gram matrices (gram), means and covariances (covariance), or
                  the normal distributions that these define (wasserstein)
    preset        layers, weights and pooling: triscope (relative weights, for any network), or those of a paper
    pooling       pooling of the network: max or average  [default: that of the preset]
    """

    layers: tuple[str, ...] | None = None
    statistics: Statistics = "gram"
    preset: Preset = "triscope"
    pooling: Pooling | None = None


@dataclass(frozen=True)
class StyleLoss(TextureLoss):
    """How content and styles are compared.

    layers            style layers: names, or aliases such as relu3_1  [default: those of the preset]
    content_layers    content layer  [default: that of the preset]
    content_weight    weight of the content  [default: that of the preset]
    style_weight      weight of the style  [default: that of the preset]
    tv                weight of the total variation prior, the sum of squared differences of neighbouring pixels
                      [default: that of the preset, or a small weight for networks whose first layer has a stride of 4,
                      such as AlexNet]
    blend             relative weights of the styles, in their order  [default: equal]
    """

    content_layers: str | None = None
    content_weight: Weight = None
    style_weight: Weight = None
    tv: Weight = None
    blend: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Synthesis:
    """How an image is optimised, from coarse to fine.

    steps         number of steps, in all octaves together
    octaves       number of image sizes to optimise at, from coarse to fine, each twice the previous one
    optimiser     lbfgs or adam
    rate          step size of the optimiser
    seed          random seed of the noise
    precision     number format: float32, bfloat16, or auto (bfloat16 if the processor supports it natively)
    memory        memory limit, such as 2G or 800M; large images are then processed in strips
    checkpoint    save the job to files of this name, one per octave, and resume from them if they exist
    """

    steps: Steps = 120
    octaves: Annotated[int, Range(1, 8)] = 2
    optimiser: Literal["lbfgs", "adam"] = "lbfgs"
    rate: Rate = None
    seed: Seed = 0
    precision: Precision = "auto"
    memory: Annotated[int | None, Bytes()] = None
    checkpoint: Checkpoint = None
