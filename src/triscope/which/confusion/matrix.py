"""The result of `confusion` and `changes`: how many images are in each cell of two classifications, and which."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.errors import OptionError, StoreError
from triscope.images import printable
from triscope.objectives.names import plain_name
from triscope.render.table import count_table
from triscope.results import Drawn
from triscope.which.store import Store

_NONE = "(none)"
_MOST = 40  # rows and columns of an image and of a page: those with most images outside the diagonal
_LINES = 30  # of text
_TOLD = 3  # answers of one line


@dataclass(frozen=True, eq=False)
class Confusion(Drawn):
    """Counts (R, C): how many images of each label were given each answer.

    `labels` (R,) and `answers` (C,) name the rows and columns; where a label names an answer, that stands at the same
    place in both. `members` are the rows of the store in each cell that is not empty, the most certain answer first.
    `certainty` (N,) is the network's, by row of the store. Saved as .html (a page with the images of each cell), .png,
    .csv, .json or .npy.
    """

    store: Store
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    members: Mapping[tuple[int, int], NDArray[np.int64]]
    certainty: Mapping[int, float]
    title: str = "Confusion"
    captions: tuple[str, ...] = ()
    axes: tuple[str, str] = ("label", "answer")
    facts: Mapping[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "table of counts"
    endings: ClassVar[tuple[str, ...]] = (".html", *Drawn.endings, ".csv", ".json")
    usual_form: ClassVar[str] = ".html"
    asked_forms: ClassVar[Mapping[str, str]] = {
        "html": "write an HTML page with the images of each cell  [default]",
        "png": "write an image of the matrix",
        "csv": "write the counts as a CSV table",
    }

    @cached_property
    def matched(self) -> dict[int, int]:
        """The column of the answer that each row's label names, where there is one."""
        places = {plain_name(answer): place for place, answer in enumerate(self.answers)}
        found = {row: places.get(plain_name(label)) for row, label in enumerate(self.labels)}
        return {row: column for row, column in found.items() if column is not None}

    def __getitem__(self, index: int) -> Self:
        """Raises OptionError: a table of counts is one result. `values` has the counts, `members` the images."""
        raise OptionError(
            "A table of counts is one result, and no batch; values, labels and answers say what is where."
        )

    def cells(self) -> list[dict[str, Any]]:
        """One mapping for each cell that is not empty, the fullest first: label, answer, count, share of its row, and
        the names of the images.
        """
        totals = self.values.sum(1).tolist()
        order = sorted(self.members, key=lambda cell: (-len(self.members[cell]), cell))
        return [
            {
                self.axes[0]: self.labels[row],
                self.axes[1]: self.answers[column],
                "count": len(self.members[row, column]),
                "share": len(self.members[row, column]) / totals[row],
                "images": list(self.store.names(self.members[row, column])),
            }
            for row, column in order
        ]

    def summary(self) -> dict[str, Any]:
        """The counts, and what else is known."""
        return {
            "labels": list(self.labels), "answers": list(self.answers), "counts": self.values.tolist(), **self.facts,
            **super().summary(),
        }  # fmt: skip

    @property
    def drawable(self) -> bool:
        """Whether there is any image in it."""
        return bool(self.members)

    def text(self) -> str:
        """A line for each label: how many images, the share classified correctly, and the most common other classes."""
        return str(self)

    def __str__(self) -> str:
        lines = [self._line(row) for row in range(len(self.labels))]
        left = len(lines) - _LINES
        shown = [*lines[:_LINES], f"and {left} more labels"] if left > 0 else lines
        return "\n".join([*self.captions, *shown])

    def _line(self, row: int) -> str:
        counts = Counter({self.answers[column]: int(count) for column, count in enumerate(self.values[row]) if count})
        total, right = sum(counts.values()), self.matched.get(row)
        share = "" if right is None else f"{counts[self.answers[right]] / total:.0%}"
        others = [(name, count) for name, count in counts.most_common() if right is None or name != self.answers[right]]
        told = ", ".join(f"{name} {count}" for name, count in others[:_TOLD])
        width = min(24, max(map(len, self.labels)))
        return f"{self.labels[row]:<{width}}  {total:>6}  {share:>4}  {told}".rstrip()

    def shown(self) -> tuple[list[int], list[int]]:
        """The rows and columns that an image or a page shows, in their order, at most 40 of each: labels that name a
        class, then those with most images outside the diagonal.
        """
        off = self.values.clone()
        for row, column in self.matched.items():
            off[row, column] = 0
        # Labels that name a class come first: the diagonal is what the others are compared with.
        rank = off.sum(1) + torch.tensor(
            [len(self) * self.values.sum().item() * (row in self.matched) for row in range(len(self))]
        )
        rows = _largest(rank, self.values.sum(1), _MOST)
        matched = [self.matched[row] for row in rows if row in self.matched]
        off[:, matched] = -1  # taken already
        spare = _largest(off[rows].sum(0), self.values[rows].sum(0), max(0, _MOST - len(matched)))
        kept = {*matched, *spare}
        return rows, [column for column in range(len(self.answers)) if column in kept]

    def draw(self) -> Tensor:
        """The matrix: darker cells hold a greater share of their row, the number is the count: (3, H, W) in [0, 1]."""
        rows, columns = self.shown()
        marked = {(place, columns.index(self.matched[row])) for place, row in enumerate(rows) if row in self.matched}
        names = ([self.labels[row] for row in rows], [self.answers[column] for column in columns])
        shares = self.values / self.values.sum(1, keepdim=True).clamp(min=1)
        return count_table(self.values[rows][:, columns], shares[rows][:, columns], *names, marked)

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """A page, an image, the raw counts, the counts as a table, or every cell with its images."""
        return {".html": self._page, **super().forms, ".csv": self._csv, ".json": self._json}

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow((f"{self.axes[0]} \\ {self.axes[1]}", *self.answers, "total"))
        for label, counts in zip(self.labels, self.values.tolist(), strict=True):
            writer.writerow((label, *counts, sum(counts)))
        return text.getvalue().encode()

    def _json(self) -> bytes:
        facts = {"cells": self.cells(), **self.facts, "notes": list(self.notes)}
        return json.dumps({**facts, "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()

    def _page(self) -> bytes:
        from triscope.which.confusion.page import page

        return page(self)


def tabulate(
    labels: Sequence[str], answers: Sequence[str], rows: NDArray[np.int64], certainty: Sequence[float] | NDArray[Any]
) -> dict[str, Any]:
    """The parts of a result from one label, answer, row and certainty (N,) of each image: those of labels that name an
    answer come first, by name; then the others by how many images they have.
    """
    labels, answers = [label or _NONE for label in labels], [answer or _NONE for answer in answers]
    plain = {plain_name(answer): answer for answer in answers}
    found, given = Counter(labels), Counter(answers)
    named = sorted((label for label in found if plain_name(label) in plain), key=plain_name)
    row_names = [*named, *(label for label, _ in _ranked(found) if label not in named)]
    first = list(dict.fromkeys(plain[plain_name(label)] for label in named))
    column_names = [*first, *(answer for answer, _ in _ranked(given) if answer not in first)]
    row_of = {name: place for place, name in enumerate(row_names)}
    column_of = {name: place for place, name in enumerate(column_names)}
    members: dict[tuple[int, int], list[int]] = {}
    for place in np.argsort(-np.asarray(certainty, np.float64), kind="stable").tolist():
        members.setdefault((row_of[labels[place]], column_of[answers[place]]), []).append(place)
    counts = torch.zeros(len(row_names), len(column_names), dtype=torch.int64)
    for (row, column), places in members.items():
        counts[row, column] = len(places)
    return {
        "values": counts,
        "labels": tuple(row_names),
        "answers": tuple(column_names),
        "members": {cell: rows[places] for cell, places in members.items()},
        "certainty": dict(zip(rows.tolist(), map(float, certainty), strict=True)),
    }


def answered(store: Store) -> None:
    """Raise LayerNotKept where a store keeps no classes, and StoreError where it keeps one score, or no answers yet."""
    if "answer" in store.fields:
        return
    kept = next((column for column in store.columns if column.layer == "output"), None)
    if kept is None:
        raise store.missing("output")
    raise StoreError(
        f"{printable(store.path)} holds {kept.length} numbers of the output for each image and no predicted classes; "
        + ("index it again to add them." if kept.length > 1 else "a predicted class is one of several.")
    )


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _largest(first: Tensor, then: Tensor, count: int) -> list[int]:
    """The places of the largest values of `first`, of equal ones the largest of `then`; in their order."""
    order = sorted(range(len(first)), key=lambda place: (-int(first[place]), -int(then[place]), place))
    return sorted(order[:count])
