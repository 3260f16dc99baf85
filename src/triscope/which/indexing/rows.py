"""From decoded pictures to rows: a batch through the network, and its vectors as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from triscope.which.collection import Entry
from triscope.which.indexing.decoding import Decoded, Embedder, broken

# In float32 the last bit of a vector depends on how many pictures pass through the network together; in multiples of
# this it does not (nine torchvision networks, one and two threads). So a vector is the same whoever was beside it.
_FILL = 16


@dataclass(frozen=True, eq=False)
class Row:
    """A picture that was looked at: what was read of it, and its vectors as they are stored, if it has any."""

    entry: Entry
    decoded: Decoded
    vectors: Mapping[str, NDArray[Any]] | None = None


def embedded(waiting: list[tuple[Entry, Decoded]], embed: Embedder, batch: int) -> list[Row]:
    """The vectors of a batch, as they are stored; pictures whose vectors cannot be stored become failures."""
    seen = [decoded.pixels for _, decoded in waiting if decoded.pixels is not None]
    if not seen:
        return [Row(entry, decoded) for entry, decoded in waiting]
    values = {name: all_[: len(seen)] for name, all_ in embed(_filled(seen, batch)).items()}
    reasons = iter(broken(values, embed.columns))
    stored = {
        column.name: values[column.name].flatten(1).to(getattr(torch, column.dtype)).numpy() for column in embed.columns
    }
    places = iter(range(len(seen)))
    rows = []
    for entry, decoded in waiting:
        light = replace(decoded, pixels=None)  # pixels are large, and a unit is many pictures
        if decoded.pixels is None:
            rows.append(Row(entry, light))
            continue
        place, reason = next(places), next(reasons)
        vectors = {name: column[place] for name, column in stored.items()} if reason is None else None
        rows.append(Row(entry, replace(light, error=reason), vectors))
    return rows


def _filled(seen: list[NDArray[np.uint8]], batch: int) -> torch.Tensor:
    """Pictures (B, C, H, W), and black ones after them where a batch is short."""
    length = min(batch, -(-len(seen) // _FILL) * _FILL)
    pictures = np.zeros((length, *seen[0].shape), np.uint8)
    np.stack(seen, out=pictures[: len(seen)])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)
