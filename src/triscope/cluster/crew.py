"""The actors of a job: what each of them has been given, what came back, and what is done again.

A batch whose actor, or whose node, is lost is given to another actor, since to do it twice changes nothing. An item at
which processes die again and again has the result that says so.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from triscope.cluster.settings import Cluster, first_line
from triscope.cluster.work import Work, Worker
from triscope.errors import ClusterError, TriscopeError

_WAITING = 2  # batches that an actor has been given, one of which it works on
_WINDOW = 4  # batches per actor between the first that is not done and the last that was given out
_TRIES = 3  # of a batch, and then of each item of it
_PATIENCE = 120.0  # seconds in which some actor has to be there


@dataclass
class Node:
    """What happened on one node: items done, and actors that died."""

    items: int = 0
    died: int = 0


@dataclass(eq=False)
class _Batch:
    """Items that are handed over together, from the `place` on of the batch `number`; and how often that was tried."""

    number: int
    items: list[Any]
    place: int = 0
    tries: int = 0


@dataclass(frozen=True)
class Outcome:
    """A result, of which item, and on which node it was made."""

    item: Any
    result: Any
    node: str


class Crew:
    """Actors of the cluster that `ray` is connected to; `sent` is what `packed` made of the work."""

    def __init__(self, ray: Any, cluster: Cluster, work: Work[Any, Any], sent: bytes, nodes: dict[str, Node]) -> None:
        self._ray, self._cluster, self._work, self._nodes = ray, cluster, work, nodes
        self._sent = ray.put(sent)
        self._class = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=0)(Worker)
        self._node: dict[Any, str] = {}  # actors that are ready
        self._given: dict[Any, tuple[Any, _Batch | None]] = {}  # what is waited for: of which actor, which batch
        self._again: deque[_Batch] = deque()
        self._parts: dict[int, dict[int, Outcome]] = {}  # outcomes of batches that are not done, by their places
        self._lengths: dict[int, int] = {}
        self._done: dict[int, list[Outcome]] = {}
        self._lost_in_a_row = 0
        self._count = cluster.room(ray)
        for _ in range(self._count):
            self._hire()

    def close(self) -> None:
        """End the actors, whatever they are doing."""
        for actor in {*self._node, *(actor for actor, _ in self._given.values())}:
            self._ray.kill(actor)

    def outcomes(self, items: Iterator[Any], *, ordered: bool) -> Iterator[list[Outcome]]:
        """What came of the items, batch by batch: `ordered`, in their order; else as they are done."""
        given, out = 0, 0
        whole = False
        while True:
            while (actor := self._free()) is not None:
                if self._again:
                    self._give(actor, self._again.popleft())
                    continue
                if whole or given - out >= _WINDOW * self._count:
                    break
                some = list(islice(items, self._work.batch))
                whole = len(some) < self._work.batch
                if some:
                    self._lengths[given] = len(some)
                    self._give(actor, _Batch(given, some))
                    given += 1
            if whole and out == given:
                return
            self._wait()
            while (number := out if ordered else min(self._done, default=-1)) in self._done:
                yield self._done.pop(number)
                out += 1

    def _hire(self) -> None:
        actor = self._class.remote(self._sent, self._cluster.gpus)
        self._given[actor.ready.remote()] = actor, None

    def _free(self) -> Any:
        """The actor that is ready and has least to do; None where all have enough."""
        load = dict.fromkeys(self._node, 0)
        for actor, batch in self._given.values():
            if batch is not None and actor in load:
                load[actor] += 1
        best = min(load, key=lambda actor: load[actor], default=None)
        return best if best is not None and load[best] < _WAITING else None

    def _give(self, actor: Any, batch: _Batch) -> None:
        self._given[actor.do.remote(batch.items)] = actor, batch

    def _wait(self) -> None:
        ready, _ = self._ray.wait([*self._given], num_returns=1, timeout=_PATIENCE)
        if not ready and not self._node:
            raise self._cluster.no_room(self._ray)
        for ref in ready:
            if ref in self._given:
                self._take(ref)

    def _take(self, ref: Any) -> None:
        """What came of a call: a node's name, results, or a loss."""
        actor, batch = self._given[ref]
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise _failure(error, self._node.get(actor, "a node")) from error
        except self._ray.exceptions.RayError as error:
            self._lose(actor, error)
            return
        del self._given[ref]
        self._lost_in_a_row = 0
        if batch is None:
            self._node[actor] = found
            self._nodes.setdefault(found, Node())
            return
        node = self._node[actor]
        self._nodes[node].items += len(found)
        self._keep(batch, [Outcome(item, one, node) for item, one in zip(batch.items, found, strict=True)])

    def _lose(self, actor: Any, error: Exception) -> None:
        """An actor, or its node, is gone: what it was given goes to others, and another actor is asked for."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row > _TRIES * (self._count + _WAITING):
            raise ClusterError(
                f"The workers of the Ray cluster die one after the other: {first_line(error)}. What was finished is "
                "kept."
            ) from error
        node = self._node.pop(actor, "")
        if node:
            self._nodes[node].died += 1
        lost = [ref for ref, (whose, _) in self._given.items() if whose is actor]
        batches = [batch for ref in lost if (batch := self._given.pop(ref)[1]) is not None]
        self._again.extend(batches[1:])
        self._hire()
        if batches:  # the first of them was being done
            batches[0].tries += 1
            self._retry(batches[0], node)

    def _retry(self, batch: _Batch, node: str) -> None:
        """What was being done when its actor died: once more; after some tries item by item; at last given up."""
        if batch.tries < _TRIES:
            self._again.appendleft(batch)
        elif len(batch.items) > 1:
            self._again.extend(
                _Batch(batch.number, [item], batch.place + place) for place, item in enumerate(batch.items)
            )
        else:
            (item,) = batch.items
            self._keep(batch, [Outcome(item, self._work.lost(item, _TRIES), node)])

    def _keep(self, batch: _Batch, outcomes: list[Outcome]) -> None:
        """What came of a batch, or of one item of it; it is done when all are there."""
        kept = self._parts.setdefault(batch.number, {})
        kept |= {batch.place + place: one for place, one in enumerate(outcomes)}
        if len(kept) == self._lengths[batch.number]:
            del self._parts[batch.number], self._lengths[batch.number]
            self._done[batch.number] = [kept[place] for place in sorted(kept)]


def _failure(error: Any, node: str) -> TriscopeError:
    """What a worker raised, with where."""
    cause = error.cause
    text = str(cause) if isinstance(cause, TriscopeError) else f"{type(cause).__name__}: {first_line(cause)}"
    return ClusterError(f"A worker on {node} failed: {text.rstrip('.')}. What was finished is kept.")
