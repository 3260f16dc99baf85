"""Progress of long methods on stderr, and in notebooks with the image so far.

Methods never print or draw. To show the progress of one, iterate over its steps with `watch`:

    for step in ts.watch(ts.ascend.steps(net, "tabby")):
        pass
    step.result.save("tabby.png")
"""

import base64
import html
import importlib
import io
import math
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import PIL.Image

from triscope.images import to_pil
from triscope.methods import Step
from triscope.results import Picture, Result

R = TypeVar("R", bound=Result)

_SIDE = 480  # pixels of the longer side of an image in a notebook, at most


def watch(steps: Iterable[Step[R]], *, quiet: bool = False) -> Generator[Step[R]]:
    """Iterate over the steps of a long method, and show its progress.

    On a terminal as one line that is rewritten, elsewhere as a line on stderr every ten seconds, in a notebook as a
    progress bar with the image so far. With `quiet`, nothing is shown.

    An interruption (Ctrl-C, a notebook's stop button) raises KeyboardInterrupt as usual; the last step, with its
    result, remains in the caller's loop variable.
    """
    display = ProgressDisplay(quiet=quiet)
    start, before, whole = time.monotonic(), None, False
    try:
        for step in steps:
            before = step.index - 1 if before is None else before
            whole = step.index == step.total
            line = progress(step, time.monotonic() - start, before)
            if step.total > 1:
                display.update(line, step.index / step.total, step.result, last=whole)
            yield step
    finally:
        if isinstance(steps, Generator):
            steps.close()  # now, since it may write a checkpoint
        display.close(whole=whole)


def progress(step: Step[Any], seconds: float, first: int = 0) -> str:
    """A line of progress: step, score, rate, time left. The job has run for `seconds` since step `first`."""
    rate = (step.index - first) / max(seconds, 1e-9)
    left = (step.total - step.index) / max(rate, 1e-9)
    score = "" if math.isnan(step.score) else f"   score {step.score:.4g}"
    return f"step {step.index} of {step.total}{score}   {rate:.1f} steps/s   {_time(left)} left"


class ProgressDisplay:
    """Shows the progress of a job on a terminal, in a notebook or in a log, at suitable intervals."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._display: _Display | None = None if quiet else _display()
        self._updated = time.monotonic()

    def update(self, line: str, part: float, result: object = None, *, last: bool = False) -> None:
        """Show the progress if an update is due; the `last` one always is if something was shown before.

        line        the progress in words
        part        the finished part of the job, in [0, 1]
        result      the result so far, which a notebook shows
        """
        if self._display is None:
            return
        now = time.monotonic()
        if now - self._updated >= self._display.every or (last and self._display.shown):
            self._display.show(line, part, result)
            self._updated = now

    def close(self, *, whole: bool = True) -> None:
        """End the display; `whole` says whether the job has finished."""
        if self._display is not None and self._display.shown:
            self._display.close(whole=whole)


class _Display(Protocol):
    every: float  # seconds between updates
    shown: bool  # whether anything has been shown

    def show(self, line: str, part: float, result: object) -> None: ...

    def close(self, *, whole: bool) -> None: ...


class _Terminal:
    """One line that is rewritten."""

    every = 0.2
    shown = False

    def show(self, line: str, part: float, result: object) -> None:
        self.shown = True
        _write(f"\r\x1b[K{line}")

    def close(self, *, whole: bool) -> None:
        _write("\n")


class _Log:
    """A line every ten seconds, for stderr in a file."""

    every = 10.0
    shown = False

    def show(self, line: str, part: float, result: object) -> None:
        self.shown = True
        _write(f"{line}\n")

    def close(self, *, whole: bool) -> None: ...


class _Notebook:
    """A progress bar and the image so far in the cell's output; only the line when the job has finished."""

    every = 1.0
    shown = False

    def __init__(self, display: Any) -> None:
        self._module = display
        self._handle: Any = None
        self._line = ""

    def show(self, line: str, part: float, result: object) -> None:
        self.shown = True
        self._line = html.escape(line)
        bar = f'<progress value="{part:.4f}" style="width: 20em"></progress>'
        self._redraw(f"<div>{bar} {self._line}</div>{_image(result)}")

    def close(self, *, whole: bool) -> None:
        if whole:
            self._redraw(f"<div>{self._line}</div>")

    def _redraw(self, text: str) -> None:
        content = self._module.HTML(text)
        if self._handle is None:
            self._handle = self._module.display(content, display_id=True)
        else:
            self._handle.update(content)


def _display() -> _Display:
    """The display for a notebook, a terminal or a log. IPython is not imported unless it is running."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:  # IPython in a terminal has no kernel
        return _Notebook(importlib.import_module("IPython.display"))
    return _Terminal() if sys.stderr is not None and sys.stderr.isatty() else _Log()


def _image(result: object) -> str:
    """The image so far as HTML, reduced in size; "" for results that are not images."""
    if not isinstance(result, Picture):
        return ""
    picture = to_pil(result.draw())
    picture.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return f'<img src="data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _write(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):  # a closed pipe or a full disk should not end the job
            sys.stderr.write(text)
            sys.stderr.flush()


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
