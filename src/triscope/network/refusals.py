"""Errors of a module's forward pass as a NetworkError: what was run, the reason, the line, the next step."""

import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network.finding import REFUSALS

if TYPE_CHECKING:
    from triscope.network.network import Network


_OWN_CODE = (TypeError, AttributeError, KeyError)
#: The exceptions of a module that cannot run on its input.
FAILURES = (*REFUSALS, *_OWN_CODE)


@contextmanager
def explained_errors(network: "Network", images: Tensor) -> Iterator[None]:
    """Context of a pass in which errors of the module become NetworkErrors; the caller's autocast is switched off.

    Raises NetworkError for images of another shape than (B, channels, H, W).
    """
    if images.ndim != 4:
        raise NetworkError(f"{network.name} takes images (B, C, H, W); these are {tuple(images.shape)}.")
    if images.shape[1] != network.channels:
        raise NetworkError(f"{network.name} reads images of {network.channels} channels; these have {images.shape[1]}.")
    try:
        with no_autocast(images.device):
            yield
    except _OWN_CODE as error:
        raise NetworkError(
            f"{network.name} stopped in its own code ({type(error).__name__}: {first_line(error)}{_place(error)}). If "
            "it is not called with images (B, C, H, W) alone, say how: Network(m, call=lambda m, x: m(x, ...))."
        ) from error
    except REFUSALS as error:
        if len(images) > 1 and network.takes_one:
            raise NetworkError(
                f"{network.name} takes one image at a time; {len(images)} were given together."
            ) from error
        rows, cols = images.shape[-2:]
        raise NetworkError(
            f"{network.name} cannot run on an image of {rows} x {cols} pixels ({first_line(error)}{_place(error)}). "
            f"{_advice(network, images, str(error))}"
        ) from error


def _advice(network: "Network", images: Tensor, message: str) -> str:
    """The advice for a module that has failed: it is tried on other images, sizes and numbers of channels."""
    rows, cols = (int(side) for side in images.shape[-2:])
    if _runs(network, _grey(network, rows, cols)):
        return "It does run on a grey image of that size."
    if other := _other_size(network, rows, cols):
        return other
    for channels in _CHANNELS:
        if channels != network.channels and _runs(network, _grey(network, rows, cols, channels), plain=True):
            return (
                f"It reads {channels} channel{'s' * (channels != 1)}, and was given {network.channels}: state "
                f"Network(..., channels={channels}), and as many numbers, or one, as mean and std."
            )
    if any(isinstance(part, nn.Conv3d) for part in network.module.modules()):
        frames = next((count for count in _FRAMES if _runs(network, _video(network, count), plain=True)), _FRAMES[0])
        return (
            "It reads videos or volumes (B, C, frames, H, W). An image can be shown to it again and again: "
            f"Network(m, call=lambda m, x: m(x[:, :, None].expand(-1, -1, {frames}, -1, -1)))."
        )
    if "shapes cannot be multiplied" in message:
        return "It runs on no other size that was tried; if it is made for one, state it: Network(..., size=)."
    return (
        "It runs on no other size that was tried. If it is not called with images (B, C, H, W) alone, say how: "
        "Network(m, call=lambda m, x: m(x, ...))."
    )


def _other_size(network: "Network", rows: int, cols: int) -> str | None:
    """A sentence with a size on which the module runs; None if it runs on none that is tried."""
    if (rows, cols) != network.size and _runs(network, _grey(network, *network.size)):
        return f"It runs on its usual size, {network.size[0]} x {network.size[1]}."
    for side in _SIDES:
        if (side, side) not in ((rows, cols), network.size) and _runs(network, _grey(network, side, side)):
            return f"It runs on {side} x {side}: state its size, Network(..., size={side}), or --input-size {side}."
    return None


# What is tried if a network fails: sides of images, numbers of channels, and of frames.
_SIDES = (32, 28, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 384)
_CHANNELS = (1, 3, 4, 2)
_FRAMES = (16, 8, 32, 64, 4)


def _grey(network: "Network", rows: int, cols: int, channels: int | None = None) -> Tensor:
    shape = (1, channels or network.channels, rows, cols)
    return torch.full(shape, 0.5, dtype=network.dtype, device=network.device)


def _video(network: "Network", frames: int) -> Tensor:
    return _grey(network, *network.size)[:, :, None].expand(-1, -1, frames, -1, -1).contiguous()


def _runs(network: "Network", images: Tensor, *, plain: bool = False) -> bool:
    """Whether the module runs on images, which are normalised first unless `plain`."""
    try:
        with torch.no_grad(), no_autocast(images.device):
            network.try_on(images if plain else network.normalise(images))
    except Exception:  # noqa: BLE001 - a trial run of the user's code, which may raise anything
        return False
    return True


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context in which the caller's autocast is off; does nothing if it is off already, which is faster."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def first_line(error: Exception) -> str:
    """The first line of an error's message, without a full stop; the name of its class if it has none."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def _place(error: Exception) -> str:
    """The line of the user's own code that raised an error, ", line 12 of net.py: ..."; "" for other code."""
    return "".join(f", {one}" for one in own_lines(error, 1))


def stopped(what: str, error: Exception) -> NetworkError:
    """The NetworkError for an exception in a file of the user's, with the last lines of it that led there."""
    lines = own_lines(error, 3)
    if isinstance(error, SyntaxError) and error.filename:
        lines = [f"line {error.lineno} of {Path(error.filename).name}: {(error.text or '').strip()}"]
    shown = f" ({'; '.join(lines)})" if lines else ""
    return NetworkError(f"{what} stopped with {type(error).__name__}: {first_line(error)}{shown}.")


def own_lines(error: Exception, most: int) -> list[str]:
    """The last lines of the user's own code in a traceback, the outermost first: "line 12 of net.py: ..."."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_foreign(Path(frame.filename))]
    return [f"line {frame.lineno} of {Path(frame.filename).name}: {frame.line}" for frame in own[-most:]]


def _is_foreign(path: Path) -> bool:
    """Whether a file belongs to triscope, an installed package, or Python itself, or does not exist."""
    installed = path.is_relative_to(_OURS) or "site-packages" in path.parts or path.is_relative_to(_PYTHON)
    return installed or not path.is_file()


_OURS = Path(__file__).parents[1]
_PYTHON = Path(traceback.__file__).parent
