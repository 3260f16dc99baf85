"""The order in memory in which processors convolve fastest: channels last."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class ChannelsLastWeights(TorchFunctionMode):
    """Convolutions are given weights whose channels are last in memory, rearranged once for all passes inside.

    Left alone, a convolution of pictures with channels last rearranges its weights in every call, on the way back too,
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
