"""Methods of WHERE by name: those that make a heatmap of an image and an objective."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from triscope.errors import OptionError, nearest
from triscope.methods import Method, methods_of
from triscope.network import ImageBatch, Network
from triscope.objectives.base import Objective
from triscope.results import Heatmap
from triscope.where.target import kept_answers

#: The methods that are shown, compared and judged by default: one or two of each family.
USUAL_METHODS = (
    *("saliency", "guided_backprop", "smooth_grad", "integrated_gradients"),
    *("deep_lift", "relevance", "grad_cam", "occlusion"),
)

_KEPT: ContextVar[list[tuple[tuple[Any, ...], ImageBatch, Heatmap]] | None] = ContextVar("kept", default=None)


@contextmanager
def kept_maps() -> Iterator[None]:
    """Within, `map_of` makes no map twice: for a comparison and a judgement of the same images, one after the other."""
    token = _KEPT.set([])
    try:
        with kept_answers():
            yield
    finally:
        _KEPT.reset(token)


def map_of(verb: Method[Heatmap], network: Network, images: ImageBatch, objective: Objective) -> Heatmap:
    """The map of a method with its default options."""
    kept, asked = _KEPT.get(), (verb.name, network, str(objective))
    for known, seen, heat in kept or ():
        if known == asked and torch.equal(seen.images, images.images):
            return heat
    heat = verb(network, images, objective)
    if kept is not None:
        kept.append((asked, images, heat))
    return heat


def heatmap_methods(names: Sequence[str] | None = None, *, option: str = "methods") -> dict[str, Method[Heatmap]]:
    """The methods of these names, in their order; the eight usual ones where none are named.

    Raises OptionError for any other name; `option` is the option that gave the names.
    """
    known = {verb.name: verb for verb in methods_of("where") if makes_a_heatmap(verb)}
    words = [name.replace("-", "_") for name in names or USUAL_METHODS]
    for name in words:
        if name not in known:
            raise OptionError(
                f"{option} names {name!r}, which makes no heatmap of an image and a unit.{nearest(name, known)} There "
                f"are {', '.join(known)}."
            )
    return {name: known[name] for name in words}


def makes_a_heatmap(verb: Method[Any]) -> bool:
    """Whether the method needs nothing but one network and an image, and takes an objective."""
    required = {name for name, one in verb.inputs.items() if one.required}
    if not (verb.takes("network") and verb.takes("objective")) or verb.inputs["network"].input.many:
        return False
    return required <= {"network", "images"} and issubclass(verb.returns, Heatmap)
