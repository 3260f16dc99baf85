"""A job on a cluster."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from triscope.cluster.actor_pool import ActorPool, Node, Outcome
from triscope.cluster.settings import Cluster, connected
from triscope.cluster.work import Work, packed
from triscope.network import Network


@dataclass(frozen=True, eq=False)
class ClusterJob:
    """Work with a network on a cluster. Results come in the order of the items if `ordered`, else as finished."""

    network: Network
    work: Work[Any, Any]
    cluster: Cluster
    ordered: bool = True
    #: Statistics of each node, by name.
    nodes: dict[str, Node] = field(default_factory=dict)

    def outcomes(self, items: Iterable[Any]) -> Generator[list[Outcome]]:
        """The outcomes of the items, batch by batch.

        Raises ClusterError if the cluster has no room for an actor, or the network cannot be pickled.
        """
        with connected(self.cluster.address) as ray:
            sent = packed(self.network, self.work, self.cluster)
            with closing(ActorPool(ray, self.cluster, self.work, sent, self.nodes)) as pool:
                yield from pool.outcomes(iter(items), ordered=self.ordered)

    def told(self, of_node: Callable[[str, Node], str]) -> tuple[str, ...]:
        """A sentence for each node: the text of `of_node`, such as "12 units", and the number of lost workers."""
        return tuple(
            f"{name}: {of_node(name, node)}"
            + (f"; {node.died} worker{'s' * (node.died != 1)} lost" if node.died else "")
            for name, node in sorted(self.nodes.items())
        )
