"""Gradient ascent, or activation maximisation: the image that activates a unit most.

    x* = argmax over x of  score(x) - priors(x)

The image is optimised by the loop in `triscope.what.optimisation.ascent`. What keeps it natural - the
parametrisation, random views, priors - is in `triscope.what.optimisation.regularisers`, by name, and each part can be
switched by itself; `regularisers` shows them side by side.

**When it misleads.** It shows one optimum out of very many, drawn by the regulariser as much as by the network: colours
and repetition are the method's own. A unit that responds to several things shows a mixture, or one of them; `diverse`
shows more. A class's image shows what sets the class apart from the others (the water around a flamingo too), not what
it looks like.

**References.** D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009. K. Simonyan et al., 2014.
J. Yosinski et al., "Understanding neural networks through deep visualization", 2015. A. Mordvintsev et al.,
"Inceptionism", 2015. C. Olah et al., "Feature visualization", Distill 2017.

**Differences from the paper.** Views are mirrored and wrapped rather than padded with grey, so that no frame forms at
the border. Adam's rate falls along half a cosine, which takes the noise out of the last image. The image is optimised
at three sizes, from coarse to fine.
"""

from collections.abc import Generator
from pathlib import Path
from typing import Annotated

from triscope.errors import OptionError
from triscope.methods import Checkpoint, Group, NetworkArg, ObjectiveArg, Offered, Range, Seed, Step, Steps, method
from triscope.network import Network
from triscope.network.variants.precision import Precision, in_precision
from triscope.objectives.base import Objective
from triscope.objectives.statistics import Diversity
from triscope.objectives.units import Logit
from triscope.what.optimisation.ascent import noise, optimise
from triscope.what.optimisation.lbfgs import Lbfgs
from triscope.what.optimisation.named import OPTIMISERS, OptimiserName
from triscope.what.optimisation.optimisers import Adam
from triscope.what.optimisation.regularisers import REGULARISERS, Regulariser, typical
from triscope.what.optimisation.spec import AscentSpec
from triscope.what.optimisation.view_sizes import fitted, octaves_taken
from triscope.what.picture import SynthesisedImage


@method("what")
def ascend(
    network: NetworkArg,
    objective: ObjectiveArg,
    *,
    size: Annotated[int | None, Range(8, 4096)] = None,
    steps: Steps = 256,
    seed: Seed = 0,
    regulariser: Annotated[Regulariser, Group(REGULARISERS)] = REGULARISERS["natural"],
    diverse: Annotated[int, Range(1, 64), Offered(1, 4, 9)] = 1,
    octaves: Annotated[int, Range(1, 8)] = 3,
    optimiser: OptimiserName = "adam",
    precision: Precision = "float32",
    checkpoint: Checkpoint = None,
) -> Generator[Step[SynthesisedImage]]:
    """An image that activates a unit as much as possible: gradient ascent, also called activation maximisation.

    Values (B, C, size, size) in [0, 1]; B is the number of classes (`Logit([1, 22])`), or `diverse`. Raises
    ObjectiveError if the gradient stays zero (a dead unit).

    size          side of the image, in pixels  [default: the network's usual size]
    steps         number of steps
    seed          random seed of the initial noise and of the random views
    regulariser   what keeps the image natural; it sets the defaults of the options from canvas to contribution-clip;
                  natural is fourier with random views and light total variation
    diverse       number of images to make, pushed apart from each other
    octaves       number of image sizes to optimise at, from coarse to fine, each 1.4 times the previous one; fewer
                  where the network takes no smaller images
    optimiser     adam, momentum, or lbfgs (which allows neither random views nor diverse images)
    precision     number format of the steps: float32, bfloat16, or auto (bfloat16 if the processor supports it
                  natively, faster but with larger rounding differences between batches and machines); the final score
                  is always of the network as it is
    """
    asked, parts = objective, regulariser
    reader = in_precision(precision, network)
    sides = (size, size) if size else network.size
    transforms = parts.transforms(min(sides))
    if parts.scale:
        transforms += fitted(reader, asked, sides, parts.scale)
    way = OPTIMISERS[optimiser]
    if way.kind is Lbfgs and transforms:
        raise OptionError(
            "L-BFGS needs the same objective at every step, and random views change it: use adam, or a "
            "regulariser without views (fourier, l2, none)."
        )
    if way.kind is Lbfgs and parts.edits():
        raise OptionError(
            "L-BFGS estimates the curvature from step to step, and blurring and clipping move the image in "
            "between: use adam, or a regulariser without them (fourier, l2, none)."
        )
    if way.kind is Lbfgs and diverse > 1:
        raise OptionError(
            "L-BFGS optimises each image by itself, and the term that pushes several apart depends on all of them: use "
            "adam, or diverse=1 with several seeds."
        )
    drawn = parts.make_canvas(network, sides)
    priors = parts.priors_of(asked, typical(network, asked, sides) if parts.needs_typical else 1.0)
    apart = _apart(network, asked) if diverse > 1 else None
    plan = AscentSpec(
        reader, asked, drawn,
        priors=priors + apart if priors and apart else priors or apart,
        transforms=transforms,
        optimiser=way.maker(parts.rate if way.kind is Adam else None, drawn.confine),
        steps=steps,
        octaves=octaves_taken(reader, asked, sides, transforms, parts.scale, octaves),
        edits=parts.edits(), seed=seed,
        checkpoint=Path(checkpoint) if checkpoint else None,
        options={
            "size": size, **vars(parts), "diverse": diverse, "octaves": octaves, "optimiser": optimiser,
            "precision": precision,
        },
        scorer=None if reader is network else network,
    )  # fmt: skip
    classes = asked.classes if isinstance(asked, Logit) and isinstance(asked.classes, tuple) else (None,)
    yield from optimise(plan, noise(plan, max(diverse, len(classes)), alike=diverse == 1))


def _apart(network: Network, asked: Objective) -> Objective:
    """The diversity term: in the unit's own layer, or for a class in the last layer with maps."""
    own = [need.layer for need in asked.needs if need.layer not in ("input", "output")]
    maps = [name for name, layer in network.layers.items() if layer.grid and min(layer.grid) > 1]
    return typical(network, asked, network.size) * Diversity((own or maps[-1:])[0])
