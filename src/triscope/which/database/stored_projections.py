"""Projections of a store's columns: fitted once, kept in a file, and written beside the vectors as two columns."""

import hashlib
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from triscope.errors import StoreError
from triscope.images import printable
from triscope.which.database.arrow import Field
from triscope.which.database.durable import damaged, write_durably
from triscope.which.database.freed import give_back
from triscope.which.database.projections import RANK, Projection, fit
from triscope.which.database.schema import Column
from triscope.which.database.table import Table

_SAMPLE = 20_000  # rows that a projection is fitted on, at the most
_AT_ONCE = 2048
_GOOD = "status = 'ok'"
_FILE = re.compile(r"pca-[0-9a-f]{16}\.safetensors")


def fit_projections(folder: Path, table: Table, columns: Sequence[Column], *, refit: bool = False) -> None:
    """Fit and write the projections that are missing, or all of them. Small columns and collections need none."""
    for column in columns:
        missing = projected_name(column) not in table.names
        if (missing or refit) and searchable(column) and table.count(_GOOD) > RANK:
            projection = fit(_sample(table, column))
            data = projection.to_bytes()
            name = f"pca-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
            write_durably(folder / name, data)
            table.add(projection_fields(column, projection, name), column.name, partial(project, projection, column))
            del projection, data
            give_back()


def searchable(column: Column) -> bool:
    """Whether neighbours are searched in a projection of this column."""
    return column.pool in ("none", "mean", "class", "pixels") and RANK < column.length <= 1 << 15


def _sample(table: Table, column: Column) -> torch.Tensor:
    good = table.rows_where(_GOOD)
    if len(good) > _SAMPLE:
        good = np.sort(np.random.default_rng(0).choice(good, _SAMPLE, replace=False))
    sample = torch.empty(len(good), column.length, dtype=getattr(torch, column.dtype))
    for start in range(0, len(good), _AT_ONCE):
        some = table.take(good[start : start + _AT_ONCE], [column.name])[column.name]
        sample[start : start + len(some)] = torch.from_numpy(some)
    return sample


def projected_name(column: Column) -> str:
    """The column of a column's projection."""
    return f"{column.name}_pca"


def rest_name(column: Column) -> str:
    """The column of the norms of the residuals of the projection."""
    return f"{column.name}_rest"


def projection_fields(column: Column, projection: Projection, about: str) -> tuple[Field, Field]:
    """The two columns of a projection, whose file is `about`."""
    length = len(projection.directions)
    return Field(projected_name(column), column.dtype, length, about), Field(rest_name(column), "float32", None, about)


def load_projection(folder: Path, name: str) -> Projection:
    """A projection by the name of its file. Raises StoreError where it is gone, DamagedStore where it has changed."""
    if _FILE.fullmatch(name) is None:
        raise damaged(folder, "a column does not say what it is a projection of")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise StoreError(f"{printable(folder / name)} is missing; index with --refit to make it again.") from error
    if hashlib.sha256(data).hexdigest()[:16] not in name:
        raise damaged(folder, f"its file {name} has changed")
    try:
        return Projection.from_bytes(data)
    except (TypeError, SafetensorError) as error:
        raise damaged(folder, f"its file {name} is not a projection") from error


def project(projection: Projection, column: Column, vectors: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Stored vectors (N, D) of a column as the two columns of their projection."""
    projected, rest = projection(torch.from_numpy(np.array(vectors, np.float32)))
    most = float(np.finfo(column.dtype).max)
    return projected.clamp(-most, most).numpy().astype(column.dtype), rest.numpy()
