"""Guided backprop and deconvnet: the gradient, with a different message sent back at every ReLU.

    gradient            g * [x > 0]
    deconvnet           g * [g > 0]
    guided backprop     g * [x > 0] * [g > 0]

Only positive contributions are passed back, so the map is sharp: the pattern in this image that the unit responds to.

**When it misleads.** Both sharpen edges and depend little on the class asked (Adebayo et al., "Sanity checks for
saliency maps", 2018; Nie et al., 2018): for a class, they show what is in the image rather than why it has this class.
They say most about one neuron of a middle layer.

**References.** M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014. J. Springenberg
et al., "Striving for simplicity: the all convolutional net", ICLR workshop 2015.

**Differences from the paper.** Zeiler and Fergus also unpool through the recorded switches and transpose the filters;
that is what the gradient of max pooling and convolution does. Nonlinearities that are not ReLUs send back their plain
gradient, and the result says how many there are.
"""

from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, method
from triscope.network import ImageBatch, Network
from triscope.network.backward_rules import DECONVNET, GUIDED, Rule
from triscope.objectives.base import Objective
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.gradient import gradient_of, heatmap


@method("where")
def guided_backprop(network: NetworkArg, images: ImagesArg, objective: ObjectiveArg = TOP_CLASS) -> Heatmap:
    """The pattern in the image that activates a unit: ReLUs pass back only positive gradients, and only where they were
    active (Springenberg et al., 2015).

    Values (B, 3, H, W), signed, in colour. Raises NetworkError if there is no ReLU between the unit and the image.

    """
    return _rectified(network, images, objective, GUIDED)


@method("where")
def deconvnet(network: NetworkArg, images: ImagesArg, objective: ObjectiveArg = TOP_CLASS) -> Heatmap:
    """A unit's activation projected back to the pixels: ReLUs pass back only positive gradients (Zeiler and Fergus,
    2014).

    Values (B, 3, H, W), signed, in colour. Raises NetworkError if there is no ReLU between the unit and the image.

    """
    return _rectified(network, images, objective, DECONVNET)


def _rectified(network: Network, images: ImageBatch, objective: Objective, rule: Rule) -> Heatmap:
    found = gradient_of(network, images, objective, rule=rule)
    mixed = found.tally is not None and found.tally.others
    notes = (
        (f"Nonlinearities met: {found.tally.sentence()}; only ReLUs follow the rule.",) if mixed and found.tally else ()
    )
    return heatmap(network, found, found.values, notes)
