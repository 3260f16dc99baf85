"""Which Ray cluster computes, and what each actor takes of it."""

import math
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from triscope.errors import ClusterError, OptionError

_KNOCKING = 20.0  # seconds in which the head of a cluster has to answer


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
            raise OptionError(f"Workers are a number of threads, 'ray' or 'ray://HOST:PORT', not {workers!r}.")
        return cls(None if workers == "ray" else workers)

    @property
    def threads(self) -> int:
        """With how many threads an actor computes."""
        return max(1, math.floor(self.cpus))

    def room(self, ray: Any) -> int:
        """How many actors there shall be: so many as were asked for, else as the cluster has room for."""
        there = ray.cluster_resources()
        room = [there.get("CPU", 0) / self.cpus] if self.cpus else []
        room += [there.get("GPU", 0) / self.gpus] if self.gpus else []
        return self.actors or max(1, math.floor(min(room, default=1)))

    def no_room(self, ray: Any) -> ClusterError:
        """No actor can be had."""
        there = ray.cluster_resources()
        return ClusterError(
            f"The Ray cluster has no room for an actor of {self.cpus:g} CPUs and {self.gpus:g} GPUs; it has "
            f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs. Ask for less, or wait for nodes."
        )


def import_ray() -> Any:
    """Ray. Raises ClusterError where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own parts, at import
            import ray
            import ray.util
    except ImportError as error:
        raise ClusterError("Ray is not installed: pip install 'triscope[ray]'.") from error
    return ray


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster; left afterwards where it was not connected before. Raises ClusterError."""
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        _knock(address or "")
        if address is None and not _last_answers():
            address = "local"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"The Ray cluster {address or 'of this machine'} cannot be reached: {first_line(error)}."
        ) from error


def _last_answers() -> bool:
    """Whether the cluster that was started last on this machine is there, where one was. Ray would go on trying to
    reach one that was killed, as the file that names it stays behind.
    """
    from ray._private.utils import read_ray_address

    try:
        _knock(read_ray_address() or "")
    except OSError:
        return False
    return True


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT, which Ray would go on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCKING).close()


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without a full stop; its kind where there is none."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
