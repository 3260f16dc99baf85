"""Interruptions: Ctrl-C, and what batch queues, containers and closing terminals send, all end a job in one way.

The first signal raises KeyboardInterrupt; finished work is then kept. More signals in the next seconds (a second
Ctrl-C, a wrapper that forwards the signal) are ignored. Signals that the caller has set to be ignored (`nohup`, `&` in
a script) stay ignored.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_PATIENCE = 10.0  # seconds in which finished work can be saved


class Interrupted(Exception):
    """A command was interrupted, and has said what is kept."""


class _Interruption:
    """What was received, and whether it has to wait. There is one, as there is one set of signal handlers."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Nothing has been received."""
        self.number: int | None = None
        self.since = 0.0
        self.held = 0
        self.waiting = False

    def receive(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        now = time.monotonic()
        if self.number is not None and now - self.since < _PATIENCE:
            return
        self.number, self.since = number, now
        if self.held:
            self.waiting = True
        else:
            raise KeyboardInterrupt


_INTERRUPTION = _Interruption()


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, the signals raise KeyboardInterrupt; afterwards they are handled as before. In threads other than the
    main one, which never get signals, nothing changes.
    """
    _INTERRUPTION.forget()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, _INTERRUPTION.receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """Within, a signal waits: what is being written is written. Afterwards it raises KeyboardInterrupt, unless another
    error is on its way.
    """
    _INTERRUPTION.held += 1
    try:
        yield
    finally:
        _INTERRUPTION.held -= 1
    if _INTERRUPTION.waiting and not _INTERRUPTION.held:
        _INTERRUPTION.waiting = False
        raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Whether a signal was received, also where something has made another error of it."""
    return _INTERRUPTION.number is not None


def exit_code() -> int:
    """The exit code after a signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (_INTERRUPTION.number or signal.SIGINT)
