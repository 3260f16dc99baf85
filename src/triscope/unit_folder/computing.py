"""Compute: from channels of layers to finished images. Nothing is written here, and no folder is known.

A `UnitComputer` works in this process, a `RayUnitComputer` hands the same work to actors of a Ray cluster.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, TypeAlias

from triscope.cluster.actor_pool import Node
from triscope.cluster.running import ClusterJob
from triscope.cluster.settings import Cluster
from triscope.images import printable
from triscope.network import Network
from triscope.unit_folder.manifest import Unit
from triscope.what.units import UnitPictures, units

_ROUNDS = 8  # how many times the batch is filled before the images in memory are given up

#: A layer and one of its channels.
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Finished:
    """A unit that is finished, and its image as it is written; None where it has none."""

    unit: Unit
    picture: bytes | None


@dataclass(frozen=True)
class Advance:
    """What was finished since the last one; `under_way`, in units, is the work on unfinished ones."""

    finished: tuple[Finished, ...] = ()
    under_way: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitComputer:
    """Makes images of units in this process; those of a layer in blocks, so that memory does not grow with it."""

    network: Network
    options: Mapping[str, Any]
    form: str

    def __call__(self, places: Sequence[Place]) -> Generator[Advance]:
        """The images of some channels, layer after layer."""
        block = _ROUNDS * batch_of(self.options)
        for layer, some in groupby(places, key=lambda place: place[0]):
            channels = [channel for _, channel in some]
            for first in range(0, len(channels), block):
                yield from self._block(layer, channels[first : first + block])

    def _block(self, layer: str, channels: Sequence[int]) -> Generator[Advance]:
        kept: set[int] = set()
        texts = [str(channel) for channel in channels]
        steps: Any = units.steps(self.network, [layer], **{**self.options, "channels": texts})
        with closing(steps):
            for step in steps:
                fresh = [row for row, count in enumerate(step.result.steps) if count and row not in kept]
                kept |= set(fresh)
                finished = tuple(self._finished(step.result, row) for row in fresh)
                yield Advance(finished, len(channels) * step.index / step.total - len(kept))

    def _finished(self, result: UnitPictures, row: int) -> Finished:
        one = result[row]
        ((layer, channel),) = one.places
        score = float(one.scores[0])
        names = (self.network.classes if layer == "output" else None) or ()
        title = printable(names[channel]) if channel < len(names) else ""
        unit = Unit(
            one.asked[0], layer, channel, None if math.isnan(score) else score, int(one.steps[0]), one.notes, title
        )
        return Finished(unit, None if unit.score is None else one.encode(self.form))

    def told(self) -> tuple[str, ...]:
        """Nothing: there is one machine."""
        return ()


@dataclass(frozen=True)
class _UnitWork:
    """What an actor does: a computer of its own, in each."""

    options: Mapping[str, Any]
    form: str

    @property
    def batch(self) -> int:
        return batch_of(self.options)

    def begin(self, network: Network, threads: int) -> Callable[[list[Place]], list[Finished]]:
        compute = UnitComputer(network, self.options, self.form)

        def made(places: list[Place]) -> list[Finished]:
            found = {(one.unit.layer, one.unit.channel): one for part in compute(places) for one in part.finished}
            return [found[place] for place in places]

        return made

    def lost(self, place: Place, tries: int) -> str:
        layer, channel = place
        return f"{layer}:{channel} crashed its worker process {tries} times, and has no image."


@dataclass(frozen=True)
class RayUnitComputer:
    """Makes images of units on a Ray cluster: each actor is handed `batch` channels at once."""

    network: Network
    options: Mapping[str, Any]
    form: str
    cluster: Cluster

    def __call__(self, places: Sequence[Place]) -> Generator[Advance]:
        """The images of some channels, as they are finished. Raises ClusterError where no actor can be had."""
        if not places:
            return
        with closing(self._job.outcomes(places)) as batches:
            for batch in batches:
                results = [one.result for one in batch]
                finished = tuple(one for one in results if isinstance(one, Finished))
                yield Advance(finished, notes=tuple(one for one in results if isinstance(one, str)))

    @cached_property
    def _job(self) -> ClusterJob:
        return ClusterJob(self.network, _UnitWork(dict(self.options), self.form), self.cluster, ordered=False)

    def told(self) -> tuple[str, ...]:
        """A sentence for each node."""
        return self._job.told(_of_node)


def _of_node(name: str, node: Node) -> str:
    return f"{node.items:,} units"


def batch_of(options: Mapping[str, Any]) -> int:
    """How many ascents are under way at once."""
    usual = next(option.default for option in units.options if option.name == "batch")
    return int(options.get("batch", usual))
