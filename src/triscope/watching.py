"""Watching a long job: how far it is, and in a notebook the image so far.

Methods never print or draw. Who wants to see them work goes through their steps with `watch`:

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

_SIDE = 480  # pixels that a notebook shows at most


def watch(steps: Iterable[Step[R]], *, quiet: bool = False) -> Generator[Step[R]]:
    """The steps of a long job as they come, told of on stderr: on a terminal as one line that is rewritten, elsewhere
    as a line every ten seconds, in a notebook as a bar with the image so far. Nothing is told where `quiet`.

    A job that is interrupted (Ctrl-C, a notebook's stop button) raises KeyboardInterrupt as ever; the last step that
    came, and with it its result, stays in the caller's variable.
    """
    display = ProgressDisplay(quiet=quiet)
    start, before, whole = time.monotonic(), None, False
    try:
        for step in steps:
            before = step.index - 1 if before is None else before
            whole = step.index == step.total
            line = progress(step, time.monotonic() - start, before)
            if step.total > 1:
                display.tell(line, step.index / step.total, step.result, last=whole)
            yield step
    finally:
        if isinstance(steps, Generator):
            steps.close()  # at once: it may have a checkpoint to write
        display.close(whole=whole)


def progress(step: Step[Any], seconds: float, first: int = 0) -> str:
    """Where a job that began after step `first` stands after `seconds`: step, score, rate, time left."""
    rate = (step.index - first) / max(seconds, 1e-9)
    left = (step.total - step.index) / max(rate, 1e-9)
    score = "" if math.isnan(step.score) else f"   score {step.score:.4g}"
    return f"step {step.index} of {step.total}{score}   {rate:.1f} steps/s   {_time(left)} left"


class ProgressDisplay:
    """Tells how far a job is, where and as often as suits: a terminal, a notebook, or a log."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._display: _Display | None = None if quiet else _display()
        self._told = time.monotonic()

    def tell(self, line: str, part: float, result: object = None, *, last: bool = False) -> None:
        """Show where it stands, if that is due: in words, as a part of the whole, and what there is. `last` is due
        wherever something was shown before.
        """
        if self._display is None:
            return
        now = time.monotonic()
        if now - self._told >= self._display.every or (last and self._display.shown):
            self._display.show(line, part, result)
            self._told = now

    def close(self, *, whole: bool = True) -> None:
        """There is nothing more to come; `whole` says whether the job came to its end."""
        if self._display is not None and self._display.shown:
            self._display.close(whole=whole)


class _Display(Protocol):
    every: float  # seconds between two words
    shown: bool

    def show(self, line: str, part: float, result: object) -> None: ...

    def close(self, *, whole: bool) -> None: ...


class _Terminal:
    """One line, rewritten."""

    every = 0.2
    shown = False

    def show(self, line: str, part: float, result: object) -> None:
        self.shown = True
        _write(f"\r\x1b[K{line}")

    def close(self, *, whole: bool) -> None:
        _write("\n")


class _Log:
    """A line now and then: what a batch queue writes to a file."""

    every = 10.0
    shown = False

    def show(self, line: str, part: float, result: object) -> None:
        self.shown = True
        _write(f"{line}\n")

    def close(self, *, whole: bool) -> None: ...


class _Notebook:
    """A bar and the image so far, in the cell's output; when the job is done, the line alone."""

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
    """What suits where this runs. IPython is asked only where it is running already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:  # a terminal's IPython has none
        return _Notebook(importlib.import_module("IPython.display"))
    return _Terminal() if sys.stderr is not None and sys.stderr.isatty() else _Log()


def _image(result: object) -> str:
    """The image so far, small; nothing for what takes long to draw or cannot be."""
    if not isinstance(result, Picture):
        return ""
    picture = to_pil(result.draw())
    picture.thumbnail((_SIDE, _SIDE), PIL.Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return f'<img src="data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _write(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):  # nobody reads, or the disk is full: no reason to end the job
            sys.stderr.write(text)
            sys.stderr.flush()


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
