"""The network's prediction for each image, as fields for conditions, colours and exports.

    answer      the name of the most likely class
    certainty   its probability, in [0, 1]
    correct     whether that is the image's label, where the label names a class; null elsewhere

The label is what a CSV file says in a column of one of the usual names, else the folder that the image lies in. It
names a class by the class's name, capitals and underscores aside; a number in a CSV file, or of a network whose classes
have no names, is the class's index.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from triscope.network import Network
from triscope.objectives.names import plain_name
from triscope.which.database.about import About
from triscope.which.database.arrow import Field, Rows
from triscope.which.database.schema import Column
from triscope.which.database.table import Table

_NAMES = ("answer", "certainty", "correct")
FOLDER = "folder"
_LABELS = (
    *("label", "labels", "class", "class_name", "classname", "category", "target", "truth", "ground_truth"),
    *("class_index", "class_id", "label_index", "label_id", "target_index"),
)


def answer_fields(network: Network) -> tuple[Field, ...]:
    """The fields as columns of a table; the names of the classes are kept beside the answer."""
    classes = json.dumps(network.classes) if network.classes else ""
    return Field("answer", "string", None, classes), Field("certainty", "float32"), Field("correct", "bool")


def class_names(table: Table) -> tuple[str, ...]:
    """The names of the classes that a table's answers are of; none where they have none."""
    try:
        known = json.loads(table.about_field("answer") or "[]")
    except ValueError:
        return ()
    return tuple(known) if isinstance(known, list) and all(isinstance(name, str) for name in known) else ()


def output_column(columns: Iterable[Column], network: Network) -> Column | None:
    """The column that holds the scores of two or more classes, of which one is right, if there is one."""
    if network.task not in ("classes", "probabilities"):
        return None
    kept = (column for column in columns if column.layer == "output" and column.pool == "none")
    return next((column for column in kept if len(column.shape) == 1 and column.length > 1), None)


def label_field(fields: Iterable[str]) -> str:
    """The field with the labels."""
    named = {name.casefold(): name for name in fields}
    return next((named[name] for name in _LABELS if name in named), FOLDER)


class Answers:
    """The fields of images, from the scores that are stored of them and from their labels."""

    def __init__(self, network: Network, label: str) -> None:
        self._network = network
        self._indices_count = not network.classes or label != FOLDER
        self._named: dict[str, set[int]] = {}
        for index, name in enumerate(network.classes or ()):
            self._named.setdefault(plain_name(name), set()).add(index)

    def __call__(self, scores: NDArray[Any], labels: Sequence[Any], valid: Sequence[bool] | NDArray[np.bool_]) -> Rows:
        """`scores` (N, K), `labels` (N,): the three fields; null where an image has no scores."""
        sure, best = self._network.probabilities(torch.from_numpy(np.array(scores, np.float32))).max(1)
        rows: Rows = {"answer": [], "certainty": [], "correct": []}
        for index, certainty, label, counts in zip(best.tolist(), sure.tolist(), labels, valid, strict=True):
            meant = self._meant(label, scores.shape[1])
            rows["answer"].append(self._network.class_name(index) if counts else None)
            rows["certainty"].append(certainty if counts else None)
            rows["correct"].append(index in meant if counts and meant else None)
        return rows

    def _meant(self, label: Any, count: int) -> set[int]:
        """The classes that a label names: several where they have one name, none where it names none."""
        text = "" if label is None else str(label)
        if found := self._named.get(plain_name(text)):
            return found
        by_index = self._indices_count and text.isdecimal() and int(text) < count
        return {int(text)} if by_index else set()


def write_answers(table: Table, network: Network) -> None:
    """Bring the fields up to date: those of a store that was given its classes, or whose labels have changed."""
    about = About.of(table)
    column, label = output_column(about.columns, network), label_field(about.fields)
    if column is None or (about.label == label and {*_NAMES} <= {*table.names}):
        return
    answers = Answers(network, label)
    rows: Rows = {name: [] for name in _NAMES}
    for part in table.stream([column.name, label, "status"], batch=8192):
        if len(part["row"]):
            found = answers(part[column.name], part[label], [status == "ok" for status in part["status"]])
            for name, values in found.items():
                rows[name] += values
    table.put(answer_fields(network), rows)
    table.describe(replace(about, label=label).to_json())
