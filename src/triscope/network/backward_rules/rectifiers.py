"""Rules for ReLUs: what one sends back instead of its gradient.

    gradient        g * [x > 0]
    deconvnet       g * [g > 0]             Zeiler and Fergus, 2014: the ReLU applied to the message going back
    guided          g * [x > 0] * [g > 0]   Springenberg et al., 2015: both
    waking          g * [x > 0] + 0.01 * g * [x <= 0] * [g > 0]    silent units are told where to wake up; for ascent

Every form of ReLU follows: module, in-place, functional, method, one module used twice, ReLU6 and clamps at zero.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.autograd import applied
from triscope.errors import NetworkError
from triscope.network.backward_rules.rule import Call, Function, NonlinearityCount

# Little, so that what active units say decides the direction: at full strength silent units drown it.
_LEAK = 0.01


class _Rectifier(torch.autograd.Function):
    """clamp(x, 0, top) forward; the rule backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float | None, inplace: bool, masked: bool, waking: bool) -> Tensor:
        if inplace:
            ctx.mark_dirty(x)
        output = torch.clamp_(x, 0, top) if inplace else torch.clamp(x, 0, top)
        ctx.top, ctx.masked, ctx.waking = top, masked, waking
        if masked or waking:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        if not (ctx.masked or ctx.waking):
            return grads[0].clamp_min(0), None, None, None, None
        (output,) = ctx.saved_tensors
        if ctx.waking:
            message = grads[0].where(output > 0, _LEAK * grads[0].clamp_min(0))
        else:
            message = torch.ops.aten.threshold_backward(grads[0], output, 0).clamp_min_(0)
        if ctx.top is not None:
            message = message * (output < ctx.top)
        return message, None, None, None, None


@dataclass(frozen=True)
class ReLURule:
    """What a ReLU sends back.

    `masked`: also silent where the unit was. `waking`: the gradient, and at silent units a little of what would raise
    them.
    """

    name: str
    masked: bool
    waking: bool = False

    def answer(self, call: Call, tally: NonlinearityCount) -> Any:
        """A ReLU follows the rule; everything else keeps its gradient, and other nonlinearities are counted."""
        read = _RELUS.get(call.function)
        relu = read(*call.args, **call.kwargs) if read else None
        if relu is None:
            if call.function in _OTHERS:
                tally.others[_OTHERS[call.function]] += 1
            return call.plain()
        tally.followed["ReLU"] += 1
        return applied(_Rectifier, relu.x, relu.top, relu.inplace, self.masked, self.waking)

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError where no ReLU was met."""
        if not tally.followed:
            met = f" (it has {tally.sentence()})" if tally.others else ""
            raise NetworkError(
                f"{self.name} changes what ReLUs send back, and {network} has none on the way to this unit{met}. "
                "Use saliency or input-x-gradient instead."
            )


GUIDED = ReLURule("guided backprop", masked=True)
DECONVNET = ReLURule("deconvnet", masked=False)
WAKING = ReLURule("waking", masked=False, waking=True)


@dataclass(frozen=True)
class _ReLU:
    """One call of a ReLU, whatever its form."""

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
