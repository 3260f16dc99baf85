"""What the numbers are that a network answers with.

classes         one score (logit) per class, of which one is right: softmax gives probabilities
probabilities   probabilities already: not put through a softmax again
binary          one logit: the probability of yes is its sigmoid
labels          one logit per label, any of which may be right: a sigmoid for each
embedding       a vector whose numbers are no classes
number          one number for each image, of which nothing more is known
maps            (K, H, W): a score per class for each position
boxes           (N, 4 + K): corners and a score per class for each of N boxes, as `detection.detections` makes them
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn import functional as F

Task: TypeAlias = Literal["classes", "probabilities", "binary", "labels", "embedding", "number", "maps", "boxes"]

_SMALLEST = 1e-12
_EXACT = 1e-3  # what sums to 1 in half precision, too


def log_probabilities(output: Tensor, task: Task) -> Tensor:
    """The logarithms of the probabilities that an output (B, K) stands for: (B, K)."""
    if task == "probabilities":
        return output.clamp_min(_SMALLEST).log()
    if task in ("binary", "labels"):
        return F.logsigmoid(output)
    return output.log_softmax(1)


def guess(shape: tuple[int, ...], outputs: Sequence[Tensor]) -> Task:
    """What outputs of this shape for one image are, as far as that is certain; `outputs` (B, K) are some of them."""
    if len(shape) >= 2:
        return "maps"
    if shape == (1,):
        return "number"
    if outputs and all(_sum_to_one(output) for output in outputs):
        return "probabilities"
    return "classes"


def _sum_to_one(output: Tensor) -> bool:
    return bool((output >= 0).all()) and bool(((output.double().sum(1) - 1).abs() < _EXACT).all())
