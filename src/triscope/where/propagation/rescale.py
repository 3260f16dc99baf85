"""DeepLIFT's rescale rule as a backward rule: differences from a baseline instead of derivatives.

    elementwise y = f(x)      c * (y - y0) / (x - x0), or c * f'(x) where x is x0
    a product a b             c * (b + b0) / 2 to a, c * (a + a0) / 2 to b
    max pooling               the difference of the maxima, to where each of them was taken
    softmax                   as exponentials, their sum, its logarithm: each of them elementwise or a sum

The index 0 is the baseline, which passes through the network first: the inputs of every call that is not linear are
recorded in order. Normalisations and attention are split into the operations that they are made of. So the multipliers
times the difference of the input sum to the difference of the score, whatever the network.

A. Shrikumar, P. Greenside, A. Kundaje, "Learning important features through propagating activation differences", ICML
2017, section 3.5.1 (rescale rule); products and max pooling as in Lundberg and Lee, "A unified approach to interpreting
model predictions", NeurIPS 2017, and its code.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from triscope.autograd import applied
from triscope.errors import NetworkError
from triscope.network.backward_rules import Call, NonlinearityCount, following
from triscope.network.backward_rules.attention import Attention, open_multi_head
from triscope.where.propagation.messages import multiplied, valued
from triscope.where.propagation.operations import GRADIENT

ELEMENTWISE = frozenset(
    (
        *("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "clip", "threshold", "leaky_relu", "prelu"),
        *("gelu", "silu", "mish", "elu", "celu", "selu", "hardswish", "softplus", "softsign", "tanh", "tanhshrink"),
        *("softshrink", "hardshrink", "logsigmoid", "sigmoid", "hardsigmoid", "expit", "exp", "expm1", "log", "log1p"),
        *("pow", "square", "sqrt", "rsqrt", "reciprocal", "sin", "cos", "erf", "abs"),
    )
)
PRODUCTS = frozenset(("mul", "multiply", "matmul", "bmm", "mm", "mv", "dot", "einsum"))
POOLING = frozenset(f"{kind}max_pool{axes}d" for kind in ("", "adaptive_") for axes in (1, 2, 3))
_LINEAR = frozenset(
    ("linear", "batch_norm", *(f"{kind}{axes}d" for kind in ("conv", "conv_transpose") for axes in (1, 2, 3)))
)
_NOT_LINEAR = frozenset(("relu", "leaky_relu", "prelu", "abs", "softmax", "max", "amax", "min", "amin", "maximum"))


@dataclass(frozen=True)
class Recorded:
    """A call of the forward pass of the baseline: its name and its input tensors."""

    name: str
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class _Differences:
    """What both passes have in common: which calls are recorded, and which are split into others."""

    name = "DeepLIFT"

    def apply(self, call: Call, tally: NonlinearityCount) -> Any:
        """The call's value; split where it is made of other operations."""
        name = call.name
        if name in OPENED and (parts := OPENED[name](call)) is not None:
            with following(self, tally):
                whole = parts()
            if whole is not None:
                return whole
        if name in PRODUCTS and sum(1 for _ in call.tensors()) < 2:
            return call.plain()
        elementwise = name in ELEMENTWISE and isinstance(call.subject, Tensor)
        if elementwise or name in PRODUCTS or name in POOLING or name == "softmax":
            return self.at(call, tally)
        output = call.plain()
        known = name in _LINEAR or (name in GRADIENT and name not in _NOT_LINEAR) or _by_a_constant(call)
        if not known and isinstance(output, Tensor) and output.requires_grad:
            tally.others[name] += 1
        return output

    def at(self, call: Call, tally: NonlinearityCount) -> Any:
        raise NotImplementedError

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Accept a network without such calls: it is linear."""


@dataclass(frozen=True)
class Recording(_Differences):
    """Records the inputs of every call that is not linear."""

    calls: list[Recorded] = field(default_factory=list)

    def at(self, call: Call, tally: NonlinearityCount) -> Any:
        """The call, recorded."""
        tally.followed[call.name] += 1
        self.calls.append(Recorded(call.name, tuple(one.detach().clone() for one in call.tensors())))
        return call.plain()


@dataclass(frozen=True)
class Rescale(_Differences):
    """Answers each call by its difference from the recorded one."""

    baseline: tuple[Recorded, ...] = ()

    def at(self, call: Call, tally: NonlinearityCount) -> Any:
        """The call, whose backward is the rescale rule."""
        before = self._before(call, tally)
        tally.followed[call.name] += 1
        tensors = tuple(call.tensors())
        if not any(one.requires_grad for one in tensors):
            return call.plain()
        if call.name in PRODUCTS:
            return self._product(call, tensors, before, tally)
        if call.name in POOLING:
            return applied(_Pooled, tensors[0], before[0], call)
        if call.name == "softmax":
            dim = call.args[1] if len(call.args) > 1 else call.kwargs["dim"]
            return applied(_Softmax, tensors[0], before[0], call.plain().detach(), dim)
        if not call.of_its_subject:
            tally.others[call.name] += 1
            return call.plain()
        return multiplied(call, lambda x, y: _slope(call, x, y, before[0]))

    def _before(self, call: Call, tally: NonlinearityCount) -> tuple[Tensor, ...]:
        """The inputs of the same call in the forward pass of the baseline."""
        place = tally.followed.total()
        recorded = self.baseline[place] if place < len(self.baseline) else None
        shapes = [one.shape for one in call.tensors()]
        same = recorded and (recorded.name, [one.shape for one in recorded.tensors]) == (call.name, shapes)
        if tally.returning or recorded is None or not same:
            why = "recomputes parts in the backward pass" if tally.returning else "runs other operations on it"
            raise NetworkError(
                f"DeepLIFT compares each operation with the same one on the baseline, and the network {why}. Switch "
                "checkpointing off, or use integrated-gradients instead."
            )
        return recorded.tensors

    @staticmethod
    def _product(call: Call, tensors: tuple[Tensor, ...], before: tuple[Tensor, ...], tally: NonlinearityCount) -> Any:
        if sum(one.requires_grad for one in tensors) < 2:
            return call.plain()
        if call.in_place or len(tensors) != 2:
            tally.others[call.name] += 1
            return call.plain()
        (left, right), (left_middle, right_middle) = tensors, map(_middle, tensors, before)
        sender = _given(call, left, right_middle) + _given(call, left_middle, right)
        with torch.no_grad():
            value = call.plain()
        return valued(sender, value)


def _middle(one: Tensor, before: Tensor) -> Tensor:
    return (one.detach() + before) / 2


def _given(call: Call, *tensors: Tensor) -> Any:
    """The call with other tensors."""
    others = iter(tensors)
    return call.replacing(lambda _: next(others)).plain()


class _Softmax(torch.autograd.Function):
    """p = exp(x - log s), s = sum exp(x): the quotients of differences of exp, of the sum, and of its logarithm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: Tensor, p: Tensor, dim: int) -> Tensor:
        sums, sums_before = x.logsumexp(dim, keepdim=True), before.logsumexp(dim, keepdim=True)
        p_before = (before - sums_before).exp()
        ctx.outer = _quotient(p - p_before, (x - sums) - (before - sums_before), p)
        top = torch.maximum(sums, sums_before)  # avoids overflow
        powers, powers_before = (x - top).exp(), (before - top).exp()
        each = _quotient(powers - powers_before, x - before, powers)
        whole = _quotient(sums - sums_before, (sums - top).exp() - (sums_before - top).exp(), (top - sums).exp())
        ctx.inner, ctx.dim = each * whole, dim
        return p.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        message = messages[0] * ctx.outer
        return message - ctx.inner * message.sum(ctx.dim, keepdim=True), None, None, None


