"""How an answer is judged: fine, refused in a sentence, wrong, an error of any other kind, or slow."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from triscope.errors import TriscopeError

SECONDS = 120  # for a cell


class Wrong(Exception):
    """An answer is not what it should be."""


class Slow(BaseException):
    """A cell took too long; no Exception, so that nothing takes it for one of a network's."""


@dataclass(frozen=True)
class Cell:
    """What came of one question, and what was said of it."""

    verdict: str
    said: str = ""


def close(found: Tensor, wanted: Tensor, tolerance: float, what: str) -> None:
    """Raise Wrong where the two differ by more than `tolerance` of the larger's largest."""
    if found.shape != wanted.shape:
        raise Wrong(f"{what}: {tuple(found.shape)}, not {tuple(wanted.shape)}")
    error = (found - wanted).abs().max()
    tolerance = max(tolerance, torch.finfo(wanted.dtype).eps)
    if not error <= tolerance * wanted.abs().max() + 1e-30:
        raise Wrong(f"{what}: off by {float(error / wanted.abs().max()):.1e}")


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise Slow where what is inside takes longer, in processor time, whatever else the machine does."""

    def stop(*_: object) -> None:
        raise Slow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def judged(question: Callable[[], Any]) -> tuple[Cell, Any]:
    """What came of a question, and its answer."""
    try:
        with limited(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Cell("fine"), question()
    except TriscopeError as error:
        return Cell("refused", str(error)), None
    except Wrong as error:
        return Cell("wrong", str(error)), None
    except Slow:
        return Cell("slow", f"more than {SECONDS} s"), None
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return Cell("error", f"{type(error).__name__}: {error}"), None
