"""Backward rules for ReLUs.

The gradient at the input, for the input x and the gradient g at the output:

    gradient        g * [x > 0]
    deconvnet       g * [g > 0]             Zeiler and Fergus, 2014
    guided          g * [x > 0] * [g > 0]   Springenberg et al., 2015
    redirected      g * [x > 0] + 0.01 * g * [x <= 0] * [g > 0]

The last is for gradient ascent from an image at which the gradient is zero, since all units on the way are inactive:
inactive units pass on a hundredth of the positive part of g, so that there is a direction in which they may become
active. It is similar to the redirected ReLU of Lucid (C. Olah et al., "Feature visualization", 2017).

The rules apply to every form of ReLU: module, in-place, functional, method, one module used twice, ReLU6 and clamps at
zero.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.autograd import applied
from triscope.errors import NetworkError
from triscope.network.backward_rules.rule import Call, Function, NonlinearityCount

# Small, so that active units determine the direction of the gradient where there are any.
_LEAK = 0.01


class _Rectifier(torch.autograd.Function):
    """clamp(x, 0, top) in the forward pass, the rule in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float | None, inplace: bool, masked: bool, redirected: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(x)
        output = torch.clamp_(x, 0, top) if inplace else torch.clamp(x, 0, top)
        ctx.top, ctx.masked, ctx.redirected = top, masked, redirected
        if masked or redirected:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        if not (ctx.masked or ctx.redirected):
            return grads[0].clamp_min(0), None, None, None, None
        (output,) = ctx.saved_tensors
        if ctx.redirected:
            message = grads[0].where(output > 0, _LEAK * grads[0].clamp_min(0))
        else:
            message = torch.ops.aten.threshold_backward(grads[0], output, 0).clamp_min_(0)
        if ctx.top is not None:
            message = message * (output < ctx.top)
        return message, None, None, None, None


@dataclass(frozen=True)
class ReLURule:
    """A backward rule for ReLUs.

    name        the rule's name in messages
    masked      multiply by [x > 0], as guided backprop does
    redirected  pass on a small part of positive gradients at inactive units
    """

    name: str
    masked: bool
    redirected: bool = False

    def apply(self, call: Call, tally: NonlinearityCount) -> Any:
        """The result of a call: a ReLU with the rule's gradient, other functions with their own. Both are counted."""
        read = _RELUS.get(call.function)
        relu = read(*call.args, **call.kwargs) if read else None
        if relu is None:
            if call.function in _OTHERS:
                tally.others[_OTHERS[call.function]] += 1
            return call.plain()
        tally.followed["ReLU"] += 1
        return applied(_Rectifier, relu.x, relu.top, relu.inplace, self.masked, self.redirected)

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError if the pass has no ReLU."""
        if not tally.followed:
            others = f" (it has {tally.sentence()})" if tally.others else ""
            raise NetworkError(
                f"{self.name} changes the gradients of ReLUs, and {network} has none before this unit{others}. "
                "Use saliency or input-x-gradient instead."
            )


GUIDED = ReLURule("guided backprop", masked=True)
DECONVNET = ReLURule("deconvnet", masked=False)
REDIRECTED = ReLURule("redirected gradient", masked=False, redirected=True)


@dataclass(frozen=True)
class _ReLU:
    """A call of any form of ReLU: clamp(x, 0, top)."""

    x: Tensor
    top: float | None = None
    inplace: bool = False


def _relu(input: Tensor, inplace: bool = False) -> _ReLU:
    return _ReLU(input, None, inplace)


def _relu_(input: Tensor) -> _ReLU:
    return _ReLU(input, None, inplace=True)


def _relu6(input: Tensor, inplace: bool = False) -> _ReLU:
    return _ReLU(input, 6.0, inplace)


def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> _ReLU | None:
    return _ReLU(input, float(max_val), inplace) if min_val == 0 else None


def _threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> _ReLU | None:
    return _ReLU(input, None, inplace) if threshold == 0 and value == 0 else None


def _clamp(inplace: bool) -> Function:
    def read(input: Tensor, min: Any = None, max: Any = None, **_: Any) -> _ReLU | None:
        zero = isinstance(min, int | float) and min == 0
        if not zero or isinstance(max, Tensor):
            return None
        return _ReLU(input, None if max is None else float(max), inplace)

    return read


_RELUS: dict[Function, Function] = {
    **dict.fromkeys([F.relu, torch.relu, torch.Tensor.relu], _relu),
    **dict.fromkeys([torch.relu_, torch.Tensor.relu_, F.relu_], _relu_),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    F.threshold: _threshold,
    **dict.fromkeys(
        [torch.clamp, torch.Tensor.clamp, torch.clamp_min, torch.Tensor.clamp_min, torch.clip, torch.Tensor.clip],
        _clamp(False),
    ),
    **dict.fromkeys(
        [torch.clamp_, torch.Tensor.clamp_, torch.clamp_min_, torch.Tensor.clamp_min_, torch.clip_, torch.Tensor.clip_],
        _clamp(True),
    ),
}

_OTHERS: dict[Function, str] = {
    function: name
    for name in (
        "gelu",
        "silu",
        "mish",
        "elu",
        "celu",
        "selu",
        "leaky_relu",
        "rrelu",
        "prelu",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "tanh",
        "softplus",
        "softsign",
        "logsigmoid",
        "glu",
    )
    for module in (F, torch, torch.Tensor)
    if (function := getattr(module, name, None)) is not None
}
