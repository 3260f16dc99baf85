"""The options that textures and styles share: what pictures are compared in, and how a picture is optimised."""

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
    """What of two pictures is compared.

    layers        layers whose texture is matched: names, or words such as relu3_1; the preset's if left out
    statistics    what of these layers is matched: Gram matrices, covariances with means, or the normal distributions
                  with these (wasserstein)
    preset        layers and weights: triscope (relative, for any network), or those of a paper
    pooling       max or average; the preset's if left out
    """

    layers: tuple[str, ...] | None = None
    statistics: Statistics = "gram"
    preset: Preset = "triscope"
    pooling: Pooling | None = None


@dataclass(frozen=True)
class StyleLoss(TextureLoss):
    """What of the content and the styles is kept.

    layers            layers of the style: names, or words such as relu3_1; the preset's if left out
    content_layers    layer of the content
    content_weight    weight of the content; the preset's if left out
    style_weight      weight of the style; the preset's if left out
    tv                weight of the total variation prior, the sum of squared differences of neighbouring pixels; the
                      preset's if left out, and some where the network looks at every fourth pixel only, as AlexNet does
    blend             how much of each style, as numbers; the same of each if left out
    """

    content_layers: str | None = None
    content_weight: Weight = None
    style_weight: Weight = None
    tv: Weight = None
    blend: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Synthesis:
    """How a picture is optimised, from coarse to fine.

    steps         number of steps, in all octaves together
    octaves       number of sizes, each twice the one before, from coarse to fine
    optimiser     lbfgs or adam
    rate          step size of the optimiser
    seed          random seed of the noise
    precision     auto (bfloat16 where the processor has it natively), float32 or bfloat16
    memory        how much memory may be used, such as 2G or 800M; large pictures are then made in strips
    checkpoint    name of files to save the job to, one for each octave; a job that was interrupted resumes from them
    """

    steps: Steps = 120
    octaves: Annotated[int, Range(1, 8)] = 2
    optimiser: Literal["lbfgs", "adam"] = "lbfgs"
    rate: Rate = None
    seed: Seed = 0
    precision: Precision = "auto"
    memory: Annotated[int | None, Bytes()] = None
    checkpoint: Checkpoint = None
