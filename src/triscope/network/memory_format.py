"""The order in memory in which processors work fastest: channels last for convolutions, tokens first for attention."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, has_torch_function


class ChannelsLastWeights(TorchFunctionMode):
    """Convolutions are given weights whose channels are last in memory, rearranged once for all passes inside.

    Left alone, a convolution of images with channels last rearranges its weights in every call, on the way back too,
    which is a tenth of a step or more. Weights that are computed in each pass are left as they are. The copies are
    those of the first pass: weights that are trained meanwhile are not followed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # the weight is kept, too, so that its id stays its own

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The call, with its weight rearranged where it is a convolution's."""
        if func is torch.conv2d and len(args) > 1 and isinstance(args[1], nn.Parameter):
            args = (args[0], self._rearranged(args[1]), *args[2:])
        return func(*args, **(kwargs or {}))

    def _rearranged(self, weight: nn.Parameter) -> Tensor:
        if id(weight) not in self._kept:
            self._kept[id(weight)] = weight, weight.detach().contiguous(memory_format=torch.channels_last)
        return self._kept[id(weight)][1]


def tokens_first(twin: nn.Module) -> None:
    """Let attention be given tokens that lie in memory as `torch.nn.MultiheadAttention` works on them.

    It does so with tokens before images. Of tokens that lie otherwise, each would be multiplied with weights that ask
    for no gradient by itself (seen in 2.13): half as long again as the whole pass, or longer.
    """
    for module in twin.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(_tokens_first)


def _tokens_first(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if not torch.is_grad_enabled() and not has_torch_function(inputs[:1]):
        return None  # it has a faster way then, which takes images first
    turned = bool(module.batch_first)
    same: dict[int, Tensor] = {}  # queries, keys and values are often one
    for value in inputs[:3]:
        if isinstance(value, Tensor) and value.ndim == 3 and not value.is_nested:
            same.setdefault(
                id(value), value.transpose(0, 1).contiguous().transpose(0, 1) if turned else value.contiguous()
            )
    return tuple(same.get(id(value), value) for value in inputs)
