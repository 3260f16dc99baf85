"""Layer-wise relevance propagation as one backward rule: which rule each call follows.

No state is kept between calls: what a tensor is (the image, a layer's output, a gate) is read from its graph. So
checkpointed parts, which are recomputed in the backward pass, follow the same rules again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network.backward_rules import Call, NonlinearityCount, following
from triscope.network.backward_rules.attention import open_multi_head
from triscope.where.propagation.composites import Composite
from triscope.where.propagation.layer_rules import ZBox, before_it_is_written, layer_behind
from triscope.where.propagation.layers import LAYERS, Layer
from triscope.where.propagation.messages import entered, identity, of_the_image, unchanged
from triscope.where.propagation.operations import (
    ACTIVATIONS,
    AFFINE,
    GATES,
    GRADIENT,
    HANDLERS,
    MOVING,
    matrix_product,
)

#: How batch norms that follow no layer with weights are counted.
UNFOLDED = "batch norm"
_BOUNDS = "triscope bounds"


@dataclass(frozen=True)
class RelevanceRule:
    """Relevance propagated by the rules of a composite. The gradient at the image is then its relevance."""

    composite: Composite
    name = "relevance propagation"

    def apply(self, call: Call, tally: NonlinearityCount) -> Any:
        """The call's value, sending back relevance."""
        if call.name == "get":  # an attribute, such as a shape
            return call.plain()
        varying = [one for one in call.tensors() if one.requires_grad]
        if not varying:
            return call.plain()
        if call.in_place:
            before_it_is_written(call.subject)
        images = [of_the_image(one) for one in varying]
        return self._at_the_image(call, varying, all(images), tally) if any(images) else self._behind(call, tally)

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError where there was no layer with weights."""
        if not tally.followed:
            raise NetworkError(
                f"Relevance is passed back by layers with weights, and {network} has none before this unit. Use "
                "input-x-gradient instead."
            )

    def _at_the_image(self, call: Call, varying: list[Tensor], whole: bool, tally: NonlinearityCount) -> Any:
        """A call that reads the image, in whatever order and units."""
        if whole and call.name in MOVING:
            return self._bounded(call, call.plain)
        own = not call.in_place or call.subject is varying[0]
        if whole and call.name in AFFINE and len(varying) == 1 and own:
            return self._bounded(call, lambda: unchanged(call, varying[0]))
        if call.name in LAYERS and self.composite.first is not None:
            return self._behind(call, tally, first=True)
        return self._behind(call.replacing(entered), tally)

    def _behind(self, call: Call, tally: NonlinearityCount, *, first: bool = False) -> Any:
        """A call that reads outputs of layers with weights, or is such a layer."""
        name = call.name
        if name in LAYERS:
            return self._layer(call, tally, first)
        if name == "batch_norm":
            return self._batch_norm(call, tally)
        if name == "multi_head_attention_forward":
            with following(self, tally):
                opened = open_multi_head(call)
            if opened is not None:
                return opened
        if name in AFFINE and (folded := _affine(call)):
            return self.composite.rule(folded).answer(folded)
        activates = name in ACTIVATIONS and call.of_its_subject
        if handler := partial(identity, gate=name in GATES) if activates else HANDLERS.get(name):
            return handler(call)
        output = call.plain()
        if name not in GRADIENT and _varies(output):
            tally.others[name] += 1
        return output

    def _layer(self, call: Call, tally: NonlinearityCount, first: bool) -> Tensor:
        """A layer with weights; where its weights depend on the image, too, it counts as a product."""
        x, *weights = call.tensors()
        if any(one.requires_grad for one in weights) or (x.ndim < weights[0].ndim and call.name != "linear"):
            tally.others[f"{call.name} with weights computed from the image"] += 1
            product: Tensor = matrix_product(call.replacing(entered))
            return product
        bounds = self._bounds(x) if first and self.composite.first == ZBox() else None
        layer = LAYERS[call.name](call, first, bounds)
        tally.followed["dense layer" if layer.operation.dense else "convolution"] += 1
        return self.composite.rule(layer).answer(layer)

    def _batch_norm(self, call: Call, tally: NonlinearityCount) -> Tensor:
        """An affine map of channels, which belongs to the layer it follows."""

        def read(
            input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None = None,
            bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
        ) -> Tensor:  # fmt: skip
            layer = layer_behind(input)
            if training or running_mean is None or running_var is None or layer is None:
                tally.others[UNFOLDED] += 1
                plain: Tensor = call.plain()
                return plain
            scale = (running_var + eps).rsqrt()
            scale = scale if weight is None else scale * weight
            shift = -running_mean * scale if bias is None else bias - running_mean * scale
            output = call.replacing(lambda one: layer.output if one is input else one).plain()
            folded = layer.folded(scale, shift, output)
            return self.composite.rule(folded).answer(folded)

        return read(*call.args, **call.kwargs)

    def _bounded(self, call: Call, answer: Callable[[], Any]) -> Any:
        """The call's answer, and the bounds of its numbers where a rule asks for them."""
        if self.composite.first != ZBox():
            return answer()
        with torch.no_grad():
            low, high = (call.replacing(partial(self._bound, which=which)).plain() for which in (0, 1))
        output = answer()
        for one, least, greatest in zip(*map(_listed, (output, low, high)), strict=True):
            if isinstance(one, Tensor) and one.grad_fn is not None:
                _notes_of(one)[_BOUNDS] = torch.minimum(least, greatest), torch.maximum(least, greatest)
        return output

    def _bound(self, x: Tensor, which: int) -> Tensor:
        return self._bounds(x)[which].clone() if x.requires_grad else x

    @staticmethod
    def _bounds(x: Tensor) -> tuple[Tensor, Tensor]:
        """The least and greatest value of each number of the image in its present order and units."""
        if x.grad_fn is None:
            return torch.zeros_like(x), torch.ones_like(x)
        if _BOUNDS not in _notes_of(x):
            raise NetworkError(
                "z-box needs the least and greatest value of each number that the first layer reads, and the network "
                "changes the image before it in a way that these cannot be followed through. Use first=flat instead."
            )
        low, high = _notes_of(x)[_BOUNDS]
        return low, high


