"""What the numbers of a network's output are: classes, their probabilities, or neither."""

from typing import TYPE_CHECKING

from torch import Tensor

from triscope.errors import NetworkError
from triscope.objectives.detection import SIDES
from triscope.objectives.outputs import Task, guess, log_probabilities

if TYPE_CHECKING:
    from triscope.network.network import Network


def classes_of(network: "Network") -> int:
    """How many classes there are. Raises NetworkError where the network cannot be asked about classes."""
    if network.missing:
        raise NetworkError(
            f"The classifier of {network.name} is missing from its weights ({', '.join(sorted(network.missing))}), so "
            "it cannot be asked about classes. Ask an inner unit, such as LAYER:CHANNEL, or give complete weights."
        )
    layers = network.layers
    shape = layers["output"].shape if "output" in layers else None
    if shape is None:
        why = network.no_output or "it gives no tensor"
        raise NetworkError(f"{network.name} has no scores of classes: {why}. Inner units (LAYER:CHANNEL) can be asked.")
    if len(shape) != 1:
        boxes = network.task == "boxes"
        unit = "box:15@TOP,LEFT,BOTTOM,RIGHT" if boxes else "output:15, output:15@predicted or output:15@10,20"
        raise NetworkError(
            f"{network.name} gives {' x '.join(map(str, shape))} numbers for an image, not one score per class: ask a "
            f"unit of its output, such as {unit}, or an inner unit, LAYER:CHANNEL."
        )
    return shape[0]


def count_classes(network: "Network") -> int:
    """How many classes a picture, a position of the output or a box may be of. Raises NetworkError for none."""
    layers = network.layers
    shape = layers["output"].shape if "output" in layers else ()
    task = network.task
    if task == "maps" and len(shape) == 3 and not network.missing:
        return shape[0]
    if task == "boxes" and len(shape) == 2 and not network.missing:
        return shape[1] - SIDES
    return classes_of(network)


def guessed_task(network: "Network") -> Task:
    """What the numbers are, as far as that is certain by the outputs of the passes that found the layers."""
    layers = network.layers
    shape = layers["output"].shape if "output" in layers else ()
    if getattr(network.module, "num_classes", None) == 0 and len(shape) == 1:  # as timm says that a head was taken off
        return "embedding"
    return guess(shape, [output for output in network.probed if output.shape[1:] == shape])


def probabilities(network: "Network", output: Tensor) -> Tensor:
    """The probabilities that an output (B, K) stands for: (B, K). Raises NetworkError where it stands for none."""
    if network.task in ("embedding", "number"):
        what = "an embedding" if network.task == "embedding" else "one number"
        raise NetworkError(
            f"{network.name} gives {what} for an image, and no probabilities. If its outputs are scores, say so: "
            'Network(..., task="classes"), "binary" or "labels".'
        )
    return output.softmax(1) if network.task == "classes" else log_probabilities(output, network.task).exp()
