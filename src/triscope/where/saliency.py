"""The gradient of a score, read directly.

    saliency            max over colours of |d score / d pixel|
    input x gradient    pixel * d score / d pixel

**When it misleads.** A gradient says what a small change would do, not what the score is made of: where a unit is
saturated the gradient vanishes although the evidence is there. Saliency of a deep network is noisy, since the
network's gradient is. Input x gradient is zero at black pixels, however much they matter.

**References.** K. Simonyan, A. Vedaldi, A. Zisserman, "Deep inside convolutional networks: visualising image
classification models and saliency maps", ICLR workshop 2014. A. Shrikumar et al., "Not just a black box", 2016 (input x
gradient).

**Differences from the paper.** Pixels are taken before normalisation, in [0, 1], so the gradient is divided by the
network's `std` once; the maximum runs over colours of the same unit.
"""

from typing import Literal

from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, method
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.gradient import gradient_of, heatmap


@method("where")
def saliency(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    channels: Literal["max", "sum", "signed"] = "max",
) -> Heatmap:
    """How much a small change of each pixel would change the score (Simonyan et al., 2014).

    Values (B, 1, H, W), per unit of pixel value in [0, 1]. Without an objective, each image's top class is used.

    channels    how the colour channels are combined: max of |gradient| (as in the paper), sum of |gradient|, or the
                signed sum
    """
    found = gradient_of(network, images, objective)
    values = found.values
    if channels != "signed":
        values = values.abs_()  # in place: this gradient is used nowhere else
    values = values.amax(1, keepdim=True) if channels == "max" else values.sum(1, keepdim=True)
    return heatmap(network, found, values)


@method("where")
def input_x_gradient(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    channels: Literal["sum", "keep"] = "sum",
) -> Heatmap:
    """Each pixel times its gradient: its contribution to the score, to first order (Shrikumar et al., 2016).

    Values (B, 1, H, W), signed, or (B, C, H, W) with `channels="keep"`. For a network of linear parts and ReLUs, with
    no biases and no mean taken from the image, they sum to the score.

    channels    sum over the colour channels, or keep them separate
    """
    found = gradient_of(network, images, objective)
    values = found.values * found.activations
    return heatmap(network, found, values.sum(1, keepdim=True) if channels == "sum" else values)
