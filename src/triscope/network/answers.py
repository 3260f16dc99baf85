"""The output of a network: its shape and task, the number of classes, their probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network.interface import NoOutput
from triscope.objectives.detection import SIDES
from triscope.objectives.outputs import Task, guess_task, log_probabilities

if TYPE_CHECKING:
    from triscope.network.network import Network


@dataclass(frozen=True)
class Answer:
    """The output of a network, as found by the pass that finds its layers.

    shape       that of the output for one image; None if there is no usable output
    task        what the output is, as far as that is certain (see `triscope.objectives.outputs`)
    why         the reason, if there is no usable output
    """

    shape: tuple[int, ...] | None
    task: Task
    why: str = "it gives no tensor"

    @classmethod
    def of(cls, twin: nn.Module, shape: tuple[int, ...] | None, outputs: Sequence[object]) -> "Answer":
        """From the `outputs` of passes of `twin`, whose output has `shape` for one image."""
        why = next((output.why for output in outputs if isinstance(output, NoOutput)), cls.why)
        if getattr(twin, "num_classes", None) == 0 and shape and len(shape) == 1:  # timm's mark of a removed head
            return cls(shape, "embedding", why)
        rows = [one for one in outputs if isinstance(one, Tensor) and one.ndim == 2 and one.shape[1:] == shape]
        return cls(shape, guess_task(shape or (), rows), why)

    def require_same(self, output: Tensor, network: str) -> None:
        """Raise NetworkError if an output (B, K) has another length than in the pass that found the layers."""
        if self.shape and len(self.shape) == 1 and output.ndim == 2 and output.shape[1:] != self.shape:
            raise NetworkError(
                f"{network} gives {self.shape[0]} numbers for each of two images, and {output.shape[1]} for each of "
                f"{len(output)}, so they do not belong to single images. Use an inner unit, LAYER:CHANNEL."
            )


def classes_of(network: "Network", answer: Answer) -> int:
    """The number of classes of an image. Raises NetworkError if the output is not one score per class."""
    if network.missing:
        raise NetworkError(
            f"The classifier of {network.name} is missing from its weights ({', '.join(sorted(network.missing))}), so "
            "it has no scores of classes. Use an inner unit, such as LAYER:CHANNEL, or give complete weights."
        )
    if answer.shape is None:
        raise NetworkError(f"{network.name} has no scores of classes: {answer.why}. Use an inner unit, LAYER:CHANNEL.")
    if len(answer.shape) != 1:
        boxes = network.task == "boxes"
        unit = "box:15@TOP,LEFT,BOTTOM,RIGHT" if boxes else "output:15, output:15@predicted or output:15@10,20"
        raise NetworkError(
            f"{network.name} gives {' x '.join(map(str, answer.shape))} numbers for an image, not one score per class: "
            f"use a unit of its output, such as {unit}, or an inner unit, LAYER:CHANNEL."
        )
    return answer.shape[0]


def count_classes(network: "Network", answer: Answer) -> int:
    """The number of classes of an image, a position of the output or a box. Raises NetworkError if there are none."""
    shape = answer.shape or ()
    if len(shape) == 3 and network.task == "maps" and not network.missing:
        return shape[0]
    if len(shape) == 2 and network.task == "boxes" and not network.missing:
        return shape[1] - SIDES
    return classes_of(network, answer)


def probabilities(network: "Network", output: Tensor) -> Tensor:
    """The probabilities for an output (B, K): (B, K). Raises NetworkError if it is an embedding or a number."""
    if network.task in ("embedding", "number"):
        what = "an embedding" if network.task == "embedding" else "one number"
        raise NetworkError(
            f"{network.name} gives {what} for an image, and no probabilities. If its outputs are scores, state it: "
            'Network(..., task="classes"), "binary" or "labels".'
        )
    return output.softmax(1) if network.task == "classes" else log_probabilities(output, network.task).exp()
