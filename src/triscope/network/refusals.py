"""What a module raises when it is asked, as one sentence: what was asked, the reason, the line, the next step."""

import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network.finding import REFUSALS

if TYPE_CHECKING:
    from triscope.network.network import Network


@contextmanager
def asking(network: "Network", images: Tensor) -> Iterator[None]:
    """Errors of the module become one sentence about the image; the caller's autocast does not reach in."""
    if images.ndim != 4:
        raise NetworkError(f"{network.name} is asked about images (B, C, H, W); these are {tuple(images.shape)}.")
    if images.shape[1] != network.channels:
        raise NetworkError(f"{network.name} reads images of {network.channels} channels; these have {images.shape[1]}.")
    try:
        with no_autocast(images.device):
            yield
    except (TypeError, AttributeError, KeyError) as error:
        raise NetworkError(
            f"{network.name} stopped in its own code ({type(error).__name__}: {_reason(error)}{_place(error)}). If it "
            "is not called with images (B, C, H, W) alone, say how: Network(m, call=lambda m, x: m(x, ...))."
        ) from error
    except REFUSALS as error:
        if len(images) > 1 and network.takes_one:
            raise NetworkError(
                f"{network.name} takes one picture at a time; {len(images)} were given together."
            ) from error
        rows, cols = images.shape[-2:]
        size = (
            f"Its usual size is {network.size[0]} x {network.size[1]}; if that is wrong, state it: Network(..., size=)."
            if (rows, cols) != network.size
            else f"If it is made for another size than {rows} x {cols}, state it: Network(..., size=)."
        )
        raise NetworkError(
            f"{network.name} cannot run on an image of {rows} x {cols} pixels ({_reason(error)}{_place(error)}). {size}"
        ) from error


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """The caller's autocast switched off. Switching takes longer than asking whether there is anything to switch."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def _place(error: Exception) -> str:
    """Where in the user's own code it was raised, if it was there: ", line 12 of net.py: ..."."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if not {"site-packages", "triscope"} & set(path.parts) and path.is_file():
            return f", line {frame.lineno} of {path.name}: {frame.line}"
    return ""
