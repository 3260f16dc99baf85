"""Confusion matrix: the predicted classes of the images of each label, and which images those are.

    counts[i, j] = how many images with the label i have j as their most likely class

**When it misleads.** The label is what a list or the name of a folder says; where that is wrong, the network looks
wrong. A label that names none of the network's classes has no right answer: its row shows what the network makes of
such images. Rows of few images say little: look at the counts and not at the shares alone.

**Reference.** Named in psychology, for letters that people confuse (J. Townsend, "Theoretical analysis of an
alphabetic confusion matrix", Perception & Psychophysics 9, 1971); in machine learning the usual table of a classifier's
mistakes.
"""

from triscope.errors import StoreError, nearest
from triscope.methods import method
from triscope.which.confusion.matrix import Confusion, answered, tabulate
from triscope.which.indexing.answers import class_names
from triscope.which.maps.coloring import shown
from triscope.which.store import Store, StoreArg


@method("which")
def confusion(
    store: StoreArg,
    *,
    by: str | None = None,
    where: str | None = None,
) -> Confusion:
    """The confusion matrix of a store (R, C): how many images of each label are classified as each class, and which
    ones.

    The store must keep the layer `output`. Raises StoreError if it does not, if it has no such field, or if it holds no
    image.

    by      the field that holds the labels  [default: the column label of the collection's table, or else the folder]
    where   only images that meet this SQL condition: folder = 'cats', certainty < 0.5
    """
    answered(store)
    label = by or store.about.label or "folder"
    if label not in store.fields:
        raise StoreError(
            f"The images have no field {label!r}.{nearest(label, store.fields)} They have {', '.join(store.fields)}."
        )
    rows = store.table.rows_where(store.condition(where))
    if not len(rows):
        raise StoreError("There is no such image in the store." if where else "There is no image in the store.")
    known = store.table.take(rows, list(dict.fromkeys((label, "answer", "certainty", "correct"))))
    labels = [_named(shown(value), label, store) for value in known[label]]
    parts = tabulate(labels, known["answer"], rows, known["certainty"])
    judged = [correct for correct in known["correct"] if correct is not None] if label == store.about.label else []
    facts = {"images": len(rows), "judged": len(judged), "correct": sum(judged)}
    caption = f"{len(rows):,} images by {label} and by the predicted class of {store.about.network}"
    if judged:
        caption += (
            f"; of {len(judged):,} whose label is a class, {sum(judged) / len(judged):.1%} are classified correctly"
        )
    return Confusion(
        store=store, title="Confusion", captions=(f"{caption}.",), axes=(label, "answer"), facts=facts, **parts
    )


def _named(text: str, label: str, store: Store) -> str:
    """The name of a class that a list gives by its number; any other label as it is."""
    classes = class_names(store.table) if label == store.about.label != "folder" and text.isdecimal() else ()
    return classes[int(text)] if text.isdecimal() and int(text) < len(classes) else text
