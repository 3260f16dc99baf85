"""Compute: from images to rows. Files of images are read, and nothing is written; no store is known here.

A store's rows are computed by a `Compute`, from entries of a collection alone. It is all that a worker needs, in this
process or in another: entries and rows can be pickled, and rows come in the order of the entries.
"""

import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from triscope.errors import TriscopeWarning
from triscope.network import Network
from triscope.network.mixing import depends_on_others
from triscope.which.collection import Entry
from triscope.which.database.schema import Column
from triscope.which.indexing.decoding import Decoded, Embedder, broken, decode, faint, ordered

# In float32 the last bit of a vector depends on how many images pass through the network together; in multiples of
# this it does not (nine torchvision networks, one and two threads). So a vector does not depend on its batch.
_FILL = 16
_AHEAD = 3  # batches that are decoded before they are needed


@dataclass(frozen=True, eq=False)
class Row:
    """An image that was processed: decoded, with its vectors as they are stored, if it has any."""

    entry: Entry
    decoded: Decoded
    vectors: Mapping[str, NDArray[Any]] | None = None


#: The rows of some entries, one for each, in their order: what a worker is handed.
Compute: TypeAlias = Callable[[Iterable[Entry]], Generator[Row]]


@dataclass(frozen=True)
class RowComputer:
    """A `Compute` of this process: threads decode, and one copy of the network embeds whole batches."""

    network: Network
    columns: tuple[Column, ...]
    precision: str
    exact: bool
    batch: int
    workers: int | None = None

    def __call__(self, entries: Iterable[Entry]) -> Generator[Row]:
        """The rows of the entries, batch by batch; of an image that cannot be used, a row with the reason."""
        with closing(ordered(self._decode, entries, self.workers, _AHEAD * self.batch)) as decoded:
            # The network is copied and checked while threads decode the first batches.
            while waiting := list(islice(decoded, self.batch)):
                for start in range(0, len(waiting), self._together):
                    yield from embedded(waiting[start : start + self._together], self._embedder, self._together)

    @cached_property
    def _together(self) -> int:
        """The batch size: one, where the output for an image depends on the others."""
        layer = depends_on_others(self.network, self._embedder.layers) if self.batch > 1 else None
        if layer:
            warnings.warn(
                f"What {self.network.name} gives in {layer} for an image depends on the others of its batch, so "
                "images are passed through it one at a time.",
                TriscopeWarning,
                stacklevel=2,
            )
        return 1 if layer else self.batch

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder(self.network, self.columns, self.precision)

    def _decode(self, entry: Entry) -> Decoded:
        return decode(entry.path, self.network.preprocess, self.network.channels, exact=self.exact, place=entry.place)


def embedded(waiting: list[tuple[Entry, Decoded]], embed: Embedder, batch: int) -> list[Row]:
    """The vectors of a batch, as they are stored; images whose vectors cannot be stored become failures."""
    seen = [decoded.pixels for _, decoded in waiting if decoded.pixels is not None]
    if not seen:
        return [Row(entry, decoded) for entry, decoded in waiting]
    values = {name: all_[: len(seen)] for name, all_ in embed(_filled(seen, batch)).items()}
    if lost := faint(values, embed.columns):
        warnings.warn(
            f"{', '.join(lost)}: the values of some images are so small that float16 rounds them by more than 1 %.",
            TriscopeWarning,
            stacklevel=2,
        )
    reasons = iter(broken(values, embed.columns))
    stored = {
        column.name: values[column.name].flatten(1).to(getattr(torch, column.dtype)).numpy() for column in embed.columns
    }
    places = iter(range(len(seen)))
    rows = []
    for entry, decoded in waiting:
        light = replace(decoded, pixels=None)  # pixels are large, and a unit is many images
        if decoded.pixels is None:
            rows.append(Row(entry, light))
            continue
        place, reason = next(places), next(reasons)
        vectors = {name: column[place] for name, column in stored.items()} if reason is None else None
        rows.append(Row(entry, replace(light, error=reason), vectors))
    return rows


def _filled(seen: list[NDArray[np.uint8]], batch: int) -> torch.Tensor:
    """Images (B, C, H, W), and black ones after them where a batch is short."""
    length = min(batch, -(-len(seen) // _FILL) * _FILL)
    pictures = np.zeros((length, *seen[0].shape), np.uint8)
    np.stack(seen, out=pictures[: len(seen)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
