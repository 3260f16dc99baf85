"""Two calls of autograd for which torch declares no types."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd import Function


def applied(function: type[Function], *arguments: Any) -> Tensor:
    """The one output of `function`, with its backward in the graph."""
    output: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call] # torch gives `apply` no types
    return output


def on_gradient(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> None:
    """Call `hook` with the gradient of `tensor`; what it returns, unless None, replaces the gradient."""
    tensor.register_hook(hook)  # type: ignore[no-untyped-call] # torch gives `register_hook` no types
