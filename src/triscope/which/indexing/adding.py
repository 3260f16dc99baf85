"""Add layers to an existing store: computed in a table of their own, and joined to it when complete.

    folder/adding-1f2e3d4c.lance     the new vectors so far

The store is unchanged until every image has its vector. What was computed when indexing was interrupted or killed is
kept, and the next run resumes it, whether the layer is named again or not.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triscope.network import Network
from triscope.objectives.base import Need
from triscope.which.database.about import About
from triscope.which.database.files import remove
from triscope.which.database.schema import Column, choose
from triscope.which.database.table import Table
from triscope.which.indexing.known import Known
from triscope.which.indexing.opening import fields_of

_KEPT = ("key", "stamp", "status", "error")


@dataclass(frozen=True, eq=False)
class Addition:
    """New columns of a store, in a table of their own until they are joined to its rows."""

    table: Table

    @property
    def about(self) -> About:
        """What the new columns are, of which network."""
        return About.of(self.table)

    @property
    def there(self) -> bool:
        """Whether it is still to be joined; another process may have done that."""
        return self.table.folder.is_dir()

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(column.layer for column in self.about.columns))

    def join(self, table: Table) -> bool:
        """Join the columns to the rows of the store, if every image of it is there; whether they are joined now.

        An image that could be used before and cannot now becomes a row with the reason.
        """
        if not self.there:
            return True
        table.refresh()
        self.table.refresh()
        about = About.of(table)
        there, here = Known.of(table), Known.of(self.table)
        good = ~there.failed
        names = [column.name for column in self.about.columns]
        if {*names} <= {column.name for column in about.columns}:  # joined already, and not yet deleted
            remove(self.table.folder)
            return True
        if not here.holds(there.keys[good], there.stamps[good]).all():
            return False
        self._give_up(table, there)
        table.join(self.table, names)
        pixels = about.columns[-1]
        table.describe(replace(about, columns=(*about.columns[:-1], *self.about.columns, pixels)).to_json())
        remove(self.table.folder)
        return True

    def _give_up(self, table: Table, there: Known) -> None:
        """Make rows with the reason of images that could be used before."""
        reasons: dict[int, str] = {}
        for rows in self.table.stream(["key", "error"], "status = 'error'"):
            reasons.update(zip(rows["key"].tolist(), rows["error"], strict=True))
        keys = table.column("key")
        lost: NDArray[np.int64] = np.flatnonzero(np.isin(keys, [*reasons]) & np.isin(keys, there.keys[~there.failed]))
        if len(lost):
            rows = table.take(lost, table.names)
            rows["status"] = ["error"] * len(lost)
            rows["error"] = [reasons[key] for key in keys[lost].tolist()]
            table.append(rows, np.zeros(len(lost), bool), instead=True)


def begin(
    folder: Path, table: Table, network: Network, layers: Sequence[str | Need], maps: Sequence[str]
) -> Addition | None:
    """A place for the columns that keep these layers and that the store does not have yet; None where it has all."""
    about = About.of(table)
    if not layers and not maps:
        return None
    kept = [*about.columns, *(column for addition in pending(folder) for column in addition.about.columns)]
    new = _missing(kept, choose(network, layers, maps))
    if not new:
        return None
    beside = replace(about, columns=new, fields=())
    fields = [field for field in fields_of(beside, {}, network) if field.name in _KEPT or field.length is not None]
    name = hashlib.sha256(" ".join(map(str, new)).encode()).hexdigest()[:8]
    return Addition(Table.create(folder / f"adding-{name}.lance", fields, beside.to_json()))


def pending(folder: Path) -> Iterator[Addition]:
    """The additions that were begun and are not joined yet."""
    for place in sorted(folder.glob("adding-*.lance")):
        yield Addition(Table.open(place))


def _missing(kept: Sequence[Column], wanted: Sequence[Column]) -> tuple[Column, ...]:
    """The columns that are not kept, under names that are not taken."""
    have = {(column.layer, column.pool) for column in kept}
    names = {column.name for column in kept}
    new: list[Column] = []
    for column in wanted:
        if (column.layer, column.pool) in have:
            continue
        number, rest = 0, column.name.partition("_")[2]
        while f"v{number}_{rest}" in names:
            number += 1
        names.add(f"v{number}_{rest}")
        new.append(replace(column, name=f"v{number}_{rest}"))
    return tuple(new)
