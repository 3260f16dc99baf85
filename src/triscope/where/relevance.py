"""Layer-wise relevance propagation (LRP): the score distributed, layer by layer, over the inputs of each layer.

    R_i = sum_j (share of i in what made j) * R_j         from R = score at the unit down to the pixels

A layer's rule says what counts as a share (`triscope.where.propagation.layer_rules`), and a composite gives each kind
of layer its rule. Attention, normalisations, activations and products follow AttnLRP
(`triscope.where.propagation.operations`).

**When it misleads.** Rules are chosen because maps look right, and another composite gives another map of the same
network. z+ follows only what raises a unit: its maps depend little on the class asked, and less the deeper the network
(Sixt et al., 2020). The share of biases is given to no pixel.

**References.** S. Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation", PLOS ONE 2015. G. Montavon et al., "Layer-wise relevance propagation: an overview", 2019. M. Kohlbrenner
et al., "Towards best practice in explaining neural network decisions with LRP", IJCNN 2020 (composites). R. Achtibat et
al., "AttnLRP: attention-aware layer-wise relevance propagation for transformers", ICML 2024.

**Differences from the paper.** Rules are given to operations and not to modules, so that functional and shared ones are
right. Where nothing is divided - sums, pooling, products of matrices - there is no stabilizer.
"""

from collections import Counter
from typing import Annotated, Literal

from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, Range, method
from triscope.network.backward_rules import NonlinearityCount
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.gradient import gradient_of, heatmap
from triscope.where.propagation.composites import CompositeName, FirstName, named
from triscope.where.propagation.relevance_rule import UNFOLDED, RelevanceRule


@method("where")
def relevance(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    composite: CompositeName = "epsilon-plus-flat",
    first: FirstName | None = None,
    epsilon: Annotated[float, Range(0, 1e6)] = 1e-6,
    gamma: Annotated[float, Range(0, 1e6)] = 0.25,
    channels: Literal["sum", "keep"] = "sum",
) -> Heatmap:
    """What each pixel contributes to the score, found by passing the score back layer by layer (LRP; Bach et al.,
    2015).

    Values (B, 1, H, W), signed, in units of the score, or (B, C, H, W) with `channels="keep"`. For a class, use its
    logit: the relevances of a probability do not sum to it. Raises NetworkError if there is no layer with weights
    between the unit and the image.

    composite   the set of rules for convolutions, dense layers and the first layer
    first       another rule for the first layer; same is the rule of the other layers of its type
    epsilon     epsilon of the epsilon rule, in units of a layer's output: a larger value suppresses weak outputs
    gamma       gamma of the gamma rule: extra weight of contributions that have the sign of the output
    channels    sum over the colour channels, or keep them separate
    """
    rule = RelevanceRule(named(composite, first, epsilon=epsilon, gamma=gamma))
    found = gradient_of(network, images, objective, rule=rule)
    values = found.values if channels == "keep" else found.values.sum(1, keepdim=True)
    return heatmap(network, found, values, _notes(found.tally or NonlinearityCount()))


def _notes(tally: NonlinearityCount) -> tuple[str, ...]:
    """What a reader should know of how relevance was propagated."""
    others = Counter(tally.others)
    unfolded = others.pop(UNFOLDED, 0)
    notes = []
    if unfolded:
        notes.append(
            f"Batch norms that follow no layer with weights, and could not be folded into one: {unfolded}. Their "
            "shifts take a share of the relevance."
        )
    if others:
        notes.append(
            f"Operations that no rule is known for: {NonlinearityCount(others=others).sentence()}. Relevance passed "
            "through them by their gradient."
        )
    return tuple(notes)
