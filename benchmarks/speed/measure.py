"""Timing several ways to compute the same thing."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ROUNDS = 21


@dataclass(frozen=True)
class Comparison:
    """CPU time: `seconds` of each way per round; the first way is the reference."""

    name: str
    seconds: Mapping[str, tuple[float, ...]]

    def median(self, label: str) -> float:
        """The median over the rounds, in seconds."""
        return statistics.median(self.seconds[label])

    def ratio(self, label: str, base: str) -> float:
        """How many times as long `label` takes as `base`: the median over the rounds of the ratio within a round.

        Whatever else slows the machine down for a while slows both of a round, and so cancels.
        """
        pairs = zip(self.seconds[label], self.seconds[base], strict=True)
        return statistics.median(mine / other for mine, other in pairs)


def compare(name: str, ways: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> Comparison:
    """Run every way once per round, in rotating order, after one round that is not counted."""
    labels = list(ways)
    seconds: dict[str, list[float]] = {label: [] for label in labels}
    for label in labels:
        ways[label]()
    for turn in range(rounds):
        start = turn % len(labels)
        for label in labels[start:] + labels[:start]:
            began = time.process_time()
            ways[label]()
            seconds[label].append(time.process_time() - began)
    return Comparison(name, {label: tuple(taken) for label, taken in seconds.items()})


def rows(found: Comparison) -> list[str]:
    """The comparison as lines of a table: the medians in milliseconds, and the ratio to the first way."""
    base = next(iter(found.seconds))
    lines = []
    for label in found.seconds:
        ratio = "" if label == base else f"{found.ratio(label, base):6.3f}"
        lines.append(f"{found.name:<34} {label:<10} {1000 * found.median(label):9.1f} ms {ratio:>7}")
    return lines
