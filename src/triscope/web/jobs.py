"""Jobs: one worker per device, which runs waiting jobs step by step.

    quick       short jobs (a map, a prediction): before anything else, between two steps
    long        methods of many steps, one after the other in the order in which they came
    background  jobs for an idle worker (indexing a folder)

A long method is an iterator of steps, so that it can be stopped, paused and resumed between any two of them.
"""

import asyncio
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from triscope.errors import LayerNotKept, TriscopeError
from triscope.methods import Step
from triscope.results import Drawn
from triscope.results.animation import Frames
from triscope.which.advice import with_command

T = TypeVar("T")
State: TypeAlias = Literal["waiting", "running", "paused", "done", "cancelled", "failed"]

#: How many jobs and calls may wait; further ones are refused.
MOST_WAITING = 32
#: Seconds after which a job that no page watches is stopped.
UNWATCHED = 60.0
_KEPT = 200  # finished jobs whose results are kept
_PICTURE_EVERY = 0.05  # seconds between two images of a job
_FRAMES, _FRAME = 60, 320  # images of intermediate steps that a job keeps, and their longer side in pixels


class QueueFullError(Exception):
    """The queue is full."""


@dataclass(eq=False)
class Job:
    """A job and its progress. `result` is the latest result, also where it was cancelled."""

    about: dict[str, Any]
    start: Callable[[], Iterator[Step[Any]]]
    long: bool
    draw: Callable[[Any], bytes | None]
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: State = "waiting"
    step: Step[Any] | None = None
    picture: bytes | None = None
    version: int = 0
    error: str | None = None
    seconds: float = 0.0
    seen: float = field(default_factory=time.monotonic)
    listeners: set[Callable[[], None]] = field(default_factory=set)
    frames: Frames | None = None
    _steps: Iterator[Step[Any]] | None = None
    _drawn: float = 0.0

    @property
    def result(self) -> Any:
        """The result so far; None before the first step."""
        return self.step.result if self.step else None

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("done", "cancelled", "failed")

    def snapshot(self, ahead: int = 0) -> dict[str, Any]:
        """Its state and progress, for JSON."""
        step = self.step
        score = None if step is None or step.score != step.score else step.score
        return {
            "id": self.id,
            "state": self.state,
            "ahead": ahead,
            "index": step.index if step else 0,
            "total": step.total if step else 0,
            "score": score,
            "terms": dict(step.terms) if step else {},
            "seconds": round(self.seconds, 3),
            "version": self.version,
            "error": self.error,
            **self.about,
        }

    def tell(self) -> None:
        """Wake all listeners."""
        for wake in list(self.listeners):
            wake()

    def advance(self) -> bool:
        """Run one step; returns whether there may be more."""
        began = time.monotonic()
        try:
            if self._steps is None:
                self._steps = self.start()
            step = next(self._steps, None)
        except TriscopeError as error:
            self._end("failed", with_command(error) if isinstance(error, LayerNotKept) else str(error))
            return False
        except Exception as error:  # noqa: BLE001 - a job that fails must not take the worker with it
            self._end("failed", f"This failed in a way that triscope did not expect: {error!r}")
            return False
        finally:
            self.seconds += time.monotonic() - began
        if step is None:
            self._end("done")
            return False
        if self.over:  # cancelled while it computed: the result before stays
            self.close()
            return False
        self.step = step
        self._film(step)
        last = step.index >= step.total
        if last or time.monotonic() - self._drawn >= _PICTURE_EVERY:
            self._show()
        if last and not self.long:
            self._end("done")
            return False
        self.tell()
        return True

    def _film(self, step: Step[Any]) -> None:
        """Keep an image of this step, where it has one."""
        if not self.long or not isinstance(step.result, Drawn) or step.result.usual_form == ".html":
            return
        with suppress(Exception):  # as with every image of a step
            if self.frames is None:
                self.frames = Frames("way.webp", most=_FRAMES, size=_FRAME)
            self.frames.add(step.index, step.total, step.result)

    def stop(self, state: State = "cancelled") -> None:
        """End it with its latest result."""
        if not self.over:
            self.state = state
            self.tell()

    def _show(self) -> None:
        with suppress(Exception):  # a step that cannot be drawn must not end the job
            self.picture = self.draw(self.result)
            self.version += 1
        self._drawn = time.monotonic()

    def _end(self, state: State, error: str | None = None) -> None:
        self.close()
        if not self.over:
            if self.step is not None and state == "done":
                self._show()
            self.state, self.error = state, error
        self.tell()

    def close(self) -> None:
        """Give up the steps; in the thread of the worker alone, which runs them."""
        if isinstance(self._steps, Generator):
            with suppress(Exception):
                self._steps.close()
        self._steps = None


