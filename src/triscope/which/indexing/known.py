"""The images that a store holds already, which need not be computed again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triscope.which.collection import Entry
from triscope.which.database.table import Table


@dataclass
class Known:
    """The rows that are stored, by key: sorted arrays, 17 bytes an image."""

    keys: NDArray[np.int64]
    stamps: NDArray[np.int64]
    failed: NDArray[np.bool_]

    @classmethod
    def of(cls, table: Table) -> "Known":
        """What a table holds."""
        parts = [
            (rows["key"], rows["stamp"], np.array([status != "ok" for status in rows["status"]], bool))
            for rows in table.stream(["key", "stamp", "status"], batch=65536)
        ]
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, bool))
        return cls._sorted(*(np.concatenate(arrays) for arrays in zip(empty, *parts, strict=True)))

    def plus(self, entries: Sequence[Entry], failed: NDArray[np.bool_]) -> "Known":
        """With these rows as well, in the place of what was known of them."""
        keys = np.array([entry.key for entry in entries], np.int64)
        stamps = np.array([entry.stamp for entry in entries], np.int64)
        kept = ~np.isin(self.keys, keys)
        return Known._sorted(
            np.concatenate([self.keys[kept], keys]),
            np.concatenate([self.stamps[kept], stamps]),
            np.concatenate([self.failed[kept], failed]),
        )

    @classmethod
    def _sorted(cls, keys: NDArray[np.int64], stamps: NDArray[np.int64], failed: NDArray[np.bool_]) -> "Known":
        order = keys.argsort(kind="stable")
        return cls(keys[order], stamps[order], failed[order])

    def place(self, key: int) -> int | None:
        """Where the key stands, if it does."""
        place = int(np.searchsorted(self.keys, key))
        return place if place < len(self.keys) and self.keys[place] == key else None

    def holds(self, keys: NDArray[np.int64], stamps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For each of these images, whether it is stored unchanged."""
        if not len(self.keys):
            return np.zeros(len(keys), bool)
        places = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        here: NDArray[np.bool_] = (self.keys[places] == keys) & (self.stamps[places] == stamps)
        return here

    def has(self, entry: Entry) -> bool:
        """Whether the image is stored as it is now. Images that failed are tried again."""
        place = self.place(entry.key)
        return place is not None and self.stamps[place] == entry.stamp and not self.failed[place]

    def same_failure(self, entry: Entry, error: str | None) -> bool:
        """Whether nothing has changed about an image that could not be used, and still cannot."""
        place = self.place(entry.key)
        return (
            error is not None and place is not None and bool(self.failed[place]) and self.stamps[place] == entry.stamp
        )
