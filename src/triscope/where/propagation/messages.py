"""What operations without weights send back in relevance propagation.

Two kinds of messages travel. Behind the first layer with weights, c = R / activation: there most operations send back
their gradient, which passes c * y to the inputs of y. Before it, where tensors are still the image in some order and
some units, relevance R itself: a normalisation passes it on unchanged.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triscope.autograd import applied
from triscope.network.backward_rules import Call
from triscope.where.propagation.layer_rules import LAYER_FUNCTIONS

#: Where |x| is below it, y / x need not be exact: it is multiplied with x.
_TINY = 1e-12

# Graph nodes that only reshape a tensor, as autograd names them.
_VIEWS = ("View", "UnsafeView", "ReshapeAlias", "Unsqueeze", "Squeeze", "Expand", "Permute", "Transpose", "Clone", "T")


class _Entered(torch.autograd.Function):
    """The image, where an operation that is no first layer reads it: c becomes relevance, x * c."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> Tensor:
        saved: tuple[Tensor] = ctx.saved_tensors
        return messages[0] * saved[0]


class _Unchanged(torch.autograd.Function):
    """The call; relevance unchanged."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call) -> Tensor:
        ctx.shape = x.shape
        if call.in_place:
            ctx.mark_dirty(x)
        output: Tensor = call.plain()
        return output

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        return messages[0].sum_to_size(ctx.shape), None


class _Multiplied(torch.autograd.Function):
    """The call of an elementwise function; c times a factor (x, y) -> factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, call: Call, factor: Callable[[Tensor, Tensor], Tensor], gate: bool) -> Tensor:
        before = x.clone() if call.in_place else x
        y: Tensor = call.plain()
        ctx.save_for_backward(factor(before, y))
        ctx.gate = gate
        if call.in_place:
            ctx.mark_dirty(x)
        return y

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = ctx.saved_tensors
        return messages[0] * factor, None, None, None


class _Valued(torch.autograd.Function):
    """The value of one tensor, the gradient of another."""

    @staticmethod
    def forward(ctx: Any, sender: Tensor, value: Tensor) -> Tensor:
        del ctx, sender
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        del ctx
        return messages[0], None


_BEHIND = (*LAYER_FUNCTIONS, _Entered)


def of_the_image(tensor: Tensor) -> bool:
    """Whether a tensor that gradients flow through is the image, in whatever order and units.

    It is read from the graph: a tensor behind a layer has a node of that layer on each path back to the image.
    """
    waiting, seen = [tensor.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if getattr(node, "_forward_cls", None) in _BEHIND:
            return False
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
    return True


def entered(tensor: Tensor) -> Tensor:
    """The tensor, as one that receives c: at the image c becomes x * c."""
    return applied(_Entered, tensor) if tensor.requires_grad and of_the_image(tensor) else tensor


def unchanged(call: Call, x: Tensor) -> Tensor:
    """The call, which passes the relevance of its output to `x` unchanged."""
    return applied(_Unchanged, x, call)


def multiplied(call: Call, factor: Callable[[Tensor, Tensor], Tensor], *, gate: bool = False) -> Tensor:
    """The call of an elementwise function of its first argument, which sends back c times factor(x, y)."""
    return applied(_Multiplied, call.subject, call, factor, gate)


def identity(call: Call, *, gate: bool = False) -> Tensor:
    """The call of an elementwise function, which passes the relevance of y to x: c * y / x."""
    return multiplied(call, _quotient, gate=gate)


def valued(sender: Tensor, value: Tensor) -> Tensor:
    """`value`, which sends back what `sender` would."""
    return applied(_Valued, sender, value)


def weakened(tensor: Tensor, factor: float) -> Tensor:
    """The tensor, whose message is multiplied by `factor` in the backward pass."""
    if factor != 1 and tensor.requires_grad:
        tensor.register_hook(lambda message: message * factor)
    return tensor


def is_gate(tensor: Tensor) -> bool:
    """Whether a tensor is what a sigmoid gave, in whatever shape."""
    node: Any = tensor.grad_fn
    while node is not None and type(node).__name__.startswith(_VIEWS) and len(node.next_functions) == 1:
        node = node.next_functions[0][0]
    return bool(getattr(node, "gate", False))


def _quotient(x: Tensor, y: Tensor) -> Tensor:
    return y / (x + torch.copysign(x.new_tensor(_TINY), x))
