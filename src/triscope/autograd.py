"""What PyTorch publishes without a type."""

from typing import Any

from torch import Tensor
from torch.autograd import Function


def applied(function: type[Function], *arguments: Any) -> Tensor:
    """The output of a function with one output tensor, `function.apply`."""
    output: Tensor = function.apply(*arguments)
    return output
