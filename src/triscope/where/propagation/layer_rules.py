"""Rules of layer-wise relevance propagation for layers with weights.

A layer y_j = sum_i x_i w_ij + b_j with relevance R_j passes back, with + and - for positive and negative parts,

    epsilon     x_i sum_j w_ij R_j / (y_j + eps sign y_j)                              Bach et al., 2015
    z+          sum_j (x_i w_ij)+ R_j / (sum_i (x_i w_ij)+ + b_j+)                     Montavon et al., 2017
    alpha-beta  sum_j (alpha (x_i w_ij)+ / (...)+ - beta (x_i w_ij)- / (...)-) R_j     Bach et al., 2015
    gamma       as z+ and epsilon together: contributions of the output's sign count 1 + gamma times; Montavon et al.,
                2019, for inputs of either sign as in Andeol et al., 2021
    flat        sum_j R_j / (number of inputs of j)                                    Lapuschkin et al., 2019
    w-square    sum_j w_ij^2 R_j / (sum_i w_ij^2 + b_j^2)                              Montavon et al., 2017
    z-box       sum_j (x_i w_ij - l_i w_ij+ - h_i w_ij-) R_j / (sum_i ...)             Montavon et al., 2017

What travels back is not R but c = R / activation, so that a layer without a rule passes it on by its gradient. Only
the first layer passes back R itself: the last three rules give relevance to inputs that are zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from triscope.autograd import applied
from triscope.errors import NetworkError
from triscope.where.propagation.layers import Layer

#: Keeps the quotients of all rules but epsilon finite.
STABILIZER = 1e-6


class LayerRule(Protocol):
    """How a layer with weights shares out relevance."""

    name: str

    def answer(self, layer: Layer) -> Tensor:
        """The layer's output, which passes back what the rule says."""


class FirstLayerRule(LayerRule, Protocol):
    """A rule for the layer that reads the image."""

    def relevance(self, layer: Layer, x: Tensor, relevance: Tensor) -> Tensor:
        """The relevance of each input, given that of each output."""


@dataclass(frozen=True)
class Epsilon:
    """The gradient times x, where outputs near zero pass back less. `epsilon` is in units of the layer's output."""

    epsilon: float = 1e-6
    name = "epsilon"

    def answer(self, layer: Layer) -> Tensor:
        """The layer's gradient, damped."""
        return applied(_Damped, layer.output, layer, self.epsilon)


@dataclass(frozen=True)
class Share:
    """A part of the relevance, `strength` times R, shared out by positive x times `above` and negative x times `below`.

    `sign` is that of all that is shared by, or 0 where it is of both signs.
    """

    above: Tensor
    below: Tensor
    bias: Tensor | None
    strength: float | Tensor
    sign: int = 0

    def of(self, relevance: Tensor) -> Tensor | None:
        """The part of the relevance, or None where it is nothing."""
        if isinstance(self.strength, Tensor):
            part = relevance * self.strength
            return part if part.any() else None
        return relevance if self.strength == 1 else relevance * self.strength


class _BySign:
    """A rule that shares relevance out by the signs of x and w."""

    def shares(self, layer: Layer, output: Tensor) -> Iterator[Share]:
        raise NotImplementedError

    def answer(self, layer: Layer) -> Tensor:
        """The layer's output, which passes back shares."""
        return applied(_Shared, layer.x, layer, self)


@dataclass(frozen=True)
class ZPlus(_BySign):
    """Only contributions that raise an output receive relevance."""

    name = "z+"

    def shares(self, layer: Layer, output: Tensor) -> Iterator[Share]:
        """A single share."""
        del output
        yield _raising(layer, 1.0)


