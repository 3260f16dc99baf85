"""The work of a job on a cluster, and the actor that runs it."""

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
    """The computation of results from items, in batches. It is pickled and sent to actors, so it holds plain values.

    It has no side effects, so that it can be repeated: it reads and computes, and writes nothing.
    """

    @property
    def batch(self) -> int:
        """The number of items in a batch."""
        ...

    def begin(self, network: Network, threads: int) -> Callable[[list[Item]], list[Result]]:
        """A function from a batch of items to their results. Called once per actor, with its copy of the network."""
        ...

    def lost(self, item: Item, tries: int) -> Result:
        """The result of an item during which processes died `tries` times."""
        ...


class Worker:
    """The actor: it loads the network once, and computes batches."""

    def __init__(self, packed: bytes, gpus: float) -> None:
        self._packed, self._gpus = packed, gpus
        self._do: Callable[[list[Any]], list[Any]] | None = None

    def ready(self) -> str:
        """Load the network. Returns the name of the node."""
        import socket

        import ray
        from ray import cloudpickle

        if b"torchvision" in self._packed:
            import_torchvision()
        # Unpickled here and not by Ray, so that if the node cannot load it, this call raises, and the message names
        # the node. The bytes come from the driver, as this class does.
        module, settings, threads, work = cloudpickle.loads(self._packed)
        torch.set_num_threads(threads)
        network = Network(module.to("cuda") if self._gpus else module, **settings)
        self._do = work.begin(network, threads)
        self._packed = b""
        address = ray.util.get_node_ip_address()
        return f"{socket.gethostname()} ({address}, {ray.get_runtime_context().get_node_id()[:6]})"

    def do(self, items: list[Any]) -> list[Any]:
        """The result of each item."""
        assert self._do is not None  # `ready` has been called
        return self._do(items)


def packed(network: Network, work: Work[Any, Any], cluster: Cluster) -> bytes:
    """The network and the work, pickled for actors. Raises ClusterError if they cannot be pickled."""
    from ray import cloudpickle

    module = network.module if network.device.type == "cpu" else copy.deepcopy(network.module).cpu()
    settings = {**network.settings, "source": network.source}
    try:
        sent: bytes = cloudpickle.dumps((module, settings, cluster.threads, work))
    except Exception as error:  # a module may hold anything
        raise ClusterError(
            f"{network.name} cannot be pickled for other processes: {first_line(error)}. Run without Ray, or remove "
            "everything from the module but tensors and plain values."
        ) from error
    return sent
