"""The gradient of a question, and what is read off it directly.

    saliency            max over colours of |d score / d pixel|
    input x gradient    pixel * d score / d pixel

**When it misleads.** A gradient says what a small change would do, not what the score is made of: where a unit is
saturated the gradient vanishes although the evidence is there. Saliency of a deep network is noisy, and the noise is
the network's own. Input x gradient gives nothing to a pixel that is black, whatever it means.

**References.** K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image
classification models and saliency maps", ICLR workshop 2014. A. Shrikumar et al., "Not just a black box", 2016 (input x
gradient).

**Where ours departs.** Pixels are taken before normalisation, in [0, 1], so the gradient is divided by the network's
`std` once; the maximum runs over colours of the same unit.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from triscope.errors import NetworkError, TriscopeWarning
from triscope.methods import method
from triscope.network import Fit, Images, Network, Seen
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
    seen: Seen
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


@method("where")
def saliency(
    network: Network,
    images: Images,
    objective: Question = None,
    *,
    channels: Literal["max", "sum", "signed"] = "max",
    fit: Fit = "crop",
) -> Heatmap:
    """How much a small change of each pixel would change the score (Simonyan et al., 2014).

    Values (B, 1, H, W), per unit of pixel value in [0, 1]. Without an objective, each image's own top class is asked.

    channels    how the colours become one number: max of |gradient| (the paper's), sum of |gradient|, or the signed sum
    fit         crop (the network's own preprocessing), pad (all of the picture, on grey) or keep (its own size)
    """
    found = gradient(network, images, objective)
    values = found.values
    if channels != "signed":
        values = values.abs_()  # in place: nobody else holds this gradient
    values = values.amax(1, keepdim=True) if channels == "max" else values.sum(1, keepdim=True)
    return heatmap(network, found, values)


@method("where")
def input_x_gradient(
    network: Network,
    images: Images,
    objective: Question = None,
    *,
    channels: Literal["sum", "keep"] = "sum",
    fit: Fit = "crop",
) -> Heatmap:
    """Each pixel times its gradient: what it adds to the score, were the network linear (Shrikumar et al., 2016).

    Values (B, 1, H, W), signed, or (B, C, H, W) with `channels="keep"`. For a network of linear parts and ReLUs, with
    no biases and no mean taken from the image, they sum to the score.

    channels    sum over the colours, or keep them apart
    fit         crop (the network's own preprocessing), pad (all of the picture, on grey) or keep (its own size)
    """
    found = gradient(network, images, objective)
    values = found.values * found.activations
    return heatmap(network, found, values.sum(1, keepdim=True) if channels == "sum" else values)


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
