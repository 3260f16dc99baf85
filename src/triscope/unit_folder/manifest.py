"""The table of a folder of units: `units.json`, and the files that it names. The format stands in docs/files.md.

    folder/units.json               everything that is known, in one JSON object
    folder/LAYER/CHANNEL.webp       the image, with its recipe
    folder/LAYER/CHANNEL.top.webp   the patches that activate it most, square tiles in one row
    folder/lock                     held by whoever writes the table

A folder may come from anywhere: a file is looked for where its layer and channel put it, never where the table says.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from triscope._version import __version__
from triscope.errors import StoreError
from triscope.images import open_regular, printable, slug
from triscope.which.database.durable import locked, write_durably

TABLE = "units.json"
FORMAT, VERSION = "triscope units", 1
#: The endings of images.
FORMS = (".webp", ".png")
#: The side of a patch in pixels.
TILE = 64


@dataclass(frozen=True)
class Patch:
    """An image of the collection, by its name: the unit's score there, and where in the layer's map."""

    name: str
    score: float
    at: tuple[int, int] | None = None


@dataclass(frozen=True)
class Unit:
    """One unit: its name in text, and what is known of it. `score` is None where it was silent and has no image.
    `patches` is None where the collection has not been searched.
    """

    unit: str
    layer: str
    channel: int
    score: float | None
    steps: int
    notes: tuple[str, ...] = ()
    title: str = ""
    patches: tuple[Patch, ...] | None = None

    def picture_in(self, folder: Path, form: str) -> Path:
        """Where its image is in a folder."""
        return folder / name_of(self.layer) / f"{self.channel}{form}"

    def patches_in(self, folder: Path) -> Path:
        """Where its patches are."""
        return folder / name_of(self.layer) / f"{self.channel}.top.webp"


@dataclass(frozen=True)
class Table:
    """What `units.json` holds: which network, the options that all images share, layers, the collection, units."""

    network: Mapping[str, Any]
    options: Mapping[str, Any]
    form: str = ".webp"
    layers: tuple[Mapping[str, Any], ...] = ()
    store: Mapping[str, Any] | None = None
    units: tuple[Unit, ...] = ()

    def to_json(self) -> bytes:
        """As the file holds it."""
        known = {"format": FORMAT, "version": VERSION, "made_by": f"triscope {__version__}", **asdict(self)}
        return json.dumps(known, indent=1, allow_nan=False).encode()

    def merged(self, units: Iterable[Unit]) -> "Table":
        """With these units added, or in place of what was known of them, in the order of layers and channels."""
        known = {(one.layer, one.channel): one for one in self.units}
        known |= {(one.layer, one.channel): one for one in units}
        order = {layer["name"]: place for place, layer in enumerate(self.layers)}
        rows = sorted(known.values(), key=lambda one: (order.get(one.layer, len(order)), one.channel))
        return replace(self, units=tuple(rows))


def name_of(layer: str) -> str:
    """The name of a layer's folder and page: features.9 is features-9; names with other characters get a digest."""
    name = slug(layer)
    plain = re.fullmatch(r"\w+(\.\w+)*", layer) and name == layer.replace(".", "-")
    return name if plain else f"{name}-{hashlib.sha256(layer.encode()).hexdigest()[:8]}"


def read_table(folder: Path) -> Table:
    """The table of a folder. Raises StoreError where it is not one."""
    try:
        with open_regular(folder / TABLE, StoreError) as file:
            data = json.loads(file.read())
        return _read(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{printable(folder / TABLE)} cannot be read: it is damaged, or another version of triscope made it. "
            "Delete it to make the units anew."
        ) from error


def change_table(folder: Path, change: Callable[[Table | None], Table]) -> Table:
    """Read the table (None where there is none), change it and write it, while no other process does."""
    with locked(folder):
        table = change(read_table(folder) if (folder / TABLE).exists() else None)
        write_durably(folder / TABLE, table.to_json())
    return table


def _read(data: Any) -> Table:
    if data["format"] != FORMAT or data["version"] != VERSION or data["form"] not in FORMS:
        raise ValueError
    units = tuple(_unit(one) for one in data["units"])
    layers = tuple({"name": str(one["name"]), "type": str(one["type"]), "channels": int(one["channels"]),
                    "sees": str(one["sees"])} for one in data["layers"])  # fmt: skip
    network, store = dict(data["network"]), data["store"]
    return Table(network, dict(data["options"]), data["form"], layers, dict(store) if store else None, units)


def _unit(one: Any) -> Unit:
    patches = one["patches"]
    return Unit(
        str(one["unit"]),
        str(one["layer"]),
        int(one["channel"]),
        None if one["score"] is None else float(one["score"]),
        int(one["steps"]),
        tuple(map(str, one["notes"])),
        str(one["title"]),
        None if patches is None else tuple(map(_patch, patches)),
    )


def _patch(one: Any) -> Patch:
    at = one["at"] and (int(one["at"][0]), int(one["at"][1]))
    return Patch(str(one["name"]), float(one["score"]), at)
