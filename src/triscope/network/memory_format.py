"""Memory formats that are fastest on CPUs: channels last for convolutions, tokens first for attention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, has_torch_function


class ChannelsLastWeights(TorchFunctionMode):
    """Within this mode, convolutions get channels-last copies of their weights, made once for all passes.

    Otherwise a convolution of channels-last images converts its weights in every forward and backward pass, which takes
    a tenth of a step or more. Weights that are computed in each pass are left as they are. Changes of the weights after
    the first pass have no effect.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # with the weight, so that its id is not reused

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The call; a convolution with its weight in channels-last memory."""
        if func is torch.conv2d and len(args) > 1 and isinstance(args[1], nn.Parameter):
            args = (args[0], self._channels_last(args[1]), *args[2:])
        return func(*args, **(kwargs or {}))

    def _channels_last(self, weight: nn.Parameter) -> Tensor:
        if id(weight) not in self._kept:
            self._kept[id(weight)] = weight, weight.detach().contiguous(memory_format=torch.channels_last)
        return self._kept[id(weight)][1]


def tokens_first(twin: nn.Module) -> None:
    """Register hooks that give `torch.nn.MultiheadAttention` its tokens in (tokens, images, channels) memory order.

    With another order, PyTorch 2.13 multiplies each token separately if the weights need no gradient, which takes half
    as long again as the whole pass, or longer.
    """
    for module in twin.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(_tokens_first)


def _tokens_first(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if not torch.is_grad_enabled() and not has_torch_function(inputs[:1]):
        return None  # then it has a faster path, for images first
    turned = bool(module.batch_first)
    same: dict[int, Tensor] = {}  # queries, keys and values are often the same tensor
    for value in inputs[:3]:
        if isinstance(value, Tensor) and value.ndim == 3 and not value.is_nested:
            same.setdefault(
                id(value), value.transpose(0, 1).contiguous().transpose(0, 1) if turned else value.contiguous()
            )
    return tuple(same.get(id(value), value) for value in inputs)
