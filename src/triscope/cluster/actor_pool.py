"""The pool of actors of a job: it distributes batches, collects results, and retries after failures.

If an actor or its node dies, its batches are given to other actors, which is safe since the work has no side effects.
An item whose processes die repeatedly gets the result `Work.lost`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from triscope.cluster.settings import Cluster, first_line
from triscope.cluster.work import Work, Worker
from triscope.errors import ClusterError, TriscopeError

_QUEUED = 2  # batches per actor at a time, one of which is being computed
_WINDOW = 4  # batches per actor between the oldest unfinished batch and the newest
_TRIES = 3  # attempts at a batch, and then at each of its items
_TIMEOUT = 120.0  # seconds until some actor has to be ready


@dataclass
class Node:
    """Statistics of one node: finished items, and actors that died."""

    items: int = 0
    died: int = 0


@dataclass(eq=False)
class _Batch:
    """Items that an actor gets together: those of batch `number` from index `place` on; `tries` counts attempts."""

    number: int
    items: list[Any]
    place: int = 0
    tries: int = 0


@dataclass(frozen=True)
class Outcome:
    """The result of an item, and the node that computed it."""

    item: Any
    result: Any
    node: str


class ActorPool:
    """The actors of a job on the cluster that `ray` is connected to; `sent` is the work, pickled by `packed`.

    `nodes` is filled with the statistics of each node, by name.
    """

    def __init__(self, ray: Any, cluster: Cluster, work: Work[Any, Any], sent: bytes, nodes: dict[str, Node]) -> None:
        self._ray, self._cluster, self._work, self._nodes = ray, cluster, work, nodes
        self._sent = ray.put(sent)
        self._class = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=0)(Worker)
        self._node: dict[Any, str] = {}  # the node of each actor that is ready
        self._pending: dict[Any, tuple[Any, _Batch | None]] = {}  # actor and batch of each call in progress, by its ref
        self._retries: deque[_Batch] = deque()
        self._parts: dict[int, dict[int, Outcome]] = {}  # outcomes of unfinished batches, by batch and item index
        self._lengths: dict[int, int] = {}
        self._done: dict[int, list[Outcome]] = {}
        self._lost_in_a_row = 0
        self._count = cluster.room(ray)
        for _ in range(self._count):
            self._start_actor()

    def close(self) -> None:
        """Kill all actors, also busy ones."""
        for actor in {*self._node, *(actor for actor, _ in self._pending.values())}:
            self._ray.kill(actor)

    def outcomes(self, items: Iterator[Any], *, ordered: bool) -> Iterator[list[Outcome]]:
        """The outcomes of the items, batch by batch: in order if `ordered`, else as they are finished.

        Raises ClusterError if no actor can be started, or actors keep dying.
        """
        given, out = 0, 0
        exhausted = False
        while True:
            while (actor := self._least_busy()) is not None:
                if self._retries:
                    self._submit(actor, self._retries.popleft())
                    continue
                if exhausted or given - out >= _WINDOW * self._count:
                    break
                some = list(islice(items, self._work.batch))
                exhausted = len(some) < self._work.batch
                if some:
                    self._lengths[given] = len(some)
                    self._submit(actor, _Batch(given, some))
                    given += 1
            if exhausted and out == given:
                return
            self._wait()
            while (number := out if ordered else min(self._done, default=-1)) in self._done:
                yield self._done.pop(number)
                out += 1

    def _start_actor(self) -> None:
        actor = self._class.remote(self._sent, self._cluster.gpus)
        self._pending[actor.ready.remote()] = actor, None

    def _least_busy(self) -> Any:
        """The ready actor with the fewest batches; None if all have `_QUEUED`."""
        load = dict.fromkeys(self._node, 0)
        for actor, batch in self._pending.values():
            if batch is not None and actor in load:
                load[actor] += 1
        best = min(load, key=lambda actor: load[actor], default=None)
        return best if best is not None and load[best] < _QUEUED else None

    def _submit(self, actor: Any, batch: _Batch) -> None:
        self._pending[actor.do.remote(batch.items)] = actor, batch

    def _wait(self) -> None:
        ready, _ = self._ray.wait([*self._pending], num_returns=1, timeout=_TIMEOUT)
        if not ready and not self._node:
            raise self._cluster.no_room(self._ray)
        for ref in ready:
            if ref in self._pending:
                self._receive(ref)

    def _receive(self, ref: Any) -> None:
        """Handle the end of a call: an actor that is ready, the results of a batch, or a failure."""
        actor, batch = self._pending[ref]
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise _failure(error, self._node.get(actor, "a node")) from error
        except self._ray.exceptions.RayError as error:
            self._replace(actor, error)
            return
        del self._pending[ref]
        self._lost_in_a_row = 0
        if batch is None:
            self._node[actor] = found
            self._nodes.setdefault(found, Node())
            return
        node = self._node[actor]
        self._nodes[node].items += len(found)
        self._keep(batch, [Outcome(item, one, node) for item, one in zip(batch.items, found, strict=True)])

    def _replace(self, actor: Any, error: Exception) -> None:
        """Handle the death of an actor or its node: retry its batches elsewhere, and start another actor."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row > _TRIES * (self._count + _QUEUED):
            raise ClusterError(
                f"The workers of the Ray cluster die one after the other: {first_line(error)}. Finished results are "
                "kept."
            ) from error
        node = self._node.pop(actor, "")
        if node:
            self._nodes[node].died += 1
        lost = [ref for ref, (whose, _) in self._pending.items() if whose is actor]
        batches = [batch for ref in lost if (batch := self._pending.pop(ref)[1]) is not None]
        self._retries.extend(batches[1:])
        self._start_actor()
        if batches:  # the first of them was being computed
            batches[0].tries += 1
            self._retry(batches[0], node)

    def _retry(self, batch: _Batch, node: str) -> None:
        """Retry the batch during which an actor died: first whole, then item by item; then give the item up."""
        if batch.tries < _TRIES:
            self._retries.appendleft(batch)
        elif len(batch.items) > 1:
            self._retries.extend(
                _Batch(batch.number, [item], batch.place + place) for place, item in enumerate(batch.items)
            )
        else:
            (item,) = batch.items
            self._keep(batch, [Outcome(item, self._work.lost(item, _TRIES), node)])

    def _keep(self, batch: _Batch, outcomes: list[Outcome]) -> None:
        """Keep the outcomes of a batch, or of one of its items; the batch is done when it is complete."""
        kept = self._parts.setdefault(batch.number, {})
        kept |= {batch.place + place: one for place, one in enumerate(outcomes)}
        if len(kept) == self._lengths[batch.number]:
            del self._parts[batch.number], self._lengths[batch.number]
            self._done[batch.number] = [kept[place] for place in sorted(kept)]


def _failure(error: Any, node: str) -> TriscopeError:
    """The error for an exception in a worker on that node."""
    cause = error.cause
    text = str(cause) if isinstance(cause, TriscopeError) else f"{type(cause).__name__}: {first_line(cause)}"
    return ClusterError(f"A worker on {node} failed: {text.rstrip('.')}. Finished results are kept.")
