"""What is done on a cluster, and what an actor makes of it."""

import copy
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch

from triscope.cluster.settings import Cluster, first_line
from triscope.errors import ClusterError
from triscope.network import Network
from triscope.network.loading._torchvision import import_torchvision

Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(Protocol[Item, Result]):
    """What actors do with items, many of which make a batch. It is sent to them, so it holds plain values.

    To do it twice changes nothing: it reads and computes, and writes nothing.
    """

    @property
    def batch(self) -> int:
        """How many items an actor is handed at once."""
        ...

    def begin(self, network: Network, threads: int) -> Callable[[list[Item]], list[Result]]:
        """Called once in each actor, with its copy of the network: what makes a result of each item of a batch."""
        ...

    def lost(self, item: Item, tries: int) -> Result:
        """The result of an item at which so many processes died."""
        ...


class Worker:
    """What an actor holds: the network, loaded once, and the work with it."""

    def __init__(self, packed: bytes, gpus: float) -> None:
        self._packed, self._gpus = packed, gpus
        self._do: Callable[[list[Any]], list[Any]] | None = None

    def ready(self) -> str:
        """Load the network; the name of the node."""
        import socket

        import ray
        from ray import cloudpickle

        if b"torchvision" in self._packed:
            import_torchvision()
        # Of the driver, as this class is. Unpacked here and not by Ray: what a node cannot load is an error of this
        # call, told with the node.
        module, settings, threads, work = cloudpickle.loads(self._packed)
        torch.set_num_threads(threads)
        network = Network(module.to("cuda") if self._gpus else module, **settings)
        self._do = work.begin(network, threads)
        self._packed = b""
        address = ray.util.get_node_ip_address()
        return f"{socket.gethostname()} ({address}, {ray.get_runtime_context().get_node_id()[:6]})"

    def do(self, items: list[Any]) -> list[Any]:
        """The result of each item."""
        assert self._do is not None  # it is asked when it is ready
        return self._do(items)


def packed(network: Network, work: Work[Any, Any], cluster: Cluster) -> bytes:
    """The network and the work, to be sent to actors. Raises ClusterError where it cannot be sent."""
    from ray import cloudpickle

    module = network.module if network.device.type == "cpu" else copy.deepcopy(network.module).cpu()
    settings = {**network.settings, "source": network.source}
    try:
        sent: bytes = cloudpickle.dumps((module, settings, cluster.threads, work))
    except Exception as error:  # a module may hold anything
        raise ClusterError(
            f"{network.name} cannot be sent to other processes: {first_line(error)}. Do without Ray, or let the "
            "network hold nothing but tensors and plain values."
        ) from error
    return sent
