"""Layers with weights, as rules of relevance propagation see them: one call, linear in its input.

    y = f(x, w) + b

A layer knows f with any other weights, and f's transpose: rules share relevance out by parts of x and of w.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.network.backward_rules import Call


class Operation(Protocol):
    """What is linear in x and in w."""

    dense: bool

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """f(x, w) + b."""

    def transposed(self, message: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """The transpose of f(., w): from the shape of y to that of x, which is `like`'s."""

    def scaled(self, weight: Tensor, scale: Tensor) -> Tensor:
        """The weights of scale * f(x, w), with one number for each output channel."""

    def spread(self, message: Tensor, like: Tensor) -> Tensor:
        """`transposed` with weights that are all ones."""

    def count(self, like: Tensor) -> Tensor:
        """`forward` of ones with weights that are all ones, for one image: how many inputs an output sees."""

    def per_channel(self, numbers: Tensor) -> Tensor:
        """One number for each output channel (C), in a shape that broadcasts with y."""


@dataclass(frozen=True)
class Dense:
    """x (..., I), w (O, I)."""

    dense = True

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A matrix product, X w' + b."""
        return F.linear(x, weight, bias)

    def transposed(self, message: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """Message w."""
        del like
        return message @ weight

    def scaled(self, weight: Tensor, scale: Tensor) -> Tensor:
        """A row for each output."""
        return weight * scale[:, None]

    def spread(self, message: Tensor, like: Tensor) -> Tensor:
        """The same to every input."""
        return message.sum(-1, keepdim=True).expand_as(like)

    def count(self, like: Tensor) -> Tensor:
        """All of them."""
        return like.new_full((1,) * like.ndim, like.shape[-1])

    def per_channel(self, numbers: Tensor) -> Tensor:
        """Channels come last."""
        return numbers


@dataclass(frozen=True)
class Convolution:
    """x (B, I, ...), w (O, I / groups, ...), or (I, O / groups, ...) where it is transposed. One, two or three axes.

    `window` is the size of the kernel. `uneven` pads the end of each axis by that much more than its beginning, which
    `padding="same"` may ask for.
    """

    window: Sequence[int]
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    flipped: bool
    output_padding: Sequence[int]
    groups: int
    uneven: Sequence[int] = ()

    dense = False

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution."""
        x = F.pad(x, [side for more in reversed(self.uneven) for side in (0, more)]) if any(self.uneven) else x
        return torch.convolution(x, weight, bias, *self._geometry)

    def transposed(self, message: Tensor, weight: Tensor, like: Tensor) -> Tensor:
        """The gradient of the convolution at its input."""
        inside = like.shape[2:]
        if any(self.uneven):
            padded = [size + more for size, more in zip(inside, self.uneven, strict=True)]
            like = like.new_empty(()).expand(*like.shape[:2], *padded)
        back: Tensor
        back, _, _ = torch.ops.aten.convolution_backward(
            message, like, weight, None, *self._geometry, [True, False, False]
        )
        for axis, size in enumerate(inside if any(self.uneven) else (), 2):
            back = back.narrow(axis, 0, size)
        return back

    def scaled(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Output channels are the first axis, or the second within each group where it is transposed."""
        tail = (1,) * (weight.ndim - 2)
        if not self.flipped:
            return weight * scale.view(-1, 1, *tail)
        grouped = weight.reshape(self.groups, -1, *weight.shape[1:]) * scale.view(self.groups, 1, -1, *tail)
        return grouped.flatten(0, 1)

    def spread(self, message: Tensor, like: Tensor) -> Tensor:
        """The same to all input channels of a group: one channel for each of them is enough."""
        message = message.reshape(len(message), self.groups, -1, *message.shape[2:]).sum(2)
        ones, shape = self._ones(like)
        one = self.transposed(message, ones, like.new_empty(()).expand(len(message), *shape))
        return one.repeat_interleave(like.shape[1] // self.groups, 1)

    def count(self, like: Tensor) -> Tensor:
        """Fewer at the borders, where padding is seen."""
        ones, shape = self._ones(like)
        seen = self.forward(like.new_ones(1, *shape), ones, None)
        return seen[:, :1] * (like.shape[1] // self.groups)

    def per_channel(self, numbers: Tensor) -> Tensor:
        """Channels are the second axis."""
        return numbers.view(-1, *(1,) * len(self.stride))

    @property
    def _geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.flipped, self.output_padding, self.groups

    def _ones(self, like: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Weights and shape of a layer with one input and one output channel for each group."""
        return like.new_ones(self.groups, 1, *self.window), (self.groups, *like.shape[2:])


@dataclass(frozen=True, eq=False)
class Layer:
    """One call of a layer with weights.

    `output` is what it gave, with its own gradient. `scale` and `shift` (C) are batch norms folded into it: the layer
    is then scale * (f(x, w) + b) + shift. `first` says that x is made of the image without any layer with weights;
    `bounds` are then the least and the greatest value that each of it could have, where they are followed.
    """

    operation: Operation
    x: Tensor
    unfolded: Tensor
    unfolded_bias: Tensor | None
    output: Tensor
    first: bool
    scale: Tensor | None = None
    shift: Tensor | None = None
    bounds: tuple[Tensor, Tensor] | None = None

    def folded(self, scale: Tensor | None, shift: Tensor | None, output: Tensor) -> "Layer":
        """The layer with one more affine map of its channels folded in: y -> scale * y + shift, which is `output`."""
        old_scale, old_shift = self.scale, self.shift
        if scale is not None:
            old_scale = scale if old_scale is None else old_scale * scale
            old_shift = None if old_shift is None else old_shift * scale
        if shift is not None:
            old_shift = shift if old_shift is None else old_shift + shift
        return dataclasses.replace(self, scale=old_scale, shift=old_shift, output=output)

    @property
    def weight(self) -> Tensor:
        """The weights, with what was folded in."""
        return self.unfolded if self.scale is None else self.operation.scaled(self.unfolded, self.scale)

    @property
    def bias(self) -> Tensor | None:
        """The bias (C), with what was folded in."""
        bias = self.unfolded_bias
        if bias is not None and self.scale is not None:
            bias = bias * self.scale
        return self.shift if bias is None else bias if self.shift is None else bias + self.shift


Bounds: TypeAlias = tuple[Tensor, Tensor]


def dense(call: Call, first: bool, bounds: Bounds | None) -> Layer:
    """The layer of a call of `linear`."""

    def read(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Layer:
        return Layer(Dense(), input, weight, bias, call.plain(), first, bounds=bounds)

    return read(*call.args, **call.kwargs)


def convolution(call: Call, first: bool, bounds: Bounds | None) -> Layer:
    """The layer of a call of `conv1d`, `conv2d` or `conv3d`."""

    def read(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Layer:
        axes = weight.ndim - 2
        window, dilation = tuple(weight.shape[2:]), _each(dilation, axes)
        uneven: tuple[int, ...] = ()
        if padding == "same":
            whole = [step * (size - 1) for step, size in zip(dilation, window, strict=True)]
            padding, uneven = [size // 2 for size in whole], tuple(size % 2 for size in whole)
        elif padding == "valid":
            padding = 0
        operation = Convolution(
            window, _each(stride, axes), _each(padding, axes), dilation, False, (0,) * axes, groups, uneven
        )
        return Layer(operation, input, weight, bias, call.plain(), first, bounds=bounds)

    return read(*call.args, **call.kwargs)


def transposed_convolution(call: Call, first: bool, bounds: Bounds | None) -> Layer:
    """The layer of a call of `conv_transpose1d`, `conv_transpose2d` or `conv_transpose3d`."""

    def read(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Layer:
        axes = weight.ndim - 2
        operation = Convolution(
            tuple(weight.shape[2:]),
            _each(stride, axes),
            _each(padding, axes),
            _each(dilation, axes),
            True,
            _each(output_padding, axes),
            groups,
        )
        return Layer(operation, input, weight, bias, call.plain(), first, bounds=bounds)

    return read(*call.args, **call.kwargs)


LAYERS: dict[str, Callable[[Call, bool, Bounds | None], Layer]] = {
    "linear": dense,
    **{f"conv{axes}d": convolution for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": transposed_convolution for axes in (1, 2, 3)},
}


def _each(value: Any, axes: int) -> tuple[int, ...]:
    """One number for each axis: a number stands for all of them."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values
