"""Labelled photos: the images of a collection, with the classes and object masks of a CSV file.

These columns are read (case-insensitive):

    class_index, label, class, ...          the class, by index or by name
    left, top, right, bottom                the object's bounding box, in pixels of the whole image; or
    xmin, ymin, xmax, ymax                  the same
    mask                                    a mask file of the photo's size, not black where the object is
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from triscope.errors import StoreError, TriscopeError
from triscope.images import open_photo, printable
from triscope.metrics.localisation import box_mask
from triscope.network import Fit, ImageBatch, Network
from triscope.network.preprocess import Box
from triscope.objectives.units import Logit
from triscope.which.collection import Collection, Entry
from triscope.which.indexing.answers import FOLDER, label_field

_BOXES = (("left", "top", "right", "bottom"), ("xmin", "ymin", "xmax", "ymax"))
_MASK = "mask"


@dataclass(frozen=True, eq=False)
class Labelled:
    """One preprocessed photo (a batch of one), its labelled class, and the mask (H, W) of the object, if known."""

    name: str
    image: ImageBatch
    label: Logit | None
    mask: Tensor | None


class LabelledPhotos:
    """The photos of a collection, read one by one in iteration and not kept in memory.

    `labels` is the CSV file with their classes, boxes or masks; by default the collection itself, if it is a CSV file.
    Photos that it does not name are left out. `failed` maps the names of photos that could not be used so far to the
    reasons. Raises StoreError if the CSV file names none of the photos, or has none of the columns above.
    """

    def __init__(self, network: Network, collection: Collection, labels: Collection | None, fit: Fit) -> None:
        self._network, self._fit = network, fit
        self.failed: dict[str, str] = {}
        table = labels if labels is not None else collection
        self._folder = table.root
        names = {name.casefold(): name for name in table.fields}
        label = label_field(table.fields)
        self._label = None if label == FOLDER else label
        self._box = next((tuple(names[one] for one in box) for box in _BOXES if all(one in names for one in box)), None)
        self._mask = names.get(_MASK)
        self.has_masks = self._box is not None or self._mask is not None
        if labels is not None and not (self._label or self.has_masks):
            raise StoreError(
                f"{labels.name} has no column of classes, boxes or masks: its columns are "
                f"{', '.join(table.fields) or 'none'}. Call the column of the classes `label`, and those of a box "
                "`left`, `top`, `right` and `bottom`."
            )
        entries = list(collection)
        self._entries = entries if labels is None else list(_with_labels(entries, labels))
        self.left_out = len(entries) - len(self._entries)
        if not entries:
            raise StoreError(f"{collection.name} holds no images.")
        if not self._entries:
            raise StoreError(
                f"{table.name} names none of the {len(entries)} images of {collection.name}. Paths in it must be "
                f"relative to its own folder, or to {collection.name}."
            )

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def notes(self) -> list[str]:
        """What is left out, as sentences; photos that could not be used are counted as far as they were read."""
        found = []
        if self.left_out:
            found.append(f"{self.left_out} photos that the labels do not name are left out.")
        if self.failed:
            name, reason = next(iter(self.failed.items()))
            more = f"{len(self.failed)} photos" if len(self.failed) > 1 else "One photo"
            found.append(
                f"{more} could not be used and {'are' if len(self.failed) > 1 else 'is'} left out: {name}: {reason}"
            )
        return found

    def __iter__(self) -> Iterator[Labelled | None]:
        """The photos in order; None for one that cannot be used."""
        for entry in self._entries:
            try:
                yield self._read(entry)
            except TriscopeError as error:
                self.failed[entry.name] = str(error)
                yield None

    def _read(self, entry: Entry) -> Labelled:
        image = self._network.prepare(entry.path if entry.place is None else entry.read(), self._fit)
        cell = entry.metadata.get(self._label) if self._label else None
        label = None if cell in (None, "") else Logit(_class(cell)).bind(self._network)
        return Labelled(entry.name, image, label, self._object_mask(entry, image))

    def _object_mask(self, entry: Entry, image: ImageBatch) -> Tensor | None:
        """The mask (H, W) of the object in the preprocessed image; None where it is not given."""
        size, crop = (image.images.shape[-2], image.images.shape[-1]), image.boxes[0]
        if self._mask and (name := entry.metadata.get(self._mask)):
            whole = open_photo(Path(self._folder or ".", str(name))).pixels[0].amax(0) > 0
            return _cropped_mask(whole, crop, size)
        if self._box is None:
            return None
        cells = [entry.metadata.get(name) for name in self._box]
        if any(one in (None, "") for one in cells):
            return None
        return _cropped_box(entry.name, [_number(entry.name, one) for one in cells], crop, size)


def _with_labels(entries: Sequence[Entry], labels: Collection) -> Iterator[Entry]:
    """The entries that the file names, with its columns as their metadata."""
    known: dict[str, Mapping[str, Any]] = {}
    for row in labels:
        known[os.path.normpath(row.path)] = row.metadata
        known.setdefault(os.path.normpath(os.fsdecode(row.id)), row.metadata)
    for entry in entries:
        found = known.get(os.path.normpath(entry.path), known.get(os.path.normpath(os.fsdecode(entry.id))))
        if found is not None:
            yield replace(entry, metadata=found)


def _class(cell: Any) -> int | str:
    """The class in a cell: an index or a name."""
    text = str(cell).strip()
    return int(text) if text.isdecimal() else text


def _number(name: str, cell: Any) -> float:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise StoreError(f"The box of {name} holds {printable(str(cell))!r}, which is not a number of pixels.")
    return value


def _cropped_box(name: str, sides: Sequence[float], crop: Box, size: tuple[int, int]) -> Tensor:
    """A box (left, top, right, bottom) in the whole image as a mask (H, W) of the given size over the crop."""
    left, top, right, bottom = sides
    if right <= left or bottom <= top:
        raise StoreError(f"The box of {name} is empty: right must lie beyond left, and bottom below top.")
    down, across = size[0] / crop.height, size[1] / crop.width
    first, last = round((top - crop.top) * down), round((bottom - crop.top) * down)
    start, end = round((left - crop.left) * across), round((right - crop.left) * across)
    made = box_mask(size, (first, start, last - first, end - start))
    if not bool(made.any()):
        raise StoreError(f"The box of {name} lies outside the crop that the network gets; try --fit pad.")
    return made


def _cropped_mask(whole: Tensor, crop: Box, size: tuple[int, int]) -> Tensor:
    """The crop of a mask (H, W) of the whole image, padded where it goes beyond and resized to the given size."""
    rows, cols = whole.shape
    padded = F.pad(
        whole[None, None].float(),
        (
            max(0, -crop.left),
            max(0, crop.left + crop.width - cols),
            max(0, -crop.top),
            max(0, crop.top + crop.height - rows),
        ),
    )
    top, left = max(0, crop.top), max(0, crop.left)
    part = padded[..., top : top + crop.height, left : left + crop.width]
    return F.interpolate(part, size, mode="area")[0, 0] > 0.5
