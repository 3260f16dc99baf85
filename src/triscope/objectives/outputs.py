"""Tasks: what the output of a network is.

classes         one logit per class, exactly one of which is right: the probabilities are their softmax
probabilities   one probability per class: no softmax is applied
binary          one logit: the probability of yes is its sigmoid
labels          one logit per label, any number of which may be right: the probabilities are their sigmoids
embedding       a vector whose entries are not classes
number          one number per image, without further meaning
maps            (K, H, W): a score per class at each position
boxes           (N, 4 + K): corners and a score per class for each of N boxes, see `detection.detections`
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn import functional as F

Task: TypeAlias = Literal["classes", "probabilities", "binary", "labels", "embedding", "number", "maps", "boxes"]

_SMALLEST = 1e-12  # below which a probability is clamped before the logarithm
_TOLERANCE = 1e-3  # of a sum of probabilities; enough for half precision


def log_probabilities(output: Tensor, task: Task) -> Tensor:
    """The log-probabilities of an output (B, K) of that task: (B, K)."""
    if task == "probabilities":
        return output.clamp_min(_SMALLEST).log()
    if task in ("binary", "labels"):
        return F.logsigmoid(output)
    return output.log_softmax(1)


def guess_task(shape: tuple[int, ...], outputs: Sequence[Tensor]) -> Task:
    """The task of a network whose output for one image has this shape; `outputs` (B, K) are examples.

    "probabilities" if all examples are non-negative and sum to 1, else "classes" for vectors.
    """
    if len(shape) >= 2:
        return "maps"
    if shape == (1,):
        return "number"
    if outputs and all(_sum_to_one(output) for output in outputs):
        return "probabilities"
    return "classes"


def _sum_to_one(output: Tensor) -> bool:
    return bool((output >= 0).all()) and bool(((output.double().sum(1) - 1).abs() < _TOLERANCE).all())
