"""A folder of units, made and opened."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triscope.cluster.settings import Cluster
from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.unit_folder.making import make_units
from triscope.unit_folder.manifest import TABLE, Table, Unit, read_table
from triscope.which.store import Store


@dataclass(frozen=True)
class UnitFolder:
    """A folder of units. Made by `build`, opened by `open`."""

    path: Path
    table: Table = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "UnitFolder":
        """The folder at `path`. Raises StoreError where there is none, or its table cannot be read."""
        folder = Path(path)
        if not (folder / TABLE).exists():
            raise StoreError(f"{printable(path)} holds no {TABLE}; make one: triscope units LAYER -o DIR.")
        return cls(folder, read_table(folder))

    @classmethod
    def build(
        cls,
        network: Network,
        layers: str | Sequence[str],
        path: str | os.PathLike[str],
        *,
        store: Store | None = None,
        k: int = 9,
        shard: tuple[int, int] = (1, 1),
        channels: str | Sequence[str] | None = None,
        form: str = ".webp",
        workers: str | Cluster | None = None,
        **options: Any,
    ) -> "UnitFolder":
        """Make an image for every channel of some layers, and put them into a folder.

        Existing images are kept, so that an interrupted call can be resumed. Raises OptionError where the folder was
        started with other options, StoreError where it was made by another network.

        store       a collection: the k patches that activate each channel most are kept as well
        shard       (i, n): only the i-th of n parts, so that n processes can share the work
        channels    which of them, such as "0-63,70"; all if left out
        form        .webp or .png
        workers     "ray", "ray://host:10001" or a `Cluster`, whose actors make the images; this process, if left out
        options     those of `units`
        """
        for _ in make_units(
            network, layers, path, store=store, k=k, shard=shard, channels=channels, form=form, workers=workers,
            **options,
        ):  # fmt: skip
            pass
        return cls.open(path)

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units that are finished, in the order of layers and channels."""
        return self.table.units

    def __len__(self) -> int:
        return len(self.table.units)

    def picture(self, unit: Unit) -> Path | None:
        """The file of a unit's image; None where it has none."""
        return None if unit.score is None else unit.picture_in(self.path, self.table.form)

    def patches(self, unit: Unit) -> Path | None:
        """The file of a unit's patches; None where there are none."""
        return unit.patches_in(self.path) if unit.patches else None
