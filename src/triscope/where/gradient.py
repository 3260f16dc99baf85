"""The gradient of an objective, from which all methods of WHERE by backpropagation are made."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from triscope.errors import TriscopeWarning
from triscope.network import Fit, ImageBatch, Images, Network
from triscope.network.backward_rules import NonlinearityCount, Rule, gradient_following
from triscope.network.cut_gradients import differentiating, no_gradient
from triscope.objectives.base import Need, Objective
from triscope.objectives.parsing import ObjectiveLike, resolve
from triscope.results import Heatmap
from triscope.where.target import in_words, require_dependence, with_gradients


@dataclass(frozen=True, eq=False)
class Gradient:
    """`values`, the gradient of the score at a layer, and `activations` there: both (B, C, h, w) or (B, D).

    `scores` (B,) are those of `objective`, which has its top class determined, on the images `seen`. `tally` counts the
    calls that a backward rule met, if one was used.
    """

    values: Tensor
    activations: Tensor
    scores: Tensor
    objective: Objective
    seen: ImageBatch
    tally: NonlinearityCount | None = None


def gradient(
    network: Network,
    images: Images,
    objective: ObjectiveLike = None,
    *,
    at: str = "input",
    rule: Rule | None = None,
    fit: Fit = "crop",
) -> Gradient:
    """The gradient of `objective` at the image, or at layer `at`, for each image by itself.

    Without an objective, each image's top class is used. Raises NetworkError where the objective does not depend
    on `at`, and warns (TriscopeWarning) where the gradient is zero everywhere.
    """
    return gradient_of(network, network.prepare(images, fit), resolve(objective, network), at=at, rule=rule)


def gradient_of(
    network: Network, seen: ImageBatch, asked: Objective, *, at: str = "input", rule: Rule | None = None
) -> Gradient:
    """The same for prepared images and an objective that is bound to the network."""
    with with_gradients(network.device):
        look = network.look(seen.images, asked.needs, leaf=at, rule=rule)
        scores = asked(look)
        require_dependence(scores, asked, at, network)
        if rule and look.tally:
            look.tally.meet_functions_behind(scores)
            if "CheckpointFunction" in look.tally.others:  # reentrant checkpoints do not support torch.autograd.grad
                raise no_gradient(network, asked, at)
            rule.check(look.tally, network.name)
        with differentiating(network, asked, at):
            if rule and look.tally:
                values = gradient_following(rule, scores, look.leaves[at])
            else:
                (values,) = torch.autograd.grad(scores.sum(), look.leaves[at])
    low, high = values.aminmax()  # any() takes four times as long
    if low == high == 0:
        warnings.warn(
            f"The gradient of {asked.resolve(look)} at {at} of {network.name} is zero everywhere: the unit is silent "
            "or saturated here, or its weights are zero.",
            TriscopeWarning,
            stacklevel=3,
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
