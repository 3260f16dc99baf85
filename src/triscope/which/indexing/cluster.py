"""Computing on a Ray cluster: actors that each hold a copy of the network are handed batches of entries and give rows.

Nothing but computing happens there: rows come back to the one process that commits them. A batch whose actor, or whose
node, is lost is given to another actor, since to compute it twice changes nothing; and a driver that is killed and
started again goes on from what it committed. An image at which processes die again and again is a row that says so.
"""

import copy
import math
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch

from triscope.errors import StoreError, TriscopeError
from triscope.network import Network
from triscope.which.collection import Entry
from triscope.which.database.schema import Column
from triscope.which.indexing.computing import Row, RowComputer
from triscope.which.indexing.decoding import Decoded

_WAITING = 2  # batches that an actor has been given, one of which it computes
_WINDOW = 4  # batches per actor between the first that is not done and the last that was given out
_TRIES = 3  # of a batch, and then of each image of it
_PATIENCE = 120.0  # seconds in which some actor has to be there


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and what each actor takes of it.

    address     where it is ("ray://host:10001", "host:6379"); None for the one that RAY_ADDRESS names or that runs on
                this machine, else one of this machine's processors is started
    cpus, gpus  how many processors and graphics processors an actor takes; with any of these, the network runs there
    actors      how many there are; as many as the cluster has room for, if left out
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    actors: int | None = None

    @classmethod
    def read(cls, workers: "int | str | Cluster | None") -> "Cluster | None":
        """The cluster that `workers` names, "ray" or "ray://host:10001"; None where it is a number of threads."""
        if isinstance(workers, Cluster):
            return workers
        if not isinstance(workers, str):
            return None
        if workers != "ray" and not workers.startswith("ray://"):
            raise StoreError(f"Workers are a number of threads, 'ray' or 'ray://HOST:PORT', not {workers!r}.")
        return cls(None if workers == "ray" else workers)


@dataclass
class Node:
    """What happened on one node: images computed, those of them that are unusable, and actors that died."""

    images: int = 0
    failed: int = 0
    died: int = 0


@dataclass(frozen=True, eq=False)
class RayComputer:
    """A `Compute` that hands batches to actors of a Ray cluster; rows come in the order of the entries."""

    network: Network
    columns: tuple[Column, ...]
    precision: str
    exact: bool
    batch: int
    cluster: Cluster
    #: What happened on each node, by its name.
    nodes: dict[str, Node] = field(default_factory=dict)

    def __call__(self, entries: Iterable[Entry]) -> Generator[Row]:
        """The rows of the entries. Raises StoreError where no actor can be had, or the network cannot be sent."""
        ray = import_ray()
        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.cluster.address)
        try:
            with closing(_Crew(ray, self)) as crew:
                yield from crew.rows(iter(entries))
        finally:
            if ours:
                ray.shutdown()

    def told(self) -> tuple[str, ...]:
        """A sentence for each node."""
        return tuple(
            f"{name}: {node.images:,} images, {node.failed} of them unusable"
            + (f"; {node.died} worker{'s' * (node.died != 1)} lost" if node.died else "")
            for name, node in sorted(self.nodes.items())
        )


class Worker:
    """What an actor holds: the network, loaded once, and a computer of its own."""

    def __init__(self, packed: bytes, gpus: float) -> None:
        self._packed, self._gpus = packed, gpus
        self._compute: RowComputer | None = None

    def ready(self) -> str:
        """Load the network; the name of the node."""
        import pickle
        import socket

        import ray

        # Unpacked here and not by Ray: what a node cannot load is an error of this call, told with the node.
        module, settings, how = pickle.loads(self._packed)  # noqa: S301 - the driver packed it
        threads = how.pop("threads")
        torch.set_num_threads(threads)
        network = Network(module.to("cuda") if self._gpus else module, **settings)
        self._compute = RowComputer(network, workers=threads, **how)
        self._packed = b""
        address = ray.util.get_node_ip_address()
        return f"{socket.gethostname()} ({address}, {ray.get_runtime_context().get_node_id()[:6]})"

    def rows(self, entries: list[Entry]) -> list[tuple[Decoded, Any]]:
        """What was read of each entry, and its vectors."""
        assert self._compute is not None  # it is asked when it is ready
        return [(row.decoded, row.vectors) for row in self._compute(entries)]


@dataclass(eq=False)
class _Batch:
    """Entries that are computed together, from the `place` on of the batch `number`; and how often that was tried."""

    number: int
    entries: list[Entry]
    place: int = 0
    tries: int = 0