def _notes_of(tensor: Tensor) -> dict[str, Any]:
    """The metadata of the graph node that made a tensor."""
    node: Any = tensor.grad_fn
    notes: dict[str, Any] = node.metadata
    return notes


def _listed(output: Any) -> Any:
    return output if isinstance(output, list | tuple) else [output]


def _affine(call: Call) -> Layer | None:
    """The layer whose output is multiplied by, or added to, one constant for each channel; with that folded in."""
    if call.in_place or call.kwargs or len(call.args) != 2:
        return None
    left, right = call.args
    if call.name in ("add", "mul", "multiply") and not (isinstance(left, Tensor) and left.requires_grad):
        left, right = right, left
    layer = layer_behind(left) if isinstance(left, Tensor) else None
    number = _per_channel(right, layer) if layer else None
    if layer is None or number is None:
        return None
    output = call.function(*(layer.output if one is left else one for one in call.args))
    if call.name in ("add", "sub"):
        return layer.folded(None, number if call.name == "add" else -number, output)
    if call.name in ("mul", "multiply", "div", "divide", "true_divide"):
        return layer.folded(number if call.name.startswith("mul") else 1 / number, None, output)
    return None


def _per_channel(constant: Any, layer: Layer) -> Tensor | None:
    """The constant as one number for each channel of the layer, or None where it is not that."""
    output = layer.output
    axis = output.ndim - 1 if layer.operation.dense else 1
    if isinstance(constant, int | float):
        return output.new_full((output.shape[axis],), constant)
    if not isinstance(constant, Tensor) or constant.requires_grad or constant.ndim > output.ndim:
        return None
    shape = (1,) * (output.ndim - constant.ndim) + tuple(constant.shape)
    if any(size != 1 and place != axis for place, size in enumerate(shape)):
        return None
    return constant.reshape(-1).to(output).expand(output.shape[axis])


def _varies(output: Any) -> bool:
    return any(isinstance(part, Tensor) and part.requires_grad for part in _listed(output))
