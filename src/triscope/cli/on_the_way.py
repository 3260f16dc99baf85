"""What a job writes while it runs: frames, a preview, a checkpoint. Their paths are checked first, too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from triscope.cli.common import Console
from triscope.cli.output import Destination, Places, Preview, Target
from triscope.cli.plain import PlainOption
from triscope.errors import OptionError
from triscope.images import printable
from triscope.methods import Method, Step
from triscope.results import Drawn
from triscope.results.animation import Frames
from triscope.what.optimisation.checkpoint import remove_checkpoints

_SLOW, _LARGE = ("stylize", "texture"), 512  # methods with a preview by default, above so many pixels


def way_options(method: Method[Any]) -> list[click.Parameter]:
    """The options of a method that optimises an image."""
    if not (method.long and method.takes("network") and issubclass(method.returns, Drawn)):
        return []
    preview = "write the current image to this file every few seconds"
    params: list[click.Parameter] = [
        click.Option(["--frames"], metavar="FILE", help="write the optimisation as an animated .webp, .gif or .mp4"),
        PlainOption(
            ["--frames-size"], type=click.IntRange(16, 8192), default=480, metavar="PIXELS", show_default=True,
            help="maximum length of the frames' longer side",
        ),
        PlainOption(
            ["--frames-rate"], type=click.IntRange(1, 60), default=10, metavar="N", show_default=True,
            help="frames per second",
        ),
    ]  # fmt: skip
    if any(option.name == "checkpoint" for option in method.options):
        text = "keep the checkpoint of a finished job, to continue it with more steps"
        params.append(click.Option(["--keep-checkpoint"], is_flag=True, help=text))
    if method.name not in _SLOW:
        return [*params, click.Option(["--preview"], metavar="FILE", help=preview)]
    preview += f"  [default: the result's own file, above {_LARGE} pixels]"
    off = click.Option(["--no-preview"], is_flag=True, help="write no preview")
    return [*params, click.Option(["--preview"], metavar="FILE", help=preview), off]


@dataclass(frozen=True)
class WayPlaces:
    """Where the frames, previews and checkpoints of a command's results go."""

    frames: Places | None
    preview: Places | None
    checkpoint: Places | None
    keeps_checkpoint: bool
    film: Callable[[Path], Frames]
    shows_itself: bool

    @classmethod
    def of(cls, method: Method[Any], target: Target, given: dict[str, Any]) -> "WayPlaces":
        """Takes the options of `way_options`, and the checkpoint, out of `given`. Raises OptionError."""
        frames, preview, checkpoint = (given.pop(name, None) for name in ("frames", "preview", "checkpoint"))
        film = partial(Frames, size=given.pop("frames_size", 480), rate=given.pop("frames_rate", 10))
        off = given.pop("no_preview", False)
        if preview and off:
            raise OptionError("--preview and --no-preview contradict each other; leave one out.")
        return cls(
            target.beside(frames, film) if frames else None,
            target.beside(preview, method.returns.require_ending) if preview else None,
            Target(None, force=True).beside(checkpoint, lambda path: path) if checkpoint else None,  # resumed
            given.pop("keep_checkpoint", False),
            film,
            method.name in _SLOW and not off and given["size"] > _LARGE,
        )

    def find(self, parts: Sequence[str], written: Sequence[Destination], console: Console) -> "Way":
        """The places of one result, which itself goes to `written`. Raises OptionError."""
        frames = self.frames.find(parts, ".webp") if self.frames else None
        preview = self.preview.find(parts) if self.preview else None
        if preview is None and self.shows_itself:
            preview = next((one for one in written if one.path and one.path.suffix.lower() != ".npy"), None)
        return Way(
            console,
            frames,
            self.film(frames.path) if frames and frames.path else None,
            Preview(preview, console.note) if preview else None,
            {"checkpoint": str(self.checkpoint.find(parts, ".job").path)} if self.checkpoint else {},
            self.keeps_checkpoint,
        )


@dataclass(frozen=True)
class Way:
    """What one job writes while it runs, and the `arguments` of the method for that."""

    console: Console
    place: Destination | None = None
    frames: Frames | None = None
    preview: Preview | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    keeps_checkpoint: bool = False

    def add(self, step: Step[Any]) -> None:
        """A step was made."""
        if self.frames is not None:
            self.frames.add(step.index, step.total, step.result)
        if self.preview and step.index < step.total:
            self.preview.show(step.result)

    def save(self) -> str | None:
        """Write the frames; returns their path."""
        if self.place is None or self.frames is None or not self.frames:
            return None
        data = self.frames.encode()
        assert data is not None
        self.place.save_bytes(data, self.frames.path.suffix.lower())
        self.console.keep(self.place.name)
        return self.place.name

    def close(self) -> None:
        """The job is done and written: remove its checkpoint, unless it is kept for more steps."""
        if "checkpoint" in self.arguments and not self.keeps_checkpoint:
            removed = remove_checkpoints(self.arguments["checkpoint"])
            if removed:
                names = ", ".join(map(printable, removed))
                self.console.note(
                    f"note: the job is done; removed: {names} (--keep-checkpoint keeps it, to take more steps)"
                )
