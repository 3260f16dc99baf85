"""A job on a cluster, from its first item to its last result."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from triscope.cluster.crew import Crew, Node, Outcome
from triscope.cluster.settings import Cluster, connected
from triscope.cluster.work import Work, packed
from triscope.network import Network


@dataclass(frozen=True, eq=False)
class ClusterJob:
    """Work with a network on a cluster; results come `ordered` as their items, or as they are done."""

    network: Network
    work: Work[Any, Any]
    cluster: Cluster
    ordered: bool = True
    #: What happened on each node, by its name.
    nodes: dict[str, Node] = field(default_factory=dict)

    def outcomes(self, items: Iterable[Any]) -> Generator[list[Outcome]]:
        """What came of the items, batch by batch.

        Raises ClusterError where no actor can be had, or the network cannot be sent.
        """
        with connected(self.cluster.address) as ray:
            sent = packed(self.network, self.work, self.cluster)
            with closing(Crew(ray, self.cluster, self.work, sent, self.nodes)) as crew:
                yield from crew.outcomes(iter(items), ordered=self.ordered)

    def told(self, of_node: Callable[[str, Node], str]) -> tuple[str, ...]:
        """A sentence for each node: what was done there, in the words of `of_node`, and how many workers were lost."""
        return tuple(
            f"{name}: {of_node(name, node)}"
            + (f"; {node.died} worker{'s' * (node.died != 1)} lost" if node.died else "")
            for name, node in sorted(self.nodes.items())
        )
