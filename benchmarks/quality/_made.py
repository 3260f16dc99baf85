"""A store of synthetic vectors and, optionally, synthetic thumbnails."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from triscope.network import Network
from triscope.which.collection import Collection
from triscope.which.database.arrow import Rows
from triscope.which.database.schema import Column
from triscope.which.database.stored_projections import fit_projections
from triscope.which.indexing.opening import open_table
from triscope.which.store import Store

_UNIT = 2048


def fill(
    place: Path,
    count: int,
    make: Callable[[int, int], NDArray[np.float16]],
    length: int,
    thumbnail: Callable[[int], bytes | None] = lambda number: None,
) -> tuple[Store, Column]:
    """A store of `count` rows whose vectors `make(start, many)` gives, made once at `place`. `thumbnail(number)` gives
    the small JPEG of a row; such rows lie in forty folders.
    """
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, length)), size=16, name="made")
    if not (place / "rows.lance").is_dir():
        place.mkdir(parents=True, exist_ok=True)
        table = open_table(place, network, Collection(()), layers=["1"])
        for start in range(0, count, _UNIT):
            many = min(_UNIT, count - start)
            rows = _rows(table.names, start, make(start, many))
            rows["thumbnail"] = [thumbnail(number) for number in range(start, start + many)]
            if rows["thumbnail"][0] is not None:
                rows["folder"] = [f"folder {number % 40}" for number in range(start, start + many)]
            table.append(rows, np.ones(many, bool))
        fit_projections(place, table, Store(place, table).columns)
    store = Store.open(place, network)
    return store, store.find("1")


def _rows(names: tuple[str, ...], start: int, vectors: NDArray[np.float16]) -> Rows:
    many = len(vectors)
    numbers = np.arange(start, start + many)
    rows: Rows = dict.fromkeys(("key", "stamp", "size", "mtime", "height", "width"), numbers)
    rows |= {"path": [b"%d" % number for number in numbers], "name": list(map(str, numbers)), "folder": [""] * many}
    rows |= {"status": ["ok"] * many, "error": [None] * many, "thumbnail": [None] * many}
    for name in names:
        if name not in rows:
            rows[name] = vectors if name.startswith("v") else np.zeros((many, 3 * 16 * 16), np.float16)
    return rows