@dataclass(eq=False)
class _Call(Generic[T]):
    """A call that is no method, run in the worker before any job."""

    body: Callable[[], T]
    future: "Future[T]" = field(default_factory=Future)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.body())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for the answer
            self.future.set_exception(error)


class Worker:
    """The one thread that runs everything on a device."""

    def __init__(self, *, unwatched: float = UNWATCHED, most: int = MOST_WAITING) -> None:
        self.unwatched, self.most = unwatched, most
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self._quick: deque[Job | _Call[Any]] = deque()
        self._long: deque[Job] = deque()
        self._background: deque[Iterator[object]] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="triscope-worker", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        """Queue a job. Raises QueueFullError."""
        with self._change:
            self._room()
            self.jobs[job.id] = job
            (self._long if job.long else self._quick).append(job)
            over = [old for old in self.jobs.values() if old.over]
            for old in over[: max(0, len(over) - _KEPT)]:
                del self.jobs[old.id]
            self._change.notify()
        return job

    async def call(self, body: Callable[[], T]) -> T:
        """The value of a function, run in the worker. Raises QueueFullError, and what the function raises."""
        call = _Call(body)
        with self._change:
            self._room()
            self._quick.append(call)
            self._change.notify()
        return await asyncio.wrap_future(call.future)

    def soon(self, body: Callable[[], object]) -> None:
        """Run a function when the worker is free; its value and its errors are ignored."""
        with self._change:
            self._quick.append(_Call(body))
            self._change.notify()

    def background(self, steps: Iterator[object]) -> None:
        """Run these steps, which raise nothing, when the worker is idle, after the background work given before."""
        with self._change:
            self._background.append(steps)
            self._change.notify()

    def ahead(self, job: Job) -> int:
        """How many long jobs come before this one."""
        with self._change:
            return self._long.index(job) if job in self._long else 0

    def cancel(self, job: Job) -> None:
        """End a job with its latest result; it is over at once, and the worker is free after the current step."""
        job.stop()
        self._wake()

    def drop(self, job: Job) -> None:
        """Cancel a job that one page has left, unless another watches it."""
        if len(job.listeners) < 2:  # the page that leaves may still be listening
            self.cancel(job)

    def pause(self, job: Job) -> None:
        """Pause a job; others go on."""
        if job.state in ("running", "waiting") and job.long:
            job.state = "paused"
            job.tell()

    def resume(self, job: Job) -> None:
        """Resume a paused job, after those that wait."""
        with self._change:
            if job.state == "paused":
                job.state = "waiting"
                job.seen = time.monotonic()
                if job not in self._long:
                    self._long.append(job)
                self._change.notify()
        job.tell()

    def close(self) -> None:
        """Stop the thread after the current step, and every job."""
        self._closed = True
        for job in list(self.jobs.values()):
            job.stop()
        self._wake()
        self._thread.join(timeout=30)

    def _room(self) -> None:
        if len(self._quick) + len(self._long) >= self.most:
            raise QueueFullError

    def _wake(self) -> None:
        with self._change:
            self._change.notify()

    def _work(self) -> None:
        while not self._closed:
            if not self._one():
                with self._change:
                    if not (self._quick or self._long or self._background or self._closed):
                        self._change.wait(timeout=1.0)
        with suppress(Exception):
            for steps in self._background:
                if isinstance(steps, Generator):
                    steps.close()

    def _one(self) -> bool:
        """Run the next step of the first job or call; returns whether there was one."""
        with self._change:
            quick = self._quick.popleft() if self._quick else None
            long = self._long[0] if quick is None and self._long else None
        if isinstance(quick, _Call):
            quick.run()
        elif quick is not None:
            if self._step(quick):
                with self._change:
                    self._quick.append(quick)
        elif long is not None:
            if not self._step(long):
                with self._change:
                    if long in self._long:
                        self._long.remove(long)
                for other in list(self._long):
                    other.tell()  # they have moved up
        elif self._background:
            self._in_background()
        else:
            return False
        return True

    def _step(self, job: Job) -> bool:
        """Run one step of a job; returns whether it stays in the queue."""
        if job.listeners:
            job.seen = time.monotonic()
        elif job.long and time.monotonic() - job.seen > self.unwatched:
            job.stop()
        if job.over:
            job.close()
            return False
        if job.state == "paused":
            return False
        job.state = "running"
        return job.advance()

    def _in_background(self) -> None:
        if next(self._background[0], self) is self:
            self._background.popleft()
