"""Changes: which images two networks, or two checkpoints of one, classify differently.

    x is shown where argmax f(x) differs from argmax g(x)

**When it misleads.** A prediction may change by little: look at both certainties. Images that only one of the stores
holds are left out, and counted. That more predictions became right than wrong says little where few changed.

**Reference.** The off-diagonal cells of Q. McNemar, "Note on the sampling error of the difference between correlated
proportions or percentages", Psychometrika 12, 1947; "negative flips" in S. Yan et al., "Positive-congruent training:
towards regression-free model updates", CVPR 2021.
"""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from triscope.errors import StoreError
from triscope.methods import StoreInput, method
from triscope.which.confusion.matrix import Confusion, answered, tabulate
from triscope.which.store import Store, StoreArg

OtherStoreArg = Annotated[Store, StoreInput(help="the second network's store, of the same images")]
_LINES = 30


@dataclass(frozen=True, eq=False)
class Changes(Confusion):
    """Counts (R, C) of images by the prediction of the first network and, in columns, of the second, where they differ.

    `changed` has one mapping for each: name, label, both answers and certainties, and whether each is right, the surest
    pairs of answers first.
    """

    changed: tuple[Mapping[str, Any], ...] = ()

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """A page, an image, the raw counts, a table of the images, or every cell with its images."""
        return {**super().forms, ".csv": self._listed}

    def __str__(self) -> str:
        shown = [
            f"{one['before_certainty']:.2f} {one['before']}  ->  {one['after_certainty']:.2f} {one['after']}  "
            f"{_judged(one)}  {one['name']}"
            for one in self.changed[:_LINES]
        ]
        left = len(self.changed) - _LINES
        return "\n".join([*self.captions, *shown, *([f"and {left} more; --csv lists all"] if left > 0 else [])])

    def _listed(self) -> bytes:
        text = io.StringIO(newline="")
        columns = (
            *("name", "label", "before", "before_certainty", "before_correct"),
            *("after", "after_certainty", "after_correct"),
        )
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(self.changed)
        return text.getvalue().encode()


@method("which")
def changes(store: StoreArg, other: OtherStoreArg, *, where: str | None = None) -> Changes:
    """The images that the networks of two stores classify differently, and how many change from which class to which
    (R, C).

    Both stores hold the same images, indexed with two networks: `triscope index photos/ --weights new.pth --store new`.
    Images are matched by name. Raises StoreError if a store does not keep the layer `output`, or if the stores share no
    image.

    where   only images that meet this SQL condition in the first store: folder = 'cats'
    """
    for one in (store, other):
        answered(one)
    label = store.about.label or "folder"
    fields = list(dict.fromkeys(("key", "name", label, "answer", "certainty", "correct")))
    before = _known(store, fields, store.condition(where))
    after = _known(other, ["key", "answer", "certainty", "correct"], other.condition(None))
    shared = [key for key in before if key in after]
    if not shared:
        raise StoreError("The two stores hold no image of the same name; index the same images into both.")
    changed = [
        _change(before[key], after[key], label) for key in shared if before[key]["answer"] != after[key]["answer"]
    ]
    changed.sort(key=lambda one: -one["before_certainty"] * one["after_certainty"])
    parts = tabulate(
        [one["before"] for one in changed],
        [one["after"] for one in changed],
        np.array([one["row"] for one in changed], np.int64),
        [one["after_certainty"] for one in changed],
    )
    better = sum(one["after_correct"] is True and one["before_correct"] is False for one in changed)
    worse = sum(one["before_correct"] is True and one["after_correct"] is False for one in changed)
    alone = len(before) - len(shared)
    left = f"{alone} image{'s are' if alone > 1 else ' is'} in the first store only and left out."
    return Changes(
        store=store,
        title="Changes",
        captions=(_caption(store, other, len(changed), len(shared), better, worse),),
        axes=("before", "after"),
        facts={"images": len(shared), "changed": len(changed), "now_right": better, "now_wrong": worse},
        changed=tuple({name: value for name, value in one.items() if name != "row"} for one in changed),
        notes=(left,) if alone else (),
        **parts,
    )


def _known(store: Store, fields: list[str], condition: str) -> dict[int, dict[str, Any]]:
    """The metadata of a store's images, by their keys."""
    rows = store.table.rows_where(condition)
    found = store.table.take(rows, fields)
    columns = {name: np.asarray(values).tolist() if name != "correct" else values for name, values in found.items()}
    each = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return {one["key"]: {**one, "row": row} for one, row in zip(each, rows.tolist(), strict=True)}


def _change(before: Mapping[str, Any], after: Mapping[str, Any], label: str) -> dict[str, Any]:
    return {
        "row": before["row"], "name": before["name"], "label": before[label],
        "before": before["answer"], "before_certainty": before["certainty"], "before_correct": before["correct"],
        "after": after["answer"], "after_certainty": after["certainty"], "after_correct": after["correct"],
    }  # fmt: skip


def _judged(one: Mapping[str, Any]) -> str:
    if one["after_correct"]:
        return "right now"
    return "wrong now" if one["before_correct"] else ""


def _caption(store: Store, other: Store, changed: int, shared: int, better: int, worse: int) -> str:
    names = [one.about.network for one in (store, other)]
    if names[0] == names[1]:
        names = [f"{one.about.network} ({one.about.sha256[:8]})" for one in (store, other)]
    judged = f": {better:,} are right now, {worse:,} are wrong now" if better or worse else ""
    return f"{changed:,} of {shared:,} images are classified differently by {names[0]} and by {names[1]}{judged}."
