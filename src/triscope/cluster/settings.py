"""The Ray cluster, the resources of each actor, and the connection."""

import math
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from triscope.errors import ClusterError, OptionError

_CONNECT_TIMEOUT = 20.0  # seconds


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster, and the resources of each actor.

    address     its address ("ray://host:10001", "host:6379"); by default that in RAY_ADDRESS, else a cluster running on
                this machine, else a new one on this machine's CPUs
    cpus        CPUs per actor
    gpus        GPUs per actor; above 0, the network runs on a GPU
    actors      number of actors; by default as many as the cluster has room for
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    actors: int | None = None

    @classmethod
    def read(cls, workers: "int | str | Cluster | None") -> "Cluster | None":
        """The cluster for `workers` "ray" or "ray://host:10001"; None for a number of threads.

        Raises OptionError for another text.
        """
        if isinstance(workers, Cluster):
            return workers
        if not isinstance(workers, str):
            return None
        if workers != "ray" and not workers.startswith("ray://"):
            raise OptionError(f"Workers must be a number of threads, 'ray' or 'ray://HOST:PORT', not {workers!r}.")
        return cls(None if workers == "ray" else workers)

    @property
    def threads(self) -> int:
        """The number of threads of an actor."""
        return max(1, math.floor(self.cpus))

    def room(self, ray: Any) -> int:
        """The number of actors: `actors`, by default as many as the cluster has room for."""
        resources = ray.cluster_resources()
        room = [resources.get("CPU", 0) / self.cpus] if self.cpus else []
        room += [resources.get("GPU", 0) / self.gpus] if self.gpus else []
        return self.actors or max(1, math.floor(min(room, default=1)))

    def no_room(self, ray: Any) -> ClusterError:
        """The error that the cluster has no room for an actor."""
        resources = ray.cluster_resources()
        return ClusterError(
            f"The Ray cluster has no room for an actor of {self.cpus:g} CPUs and {self.gpus:g} GPUs; it has "
            f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs. Request less per actor, or wait "
            "for nodes."
        )


def import_ray() -> Any:
    """The package ray. Raises ClusterError if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray's own deprecation warnings
            import ray
            import ray.util
    except ImportError as error:
        raise ClusterError("Ray is not installed: pip install 'triscope[ray]'.") from error
    return ray


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The package ray, connected to a cluster; disconnected afterwards, unless it was connected before.

    Raises ClusterError if the cluster cannot be reached.
    """
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
        _check_port(address or "")
        if address is None and not _last_cluster_is_up():
            address = "local"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"The Ray cluster {address or 'of this machine'} cannot be reached: {first_line(error)}."
        ) from error


def _last_cluster_is_up() -> bool:
    """False if the cluster that was started last on this machine was killed.

    Ray's file with its address stays behind, and Ray would try to connect to it for minutes.
    """
    from ray._private.utils import read_ray_address

    try:
        _check_port(read_ray_address() or "")
    except OSError:
        return False
    return True


def _check_port(address: str) -> None:
    """Raise OSError if nothing listens at HOST:PORT, to which Ray would try to connect for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without a full stop; the name of its class if it has none."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
