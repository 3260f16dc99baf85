"""Which sizes of views a network takes: any, multiples of a number of pixels, or its own alone.

A U-Net halves and doubles and needs multiples of 8 or 32, a transformer multiples of its patch, others one size. No
network says so, so it is tried: views that are odd multiples of a number of pixels, and of no larger one, at both ends
of the sizes that views may have.
"""

from collections.abc import Sequence

import torch

from triscope.errors import NetworkError, ObjectiveError
from triscope.network import Network
from triscope.objectives.base import Objective, terms_of
from triscope.objectives.units import Logit, Neuron
from triscope.what.optimisation.spec import octave_size
from triscope.what.optimisation.transforms import Fit, FitMultiple, Transform

_STEPS = (1, 2, 4, 7, 8, 14, 16, 28, 32, 64)


def fitted(network: Network, asked: Objective, size: tuple[int, int], scale: float) -> tuple[Transform, ...]:
    """What makes views of images of `size`, resized by 1 - `scale` to 1 + `scale`, such that the network takes them.

    A position of a map is another part of the image at another size, so an objective on a position keeps the size.
    """
    if _on_a_position(asked):
        return (Fit(*size),)
    for step in [step for step in _STEPS if not (size[0] % step or size[1] % step)]:
        views = dict.fromkeys(_view(size, step, factor, odd) for odd in (1, 0) for factor in (1 - scale, 1 + scale))
        if all(_takes(network, asked, view) for view in views):
            return () if step == 1 else (FitMultiple(step),)
    return (Fit(*size),)


def octaves_taken(
    network: Network,
    asked: Objective,
    size: tuple[int, int],
    views: Sequence[Transform],
    scale: float,
    most: int,
) -> int:
    """How many octaves, at most `most`, an image of `size` can be optimised in: the network takes the images of all
    octaves and their smallest views. `views` are the random views, resized by 1 - `scale` or more.
    """
    if _on_a_position(asked) or any(isinstance(view, Fit) for view in views):
        return 1
    step = next((view.step for view in views if isinstance(view, FitMultiple)), 1)
    for octave in range(1, most):
        coarser = octave_size(size, -octave)
        if not all(_takes(network, asked, one) for one in (coarser, _view(coarser, step, 1 - scale, 0))):
            return octave
    return most


def _on_a_position(asked: Objective) -> bool:
    """Whether an objective is on a position of a map, which is another part of the image at another size."""
    return any(isinstance(term, Neuron) for _, term in terms_of(asked))


def _view(size: tuple[int, int], step: int, factor: float, odd: int) -> tuple[int, int]:
    """The size that is nearest to `factor` times `size` in multiples of `step`; with `odd`, in odd multiples."""
    rows, cols = (max(1, round(side * factor / step)) for side in size)
    return step * (rows + odd * (1 - rows % 2)), step * (cols + odd * (1 - cols % 2))


def _takes(network: Network, asked: Objective, size: tuple[int, int]) -> bool:
    """Whether the objective can be computed on an image of that size."""
    count = len(asked.classes) if isinstance(asked, Logit) and isinstance(asked.classes, tuple) else 1
    grey = torch.full((count, network.channels, *size), 0.5, dtype=network.dtype, device=network.device)
    try:
        with torch.no_grad():
            asked(network.look(grey, asked.needs))
    except (NetworkError, ObjectiveError):
        return False
    return True
