"""The gradient of a question: what every method of WHERE that propagates back is made of."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from triscope.errors import NetworkError, TriscopeWarning
from triscope.network import Fit, ImageBatch, Images, Network
from triscope.network.backward_rules import Rule, Tally, gradient_following
from triscope.network.network import no_autocast
from triscope.objectives.base import Need, Objective
from triscope.objectives.parsing import Question, question
from triscope.objectives.units import Logit
from triscope.results import Heatmap


@dataclass(frozen=True, eq=False)
class Gradient:
    """`values`, the gradient of the score at a layer, and `activations` there: both (B, C, h, w) or (B, D).

    `scores` (B,) is the objective's answer, `objective` what was asked in the end, `seen` what of. `tally` counts the
    calls that a backward rule met, where one was followed.
    """

    values: Tensor
    activations: Tensor
    scores: Tensor
    objective: Objective
    seen: ImageBatch
    tally: Tally | None = None


def gradient(
    network: Network,
    images: Images,
    objective: Question = None,
    *,
    at: str = "input",
    rule: Rule | None = None,
    fit: Fit = "crop",
) -> Gradient:
    """The gradient of `objective` at the image, or at layer `at`, for each image by itself.

    Without an objective, each image's own top class is asked. Raises NetworkError where the objective does not depend
    on `at`, and warns (TriscopeWarning) where the gradient is zero everywhere.
    """
    seen = network.prepare(images, fit)
    asked = question(objective).bind(network)
    with _alone(network.device):
        look = network.look(seen.images, asked.needs, leaf=at, rule=rule)
        scores = asked(look)
        if look.leaf is None or not scores.requires_grad:
            raise NetworkError(
                f"{_read(asked)} does not depend on {at} of {network.name}; ask for a layer that comes before it."
            )
        if rule and look.tally:
            look.tally.meet_functions_behind(scores)
            rule.check(look.tally, network.name)
            values = gradient_following(rule, scores, look.leaf)
        else:
            (values,) = torch.autograd.grad(scores.sum(), look.leaf)
    low, high = values.aminmax()  # any() takes four times as long
    if low == high == 0:
        warnings.warn(
            f"The gradient of {asked.resolve(look)} at {at} of {network.name} is zero everywhere: the unit is silent "
            "or saturated here, or its weights are zero.",
            TriscopeWarning,
            stacklevel=2,
        )
    activations = look[Need(at)].detach()
    return Gradient(look.view(at, values), activations, scores.detach(), asked.resolve(look), seen, look.tally)


def heatmap(network: Network, found: Gradient, values: Tensor, notes: tuple[str, ...] = ()) -> Heatmap:
    """The result that a method over a gradient returns."""
    return Heatmap(
        values,
        image=found.seen.images,
        boxes=found.seen.boxes,
        scores=found.scores,
        objective=found.objective,
        asked=in_words(network, found.objective, len(values)),
        notes=notes,
    )


def in_words(network: Network, objective: Objective, count: int) -> tuple[str, ...]:
    """What was asked of each of `count` images, with class names: "tabby", "features.10:42"."""
    each = [objective.of(image) for image in range(count)]
    return tuple(
        network.class_name(int(one.classes)) if isinstance(one, Logit) and isinstance(one.classes, int) else str(one)
        for one in each
    )


@contextmanager
def _alone(device: torch.device) -> Iterator[None]:
    """Gradients on, whatever modes the caller is in; autocast would lower the precision of the way back, too."""
    with torch.inference_mode(mode=False), torch.enable_grad(), no_autocast(device):
        yield


def _read(objective: Objective) -> str:
    return f"{objective} (which reads {', '.join(sorted(need.layer for need in objective.needs))})"
