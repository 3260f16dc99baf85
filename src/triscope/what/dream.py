"""DeepDream: a photo is changed to increase the activations of a layer or unit, from coarse to fine.

    x <- x + rate * gradient / |gradient|,    at sizes each 1.4 times the one before

Between sizes, the detail that the photo lost at the smaller size is put back.

**When it misleads.** It shows what a layer is ready to see, not what is there: dogs and eyes are what the training
photos were full of. What appears depends on the size of the image as much as on the layer.

**Reference.** A. Mordvintsev, C. Olah, M. Tyka, "Inceptionism: going deeper into neural networks", 2015.

**Differences from the paper.** They maximise the norm of a layer, and so do we, as its mean square; the step is
measured by its root mean square, so that `rate` is how far a pixel moves, and has a little momentum.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from triscope.errors import OptionError
from triscope.images import resize
from triscope.methods import (
    Checkpoint,
    Group,
    LayerArg,
    NetworkArg,
    ObjectiveArg,
    Range,
    Seed,
    Step,
    Steps,
    WholeImagesArg,
    method,
)
from triscope.network import Network
from triscope.objectives.base import Objective
from triscope.objectives.units import Energy
from triscope.what.optimisation.ascent import optimise
from triscope.what.optimisation.optimisers import Momentum
from triscope.what.optimisation.parametrisation import Pixels
from triscope.what.optimisation.spec import AscentSpec, steady
from triscope.what.optimisation.transforms import Jitter
from triscope.what.picture import SynthesisedImage


@dataclass(frozen=True)
class DreamViews:
    """The random views of the photo.

    octaves       how many sizes, from coarse to fine
    jitter        how far views are shifted, as a part of the side
    """

    octaves: Annotated[int, Range(1, 12)] = 4
    jitter: Annotated[float, Range(0, 0.5)] = 0.05


@method("what")
def dream(
    network: NetworkArg,
    images: WholeImagesArg,
    objective: ObjectiveArg | None = None,
    layer: LayerArg | None = None,
    *,
    size: Annotated[int, Range(16, 8192)] = 448,
    steps: Steps = 80,
    views: Annotated[DreamViews, Group()] = DreamViews(),
    rate: Annotated[float, Range(0, 1)] = 0.006,
    seed: Seed = 0,
    checkpoint: Checkpoint = None,
) -> Generator[Step[SynthesisedImage]]:
    """DeepDream: a photo changed step by step to increase the activations of a layer or unit (Mordvintsev et al.,
    2015).

    Values (B, C, H, W) in [0, 1]. Without a layer and a unit, a layer two thirds of the way to the output is used.

    size          longer side of the image, in pixels
    steps         number of steps, over all octaves
    rate          how far a pixel moves in the first step, for values in [0, 1]
    seed          random seed of the shifts
    checkpoint    save the job to this file, and resume from it if it exists
    """
    asked = _asked(network, objective, layer)
    height, width = images.images.shape[-2:]
    factor = size / max(height, width)
    photo = resize(images.images, (max(1, round(height * factor)), max(1, round(width * factor))))
    octaves, jitter = views.octaves, views.jitter
    plan = AscentSpec(
        network, asked, Pixels(photo.shape[-2], photo.shape[-1], network.channels),
        transforms=(Jitter(max(1, round(jitter * min(photo.shape[-2:])))),) if jitter else (),
        optimiser=partial(Momentum, rate, 0.5, normalise_each_step=True),
        pace=steady, steps=steps, octaves=octaves, restore_detail=True,
        seed=seed, checkpoint=Path(checkpoint) if checkpoint else None,
        options={"images": [one.name for one in images.sources], "size": size, "rate": rate, "jitter": jitter},
    )  # fmt: skip
    yield from optimise(plan, photo)


def _asked(network: Network, objective: Objective | None, layer: str | None) -> Objective:
    if objective is not None and layer is not None:
        raise OptionError("dream takes either a unit or a layer; both were given.")
    if objective is not None:
        return objective
    if layer is None:
        maps = [name for name, found in network.layers.items() if found.grid and min(found.grid) > 1]
        layer = maps[len(maps) * 2 // 3] if maps else next(iter(network.layers))
    return Energy(layer).bind(network)
