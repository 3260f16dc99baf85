"""What a module raises when it is asked, as one sentence: what was asked, the reason, the line, the next step."""

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
#: What a module's forward raises that cannot run on what it is given.
FAILURES = (*REFUSALS, *_OWN_CODE)


@contextmanager
def asking(network: "Network", images: Tensor) -> Iterator[None]:
    """Errors of the module become one sentence about the image; the caller's autocast does not reach in."""
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


def _advice(network: "Network", images: Tensor, told: str) -> str:
    """What to do where the module stopped: what it can be run on, as far as trying shows it."""
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
    if "shapes cannot be multiplied" in told:
        return "It runs on no other size that was tried; if it is made for one, state it: Network(..., size=)."
    return (
        "It runs on no other size that was tried. If it is not called with images (B, C, H, W) alone, say how: "
        "Network(m, call=lambda m, x: m(x, ...))."
    )


def _other_size(network: "Network", rows: int, cols: int) -> str | None:
    """The size that the module can be run on, in a sentence; None where it runs on none that is tried."""
    if (rows, cols) != network.size and _runs(network, _grey(network, *network.size)):
        return f"It runs on its usual size, {network.size[0]} x {network.size[1]}."
    for side in _SIDES:
        if (side, side) not in ((rows, cols), network.size) and _runs(network, _grey(network, side, side)):
            return f"It runs on {side} x {side}: state its size, Network(..., size={side}), or --input-size {side}."
    return None


# What is tried where a network stops: sides of images, numbers of channels, and of frames.
_SIDES = (32, 28, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 384)
_CHANNELS = (1, 3, 4, 2)
_FRAMES = (16, 8, 32, 64, 4)


def _grey(network: "Network", rows: int, cols: int, channels: int | None = None) -> Tensor:
    shape = (1, channels or network.channels, rows, cols)
    return torch.full(shape, 0.5, dtype=network.dtype, device=network.device)


def _video(network: "Network", frames: int) -> Tensor:
    return _grey(network, *network.size)[:, :, None].expand(-1, -1, frames, -1, -1).contiguous()


def _runs(network: "Network", images: Tensor, *, plain: bool = False) -> bool:
    """Whether the module takes images; with `plain`, as they are."""
    try:
        with torch.no_grad(), no_autocast(images.device):
            network.try_on(images if plain else network.normalise(images))
    except Exception:  # noqa: BLE001 - whatever it raises, it does not take them
        return False
    return True


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """The caller's autocast switched off. Switching takes longer than asking whether there is anything to switch."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def _place(error: Exception) -> str:
    """Where in the user's own code it was raised, if it was there: ", line 12 of net.py: ..."."""
    return "".join(f", {one}" for one in own_lines(error, 1))


def stopped(what: str, error: Exception) -> NetworkError:
    """An error of a file of the user's as one sentence, with the last lines of theirs that led to it."""
    lines = own_lines(error, 3)
    if isinstance(error, SyntaxError) and error.filename:
        lines = [f"line {error.lineno} of {Path(error.filename).name}: {(error.text or '').strip()}"]
    told = f" ({'; '.join(lines)})" if lines else ""
    return NetworkError(f"{what} stopped with {type(error).__name__}: {first_line(error)}{told}.")


def own_lines(error: Exception, most: int) -> list[str]:
    """The last lines of the user's own code on the way to an error, from the outermost: "line 12 of net.py: ..."."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_foreign(Path(frame.filename))]
    return [f"line {frame.lineno} of {Path(frame.filename).name}: {frame.line}" for frame in own[-most:]]


def _is_foreign(path: Path) -> bool:
    """Whether a file is of triscope, an installed package, or Python itself."""
    installed = path.is_relative_to(_OURS) or "site-packages" in path.parts or path.is_relative_to(_PYTHON)
    return installed or not path.is_file()


_OURS = Path(__file__).parents[1]
_PYTHON = Path(traceback.__file__).parent
