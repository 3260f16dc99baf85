"""Which colour stands for which value of a field: a legend, and each image's place in it.

Values that are words have a colour each, the commonest first, as long as there are at most 36; beyond that the others
share a grey, and the legend says how many they are. The first twelve can be told apart by most people (eight of Okabe
and Ito's but black, then darker and paler ones between them); the further ones were each chosen as far as could be from
all before and from the paper by day and by night, so that any two are at least 0.069 apart in OKLab. Many numbers or
dates are divided into six ranges with about as many images each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from triscope.images import printable

PALETTE = (
    *("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442", "#882255", "#44aa99", "#999933"),
    *("#aa4499", "#6677cc", "#005a00", "#ff00ff", "#ffc3ff", "#4b00b4", "#00ffe1", "#00e100", "#9600ff", "#78695a"),
    *("#ff0069", "#003cff", "#004b69", "#c3d2b4", "#693c00", "#f087ff", "#c3001e", "#b469f0", "#00b400", "#ffa596"),
    *("#a5c300", "#8700a5", "#87ff69", "#5a7800", "#5a4b96", "#4bd296"),
)
OTHER = "#9a958c"
RANGES = ("#3f3d9e", "#2f6fb0", "#1f9a9a", "#57b96a", "#b3cf3f", "#f4d934")
_FEW = 12  # numbers that are words to a legend: years, grades


@dataclass(frozen=True)
class Coloring:
    """A legend of (value, how many images, colour as #rrggbb), and each image's place in it (N,)."""

    legend: tuple[tuple[str, int, str], ...]
    places: tuple[int, ...]

    @property
    def colors(self) -> list[str]:
        """Each image's colour (N,)."""
        return [self.legend[place][2] for place in self.places]


def coloring(values: Sequence[Any]) -> Coloring:
    """Colours for the values of a field (N,), None where it is not known."""
    known = {value for value in values if value is not None}
    if len(known) > _FEW and all(isinstance(value, int | float | date) for value in known):
        return _ranges(values)
    texts = [shown(value) for value in values]
    ranked = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    single = len(ranked) if len(ranked) <= len(PALETTE) else len(PALETTE) - 1
    legend = [(text, count, color) for (text, count), color in zip(ranked[:single], PALETTE, strict=False)]
    others = ranked[single:]
    if others:
        legend.append((f"{len(others)} others", sum(count for _, count in others), OTHER))
    place = {text: min(number, single) for number, (text, _) in enumerate(ranked)}
    return Coloring(tuple(legend), tuple(place[text] for text in texts))


def shown(value: Any) -> str:
    """A value of an image's metadata as text; "" where it is None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
    return printable(str(value))


def _ranges(values: Sequence[Any]) -> Coloring:
    """Ranges of numbers or dates with about as many images each; equal values are in one range."""
    ordered = sorted(value for value in values if value is not None)
    edges = sorted({ordered[len(ordered) * part // len(RANGES)] for part in range(len(RANGES))})
    which = {value: max(place for place, edge in enumerate(edges) if edge <= value) for value in set(ordered)}
    counts = Counter(which[value] for value in ordered)
    legend = []
    for place, color in zip(range(len(edges)), RANGES, strict=False):
        inside = [value for value in which if which[value] == place]
        low, high = shown(min(inside)), shown(max(inside))
        legend.append((low if low == high else f"{low} to {high}", counts[place], color))
    missing = len(values) - len(ordered)
    if missing:
        legend.append(("", missing, OTHER))
    return Coloring(tuple(legend), tuple(len(edges) if value is None else which[value] for value in values))
