"""Labelled photos: the images of a collection one after the other, with what a CSV file says of them.

Of its columns are read, by their names (capitals aside):

    class_index, label, class, ...          the class that is asked, by index or by name
    left, top, right, bottom                a box around the object, in pixels of the whole image; or
    xmin, ymin, xmax, ymax                  the same
    mask                                    an image of the object, not black where it is; of the photo's size
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
    """One photo as the network sees it (a batch of one), the class it is asked, and the object's pixels (H, W)."""

    name: str
    image: ImageBatch
    asked: Logit | None
    mask: Tensor | None


class LabelledPhotos:
    """The photos of a collection, read when they are reached: nothing is kept in memory.

    `labels` is the CSV file that says what is known of them; of a collection that is one itself, that is used. Photos
    that it does not name are left out. What cannot be used is in `failed`, by name, as soon as it was met. Raises
    StoreError where the CSV file names none of the photos, or says nothing that is read.
    """

    def __init__(self, network: Network, collection: Collection, labels: Collection | None, fit: Fit) -> None:
        self._network, self._fit = network, fit
        self.failed: dict[str, str] = {}
        told = labels if labels is not None else collection
        self._folder = told.root
        names = {name.casefold(): name for name in told.fields}
        label = label_field(told.fields)
        self._label = None if label == FOLDER else label
        self._box = next((tuple(names[one] for one in box) for box in _BOXES if all(one in names for one in box)), None)
        self._mask = names.get(_MASK)
        self.has_masks = self._box is not None or self._mask is not None
        if labels is not None and not (self._label or self.has_masks):
            raise StoreError(
                f"{labels.name} has no column that is read: its columns are {', '.join(told.fields) or 'none'}. Call "
                "the one of the classes `label`, and those of a box `left`, `top`, `right` and `bottom`."
            )
        entries = list(collection)
        self._entries = entries if labels is None else list(_told(entries, labels))
        self.left_out = len(entries) - len(self._entries)
        if not entries:
            raise StoreError(f"{collection.name} holds no images.")
        if not self._entries:
            raise StoreError(
                f"{told.name} names none of the {len(entries)} images of {collection.name}. Its images are found "
                f"by their place in the folder of the file, or in {collection.name}."
            )

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def notes(self) -> list[str]:
        """What is left out, as sentences; of those that cannot be used, as far as they were met."""
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
        """The photos in their order; None in the place of one that cannot be used."""
        for entry in self._entries:
            try:
                yield self._read(entry)
            except TriscopeError as error:
                self.failed[entry.name] = str(error)
                yield None

    def _read(self, entry: Entry) -> Labelled:
        image = self._network.prepare(entry.path if entry.place is None else entry.read(), self._fit)
        told = entry.metadata.get(self._label) if self._label else None
        asked = None if told in (None, "") else Logit(_class(told)).bind(self._network)
        return Labelled(entry.name, image, asked, self._object(entry, image))

    def _object(self, entry: Entry, image: ImageBatch) -> Tensor | None:
        """Which pixels (H, W) of what is seen are the object."""
        size, seen = (image.images.shape[-2], image.images.shape[-1]), image.boxes[0]
        if self._mask and (name := entry.metadata.get(self._mask)):
            whole = open_photo(Path(self._folder or ".", str(name))).pixels[0].amax(0) > 0
            return _cut(whole, seen, size)
        if self._box is None:
            return None
        told = [entry.metadata.get(name) for name in self._box]
        if any(one in (None, "") for one in told):
            return None
        return _seen_box(entry.name, [_number(entry.name, one) for one in told], seen, size)


def _told(entries: Sequence[Entry], labels: Collection) -> Iterator[Entry]:
    """The entries that the file names, with what it says of them."""
    known: dict[str, Mapping[str, Any]] = {}
    for row in labels:
        known[os.path.normpath(row.path)] = row.metadata
        known.setdefault(os.path.normpath(os.fsdecode(row.id)), row.metadata)
    for entry in entries:
        found = known.get(os.path.normpath(entry.path), known.get(os.path.normpath(os.fsdecode(entry.id))))
        if found is not None:
            yield replace(entry, metadata=found)


def _class(told: Any) -> int | str:
    """A class as a cell says it: an index, or a name."""
    text = str(told).strip()
    return int(text) if text.isdecimal() else text


def _number(name: str, told: Any) -> float:
    try:
        value = float(told)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise StoreError(f"The box of {name} holds {printable(str(told))!r}, which is not a number of pixels.")
    return value


def _seen_box(name: str, sides: Sequence[float], seen: Box, size: tuple[int, int]) -> Tensor:
    """A box (left, top, right, bottom) of the whole image as a mask of what is seen of it."""
    left, top, right, bottom = sides
    if right <= left or bottom <= top:
        raise StoreError(f"The box of {name} is empty: right must lie beyond left, and bottom below top.")
    down, across = size[0] / seen.height, size[1] / seen.width
    first, last = round((top - seen.top) * down), round((bottom - seen.top) * down)
    start, end = round((left - seen.left) * across), round((right - seen.left) * across)
    made = box_mask(size, (first, start, last - first, end - start))
    if not bool(made.any()):
        raise StoreError(f"The box of {name} lies outside of what the network sees of it; try --fit pad.")
    return made


def _cut(whole: Tensor, seen: Box, size: tuple[int, int]) -> Tensor:
    """What is seen of a mask (H, W) of the whole image, at that size."""
    rows, cols = whole.shape
    around = F.pad(
        whole[None, None].float(),
        (
            max(0, -seen.left),
            max(0, seen.left + seen.width - cols),
            max(0, -seen.top),
            max(0, seen.top + seen.height - rows),
        ),
    )
    top, left = max(0, seen.top), max(0, seen.left)
    part = around[..., top : top + seen.height, left : left + seen.width]
    return F.interpolate(part, size, mode="area")[0, 0] > 0.5