@dataclass(frozen=True)
class AlphaBeta(_BySign):
    """Contributions that raise an output receive alpha times its relevance, those that lower it -(alpha - 1) times."""

    alpha: float = 2.0
    name = "alpha-beta"

    def shares(self, layer: Layer, output: Tensor) -> Iterator[Share]:
        """One of what raises the output, one of what lowers it."""
        del output
        yield _raising(layer, self.alpha)
        if self.alpha != 1:
            weight, bias = layer.weight, layer.bias
            below = None if bias is None else bias.clamp(max=0)
            yield Share(weight.clamp(max=0), weight.clamp(min=0), below, 1 - self.alpha, sign=-1)


@dataclass(frozen=True)
class Gamma(_BySign):
    """Contributions with the sign of the output count 1 + gamma times."""

    gamma: float = 0.25
    name = "gamma"

    def shares(self, layer: Layer, output: Tensor) -> Iterator[Share]:
        """One for outputs of each sign."""
        weight, bias = layer.weight, layer.bias
        raised = weight + self.gamma * weight.clamp(min=0)
        lowered = weight + self.gamma * weight.clamp(max=0)
        for positive, above, below in ((True, raised, lowered), (False, lowered, raised)):
            part = None if bias is None else bias.clamp(min=0) if positive else bias.clamp(max=0)
            favoured = None if bias is None or part is None else bias + self.gamma * part
            yield Share(above, below, favoured, (output > 0 if positive else output < 0).to(output))


@dataclass(frozen=True)
class Flat:
    """The same relevance to every input, whatever its value."""

    name = "flat"

    def answer(self, layer: Layer) -> Tensor:
        """The layer's output, which passes back relevance."""
        return applied(_First, layer.x, layer, self)

    def relevance(self, layer: Layer, x: Tensor, relevance: Tensor) -> Tensor:
        """R_j / the number of inputs of j, to each of them."""
        return layer.operation.spread(relevance / _stable(layer.operation.count(x)), x)


@dataclass(frozen=True)
class WSquare:
    """Relevance in proportion to the squared weights."""

    name = "w-square"

    def answer(self, layer: Layer) -> Tensor:
        """The layer's output, which passes back relevance."""
        return applied(_First, layer.x, layer, self)

    def relevance(self, layer: Layer, x: Tensor, relevance: Tensor) -> Tensor:
        """In proportion to w^2."""
        weight, bias = layer.weight.square(), layer.bias
        total = layer.operation.forward(torch.ones_like(x[:1]), weight, None if bias is None else bias.square())
        return layer.operation.transposed(relevance / _stable(total), weight, x)


@dataclass(frozen=True)
class ZBox:
    """Relevance by how far each input is from the least and the greatest value that it can have."""

    name = "z-box"

    def answer(self, layer: Layer) -> Tensor:
        """The layer's output, which passes back relevance."""
        return applied(_First, layer.x, layer, self)

    def relevance(self, layer: Layer, x: Tensor, relevance: Tensor) -> Tensor:
        """In proportion to x w - l w+ - h w-."""
        assert layer.bounds is not None
        low, high = layer.bounds
        weight, bias = layer.weight, layer.bias
        parts = [(x, weight, bias, 1.0)]
        for bound, keep in ((low, {"min": 0.0}), (high, {"max": 0.0})):
            parts.append((bound, weight.clamp(**keep), None if bias is None else bias.clamp(**keep), -1.0))
        forward, transposed = layer.operation.forward, layer.operation.transposed
        message = relevance / _stable(_sum([sign * forward(each, w, b) for each, w, b, sign in parts], x))
        return _sum([sign * each * transposed(message, w, x) for each, w, _, sign in parts], x)


class _Damped(torch.autograd.Function):
    """The output; c * |y| / (|y| + eps) back to it, which is c - eps * c / (|y| + eps)."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, layer: Layer, epsilon: float) -> Tensor:
        _keep(ctx, layer)
        ctx.epsilon, ctx.divisor = epsilon, None
        return output.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        (message,) = messages
        if ctx.epsilon:
            divisor = ctx.divisor if ctx.divisor is not None else _kept(ctx).abs().add_(ctx.epsilon)
            message = torch.addcdiv(message, message, divisor, value=-ctx.epsilon)
        return message, None, None


class _Shared(torch.autograd.Function):
    """The layer; c of each share back to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer, rule: _BySign) -> Tensor:
        _keep(ctx, layer)
        ctx.rule = rule
        ctx.save_for_backward(x)
        return layer.output.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        output, layer = _kept(ctx), ctx.layer
        relevance = output * messages[0]
        if x.min() >= 0:
            return _shared(ctx.rule.shares(layer, output), layer, relevance, x, None)[0], None, None
        above, below = _shared(ctx.rule.shares(layer, output), layer, relevance, x.clamp(min=0), x.clamp(max=0))
        return above.where(x > 0, below), None, None


