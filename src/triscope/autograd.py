"""Functions of torch.autograd that PyTorch publishes without types."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd import Function


def applied(function: type[Function], *arguments: Any) -> Tensor:
    """The output of a function with one output tensor, `function.apply`."""
    output: Tensor = function.apply(*arguments)
    return output


def on_gradient(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> None:
    """Call `hook` with the gradient of `tensor`; what it returns, unless None, replaces the gradient."""
    tensor.register_hook(hook)
