"""Plan: which images of a collection are to be computed, those that a store does not hold as they are now."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from triscope.which.collection import Collection, Entry
from triscope.which.indexing.known import Known


@dataclass
class Plan:
    """The images of one shard that are new or changed since `known` was read. It reads no image and no store.

    Going through it once finds the images, counts those that are `kept` as they are, and notes which there are.
    """

    collection: Collection
    shard: tuple[int, int]
    known: Known
    kept: int = 0
    _met: "array[int]" = field(default_factory=lambda: array("q"))

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries():
            self._met.append(entry.key)
            if self.known.has(entry):
                self.kept += 1
            else:
                yield entry

    def count(self) -> int:
        """How many images the shard has, whether they are new or not."""
        return sum(1 for _ in self._entries())

    def gone(self) -> NDArray[np.int64]:
        """The stored keys of this shard whose files are gone."""
        part, parts = self.shard
        mine = self.known.keys[self.known.keys % parts == part - 1]
        return np.setdiff1d(mine, np.array(self._met, np.int64))

    def _entries(self) -> Iterator[Entry]:
        part, parts = self.shard
        return (entry for entry in self.collection if entry.key % parts == part - 1)