def _shared(
    shares: Iterator[Share], layer: Layer, relevance: Tensor, high: Tensor, low: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What goes back to the positive and to the negative parts of x."""
    forward, transposed = layer.operation.forward, layer.operation.transposed
    above, below = [], []
    for share in shares:
        part = share.of(relevance)
        if part is None:
            continue
        total = forward(high, share.above, share.bias)
        if low is not None:
            total += forward(low, share.below, None)
        message = part / (total.add_(STABILIZER * share.sign) if share.sign else _stable(total))
        above.append(transposed(message, share.above, high))
        if low is not None:
            below.append(transposed(message, share.below, high))
    return _sum(above, high), _sum(below, high)


class _First(torch.autograd.Function):
    """The layer; relevance itself back to x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Layer, rule: FirstLayerRule) -> Tensor:
        _keep(ctx, layer)
        ctx.rule = rule
        ctx.save_for_backward(x)
        return layer.output.detach()

    @staticmethod
    def backward(ctx: Any, *messages: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return ctx.rule.relevance(ctx.layer, x, _kept(ctx) * messages[0]), None, None


#: The functions that a layer with weights is computed by.
LAYER_FUNCTIONS = (_Damped, _Shared, _First)


def layer_behind(tensor: Tensor) -> Layer | None:
    """The layer whose output exactly this tensor is, where a rule was followed for it."""
    node: Any = tensor.grad_fn
    layer: Layer | None = node.layer if getattr(node, "_forward_cls", None) in LAYER_FUNCTIONS else None
    return layer


def before_it_is_written(tensor: Tensor) -> None:
    """To be called before a tensor is written to in place: a rule that keeps it gets a copy."""
    node: Any = tensor.grad_fn
    made_by = getattr(node, "_forward_cls", None)
    if made_by is _Damped:
        node.divisor, node.kept = node.kept.abs().add_(node.epsilon), None
    elif made_by in LAYER_FUNCTIONS:
        node.kept = node.kept.clone()
        node.version = _version(node.kept)


def _keep(ctx: Any, layer: Layer) -> None:
    ctx.layer = layer
    ctx.kept = layer.output.detach()
    ctx.version = _version(ctx.kept)


def _kept(ctx: Any) -> Tensor:
    """The output as it was."""
    kept: Tensor = ctx.kept
    if _version(kept) != ctx.version:
        raise NetworkError(
            "The network writes over a part of a layer's output in place, which relevance propagation needs as it was. "
            "Use saliency or input-x-gradient instead, or write that operation without `_` or `inplace`."
        )
    return kept


def _version(tensor: Tensor) -> int:
    """How many times the tensor was written to in place."""
    return tensor._version  # noqa: SLF001 - documented in torch's notes on autograd


def _raising(layer: Layer, strength: float) -> Share:
    weight, bias = layer.weight, layer.bias
    above = None if bias is None else bias.clamp(min=0)
    return Share(weight.clamp(min=0), weight.clamp(max=0), above, strength, sign=1)


def _sum(parts: list[Tensor], like: Tensor) -> Tensor:
    if not parts:
        return torch.zeros_like(like)
    first, *rest = parts
    for part in rest:
        first += part
    return first


def _stable(total: Tensor) -> Tensor:
    """A divisor that is not zero: moved away from it by the stabilizer."""
    return total + torch.copysign(total.new_tensor(STABILIZER), total)