class _Pooled(torch.autograd.Function):
    """Max pooling: y - y0 = (max(y, y0) - y0) + (y - max(y, y0)), one from the place of y, one from that of y0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, before: Tensor, call: Call) -> Tensor:
        pool, ctx.axes = getattr(F, f"{call.name}_with_indices"), int(call.name[-2])
        rest = {name: value for name, value in call.kwargs.items() if name not in ("input", "return_indices")}
        y: Tensor
        y, ctx.places = pool(x, *call.args[1:], **rest)
        y_before, ctx.places_before = pool(before, *call.args[1:], **rest)
        top = torch.maximum(y, y_before)
        ctx.gained, ctx.lost, ctx.difference = top - y_before, y - top, x - before
        return y

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        message, difference = messages[0], ctx.difference

        def scattered(places: Tensor, values: Tensor) -> Tensor:
            empty = torch.zeros_like(difference).flatten(-ctx.axes)
            back = empty.scatter_add_(-1, places.flatten(-ctx.axes), values.flatten(-ctx.axes))
            return back.reshape(difference.shape)

        moved = scattered(ctx.places, message * ctx.gained) + scattered(ctx.places_before, message * ctx.lost)
        return _quotient(moved, difference, scattered(ctx.places, message)), None, None


def _slope(call: Call, x: Tensor, y: Tensor, before: Tensor) -> Tensor:
    """The quotient of differences of an elementwise function, or its derivative where x equals the baseline."""

    def function(at: Tensor) -> Tensor:
        others = iter((at, *list(call.tensors())[1:]))
        output: Tensor = call.replacing(lambda _: next(others)).plain()
        return output

    # A checkpoint around this must not count the tensors saved here as its own.
    with torch.enable_grad(), saved_tensors_hooks(lambda kept: kept, lambda kept: kept):
        at = x.detach().clone().requires_grad_()
        (derivative,) = torch.autograd.grad(function(at.clone()).sum(), at)
    return _quotient(y - function(before.clone()), x - before, derivative)


def _quotient(above: Tensor, below: Tensor, otherwise: Tensor) -> Tensor:
    """Above / below, or `otherwise` where below is no larger than rounding errors."""
    small = below.abs() <= torch.finfo(below.dtype).eps ** 0.5 * 1e-2
    return torch.where(small, otherwise, above / below.masked_fill(small, 1))


def _attention(call: Call) -> Callable[[], Any] | None:
    asked = Attention.of(call)
    return (lambda: asked.apply(asked.weights())) if asked.openable else None


def _layer_norm(call: Call) -> Callable[[], Any]:
    def read(input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        return _scaled(_standardised(input, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)

    return lambda: read(*call.args, **call.kwargs)


def _group_norm(call: Call) -> Callable[[], Any]:
    def read(input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
        grouped = _standardised(input.reshape(len(input), num_groups, -1), (-1,), eps).reshape(input.shape)
        shape = (-1, *(1,) * (input.ndim - 2))
        return _scaled(grouped, *(None if one is None else one.view(shape) for one in (weight, bias)))

    return lambda: read(*call.args, **call.kwargs)


def _instance_norm(call: Call) -> Callable[[], Any] | None:
    def read(
        input: Tensor, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
        use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
    ) -> Callable[[], Any] | None:  # fmt: skip
        options = {"weight": weight, "bias": bias, "eps": eps}
        return _group_norm(Call(F.group_norm, (input, input.shape[1]), options)) if use_input_stats else None

    return read(*call.args, **call.kwargs)


def _rms_norm(call: Call) -> Callable[[], Any]:
    def read(input: Tensor, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
        dims = tuple(range(-len(normalized_shape), 0))
        least = torch.finfo(input.dtype).eps if eps is None else eps
        return _scaled(input * ((input * input).mean(dims, keepdim=True) + least).rsqrt(), weight, None)

    return lambda: read(*call.args, **call.kwargs)


def _normalize(call: Call) -> Callable[[], Any] | None:
    def read(
        input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None
    ) -> Callable[[], Any] | None:
        if p != 2 or out is not None:
            return None
        return lambda: input * (input * input).sum(dim, keepdim=True).clamp_min(eps * eps).rsqrt()

    return read(*call.args, **call.kwargs)


def _by_a_constant(call: Call) -> bool:
    """Whether a call is a division, and its divisor the same for every image."""
    divides = call.name in ("div", "divide", "true_divide") and len(call.args) > 1
    return divides and not (isinstance(call.args[1], Tensor) and call.args[1].requires_grad)


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _division(call: Call) -> Callable[[], Any] | None:
    left, right, *rest = call.args
    if not isinstance(right, Tensor) or rest or call.kwargs or call.in_place:
        return None
    return lambda: left * right.reciprocal()


def _reversed_division(call: Call) -> Callable[[], Any]:
    below, above = call.args
    return lambda: above * below.reciprocal()


OPENED: dict[str, Callable[[Call], Callable[[], Any] | None]] = {
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": lambda call: lambda: open_multi_head(call),
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    "normalize": _normalize,
    **dict.fromkeys(("div", "divide", "true_divide"), _division),
    "rdiv": _reversed_division,
}
