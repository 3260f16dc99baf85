"""The section on eight methods: their maps in one figure, and metrics of each."""

from collections.abc import Iterator

from triscope.metrics.baselines import BASELINES
from triscope.metrics.judge import judge
from triscope.reporting.blocks import Block, Figure, Mosaic, Table
from triscope.reporting.subject import Subject
from triscope.where.by_name import kept_maps
from triscope.where.comparison import compare

_STEPS = 10  # of a curve
_CAUTION = (
    "The methods answer different questions, so maps that differ need not contradict each other, and sharp maps look "
    "more convincing than they are. Numbers of one image vary much: judge methods on many (triscope judge "
    "--collection)."
)


def by_eight_methods(subject: Subject) -> Iterator[Block]:
    """The maps of the usual methods for the best class, and a row of metrics for each."""
    best, share = subject.best
    with kept_maps():
        shown, png, command = subject.ask(compare)
        found, _, judging = subject.ask(judge, steps=_STEPS)
    yield Figure(
        f"{len(shown.methods)} methods",
        png,
        f"Bright or red pixels raise the score of {best}{share}, blue ones lower it. All maps have one scale, from "
        "nothing to each map's own strongest value, which is given with it: methods differ in their units."
        f"{''.join(f' {note}' for note in shown.notes)}",
        _CAUTION,
        command,
        wide=True,
        mosaic=Mosaic.of(shown),
        drawing=shown.drawing(),
    )
    lines = [(row.replace("_", " "), found.sentence(row)) for row in found.rows if row not in BASELINES]
    yield Table(
        "How far to believe each",
        ("method", "judgement"),
        tuple(lines),
        0,
        "Insertion: the mean probability of the class while pixels are added, the most important first (higher is "
        "better). Deletion: while they are removed (lower is better). The baselines know nothing of the "
        "network: a random map, a centred Gaussian, the edges of the photo.",
        _CAUTION,
        judging,
        unfolded=True,
    )