class _Crew:
    """The actors, what each of them has been given, and what came back."""

    def __init__(self, ray: Any, job: RayComputer) -> None:
        self._ray, self._job = ray, job
        self._packed = ray.put(_packed(job))
        cluster = job.cluster
        self._class = ray.remote(num_cpus=cluster.cpus, num_gpus=cluster.gpus, max_restarts=0)(Worker)
        self._node: dict[Any, str] = {}  # actors that are ready
        self._given: dict[Any, tuple[Any, _Batch | None]] = {}  # what is waited for: of which actor, which batch
        self._again: deque[_Batch] = deque()
        self._parts: dict[int, dict[int, Row]] = {}  # rows of batches that are not done, by their places
        self._lengths: dict[int, int] = {}
        self._done: dict[int, list[Row]] = {}
        self._lost_in_a_row = 0
        self._count = cluster.actors or _room(ray, cluster)
        for _ in range(self._count):
            self._hire()

    def close(self) -> None:
        """End the actors, whatever they are doing."""
        for actor in {*self._node, *(actor for actor, _ in self._given.values())}:
            self._ray.kill(actor)

    def rows(self, entries: Iterator[Entry]) -> Iterator[Row]:
        """The rows of the entries, in their order."""
        given, out = 0, 0
        whole = False
        while True:
            while (actor := self._free()) is not None:
                if self._again:
                    self._give(actor, self._again.popleft())
                    continue
                if whole or given - out >= _WINDOW * self._count:
                    break
                some = list(islice(entries, self._job.batch))
                whole = len(some) < self._job.batch
                if some:
                    self._lengths[given] = len(some)
                    self._give(actor, _Batch(given, some))
                    given += 1
            if whole and out == given:
                return
            self._wait()
            while out in self._done:
                yield from self._done.pop(out)
                out += 1

    def _hire(self) -> None:
        actor = self._class.remote(self._packed, self._job.cluster.gpus)
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
        self._given[actor.rows.remote(batch.entries)] = actor, batch

    def _wait(self) -> None:
        ready, _ = self._ray.wait([*self._given], num_returns=1, timeout=_PATIENCE)
        if not ready and not self._node:
            raise StoreError(
                f"The Ray cluster has no room for an actor of {self._job.cluster.cpus:g} CPUs and "
                f"{self._job.cluster.gpus:g} GPUs; it has {_resources(self._ray)}. Ask for less, or wait for nodes."
            )
        for ref in ready:
            if ref in self._given:
                self._take(ref)

    def _take(self, ref: Any) -> None:
        """What came of a call: a node's name, rows, or a loss."""
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
            self._job.nodes.setdefault(found, Node())
            return
        node = self._job.nodes[self._node[actor]]
        self._keep(batch, [Row(entry, *one) for entry, one in zip(batch.entries, found, strict=True)])
        node.images += len(found)
        node.failed += sum(decoded.error is not None for decoded, _ in found)

    def _lose(self, actor: Any, error: Exception) -> None:
        """An actor, or its node, is gone: what it was given goes to others, and another actor is asked for."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row > _TRIES * (self._count + _WAITING):
            raise StoreError(
                f"The workers of the Ray cluster die one after the other: {_first_line(error)}. What was stored is "
                "kept."
            ) from error
        if (node := self._node.pop(actor, None)) is not None:
            self._job.nodes[node].died += 1
        lost = [ref for ref, (whose, _) in self._given.items() if whose is actor]
        batches = [batch for ref in lost if (batch := self._given.pop(ref)[1]) is not None]
        self._again.extend(batches[1:])
        self._hire()
        if batches:  # the first of them was being computed
            batches[0].tries += 1
            self._retry(batches[0])

    def _retry(self, batch: _Batch) -> None:
        """What was being computed when its actor died: once more; after some tries image by image; at last given up."""
        if batch.tries < _TRIES:
            self._again.appendleft(batch)
        elif len(batch.entries) > 1:
            self._again.extend(
                _Batch(batch.number, [entry], batch.place + place) for place, entry in enumerate(batch.entries)
            )
        else:
            entry = batch.entries[0]
            error = Decoded(error=f"{entry.name} ended the process that read it, {_TRIES} times.")
            self._keep(batch, [Row(entry, error)])

    def _keep(self, batch: _Batch, rows: list[Row]) -> None:
        """Rows of a batch, or of one image of it; it is done when all are there."""
        kept = self._parts.setdefault(batch.number, {})
        kept |= {batch.place + place: row for place, row in enumerate(rows)}
        if len(kept) == self._lengths[batch.number]:
            del self._parts[batch.number], self._lengths[batch.number]
            self._done[batch.number] = [kept[place] for place in sorted(kept)]


def import_ray() -> Any:
    """Ray. Raises StoreError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own parts, at import
            import ray
            import ray.util
    except ImportError as error:
        raise StoreError("Ray is not installed: pip install 'triscope[ray]'.") from error
    return ray


def _connect(ray: Any, address: str | None) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise StoreError(
            f"The Ray cluster {address or 'of this machine'} cannot be reached: {_first_line(error)}."
        ) from error


def _packed(job: RayComputer) -> bytes:
    """The network and what is to be computed, to be sent to actors. Raises StoreError where it cannot be sent."""
    from ray import cloudpickle

    network, cluster = job.network, job.cluster
    module = network.module if network.device.type == "cpu" else copy.deepcopy(network.module).cpu()
    how = {"columns": job.columns, "precision": job.precision, "exact": job.exact, "batch": job.batch}
    how["threads"] = max(1, math.floor(cluster.cpus))
    try:
        packed: bytes = cloudpickle.dumps((module, network.settings, how))
    except Exception as error:  # a module may hold anything
        raise StoreError(
            f"{network.name} cannot be sent to other processes: {_first_line(error)}. Index without Ray, or let the "
            "network hold nothing but tensors and plain values."
        ) from error
    return packed


def _room(ray: Any, cluster: Cluster) -> int:
    """How many actors the cluster has room for."""
    there = ray.cluster_resources()
    room = [there.get("CPU", 0) / cluster.cpus] if cluster.cpus else []
    room += [there.get("GPU", 0) / cluster.gpus] if cluster.gpus else []
    return max(1, math.floor(min(room, default=1)))


def _resources(ray: Any) -> str:
    there = ray.cluster_resources()
    return f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"


def _failure(error: Any, node: str) -> TriscopeError:
    """What a worker raised, with where."""
    cause = error.cause
    text = str(cause) if isinstance(cause, TriscopeError) else f"{type(cause).__name__}: {_first_line(cause)}"
    return StoreError(f"A worker on {node} failed: {text.rstrip('.')}. What was stored is kept.")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
