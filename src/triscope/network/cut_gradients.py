"""Finding out why a network has no gradient.

A forward pass that stops gradients (`torch.no_grad`, `detach`, a checkpoint with `use_reentrant=True`, a quantised
layer) still has a result; only the backward pass fails. Then one more pass is observed, and the error names the line
that stops the gradient.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from triscope.errors import NetworkError
from triscope.network.weights import quantised_part
from triscope.objectives.base import Need, Objective

if TYPE_CHECKING:
    from triscope.network.network import Network

_TORCH, _OURS = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])
_DETACHING = (Tensor.detach, Tensor.detach_, torch.detach, cast("property", Tensor.data).__get__)


@contextmanager
def differentiating(network: "Network", asked: Objective, layer: str = "input") -> Iterator[None]:
    """Within this context, an error of autograd becomes a NetworkError that names the likely reason."""
    try:
        yield
    except NetworkError:
        raise
    except RuntimeError as error:
        raise no_gradient(network, asked, layer, error) from error


def no_gradient(
    network: "Network", asked: Objective, layer: str = "input", error: Exception | None = None
) -> NetworkError:
    """The error that an objective has no gradient at `layer`, with the likely reason."""
    objective = in_full(asked)
    missing = f"{objective} has no gradient at {layer} of {network.name}"
    if "CheckpointError" in (type(error).__name__, *(base.__name__ for base in type(error).__mro__)):
        return NetworkError(
            f"{missing}: a part of it runs in a gradient checkpoint, whose second computation differs from the "
            "first. Switch checkpointing off."
        )
    if (reason := _reason(network)) and (error is not None or _comes_before(network, layer, asked.needs)):
        return NetworkError(f"{missing}: {reason}.")
    if error is not None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return NetworkError(f"{missing}: {lines[0].rstrip('.')}.")
    return NetworkError(
        f"{objective} does not depend on {layer} of {network.name}; choose a layer that comes before it."
    )


def in_full(asked: Objective) -> str:
    """An objective's text form, with the layers that it reads."""
    return f"{asked} (which reads {', '.join(sorted(need.layer for need in asked.needs))})"


def _comes_before(network: "Network", layer: str, needs: Iterable[Need]) -> bool:
    """Whether a layer comes before one that is read, so that there could be a gradient at it."""
    order = {name: place for place, name in enumerate(["input", *network.layers])}
    last = len(order)
    return any(order.get(need.layer, last) > order.get(layer, last) for need in needs)


def _reason(network: "Network") -> str | None:
    """What stops gradients in the network's forward pass, as the end of a sentence; None if nothing was found."""
    if (path := quantised_part(network.module)) is not None:
        return f"its layer {path or 'output'} is quantised, and has none; give the float network"
    grey = torch.full((1, network.channels, *network.size), 0.5, dtype=network.dtype, device=network.device)
    watch = _GradientWatch()
    try:
        with torch.enable_grad(), watch:
            network.look(grey, ["output"], leaf="input")
    except NetworkError:
        pass
    return watch.found


class _GradientWatch(TorchFunctionMode):
    """Finds the first call, in code that is neither PyTorch's nor triscope's, that stops a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.found: str | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if self.found is None and any(isinstance(one, Tensor) and one.requires_grad for one in args):
            if func in _DETACHING:
                self._note("detaches a tensor", "take that out")
            elif not torch.is_grad_enabled():
                self._note("computes without gradients (torch.no_grad or inference_mode)", "take that out")
        return func(*args, **(kwargs or {}))

    def _note(self, what: str, advice: str) -> None:
        frame = inspect.currentframe()
        reentrant = False
        while frame is not None and frame.f_code.co_filename.startswith((_TORCH, __file__)):
            reentrant |= frame.f_code.co_filename == torch.utils.checkpoint.__file__
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename.startswith(_OURS):
            return
        beyond: FrameType | None = frame
        while beyond is not None and not beyond.f_code.co_filename.startswith(_OURS):
            reentrant |= beyond.f_code.co_name == "checkpoint" or beyond.f_code.co_filename.endswith(
                "utils/checkpoint.py"
            )
            beyond = beyond.f_back
        if reentrant:
            what, advice = "runs a part by a checkpoint with use_reentrant=True", "set use_reentrant=False"
        self.found = f"its forward {what}, line {frame.f_lineno} of {Path(frame.f_code.co_filename).name}; {advice}"
