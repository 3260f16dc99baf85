"""Make what a folder of units lacks: images layer by layer, then the patches of a collection.

Every unit is written when it is finished, its files first and then its line in the table, so that a killed process
loses only unfinished units. Several processes may fill one folder, each its own shard; the actors of a cluster compute,
and write nothing.
"""

import io
import math
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageOps
from torch import Tensor

from triscope import render
from triscope.cluster.settings import Cluster
from triscope.errors import OptionError, StoreError
from triscope.images import printable, public_store, to_pil
from triscope.images.writing import require_folder, write_file
from triscope.network import Network
from triscope.network.variants.precision import chosen
from triscope.objectives.base import Need
from triscope.objectives.parsing import resolve
from triscope.results import NetworkNote
from triscope.unit_folder.computing import Finished, RayUnitComputer, UnitComputer
from triscope.unit_folder.manifest import FORMS, TILE, Patch, Table, Unit, change_table, read_table
from triscope.what.units import LayerUnits, units
from triscope.which.search.gallery import Gallery
from triscope.which.search.patches import patches
from triscope.which.search.top import top
from triscope.which.store import Store

_FREE = ("channels", "batch")  # options that may differ from one call to the next


@dataclass(frozen=True)
class UnitProgress:
    """How far it is: `done` of `total` units of this shard, `part` in [0, 1] of the work; `what` is being made.

    `notes` are remarks on what was found or left out, `nodes` report on each node of a cluster.
    """

    done: int
    total: int
    part: float
    what: str
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        left = self.seconds * (1 - self.part) / self.part if self.part > 0 else math.nan
        told = "" if math.isnan(left) else f", about {_clock(left)} left"
        return f"{self.what}: {self.done} of {self.total} units{told}"


def make_units(
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
) -> Generator[UnitProgress]:
    """`UnitFolder.build`, yielding its progress. Leaving the iteration stops it; finished units are kept."""
    if not 1 <= shard[0] <= shard[1]:
        raise OptionError(f"A shard is i of n, from 1 to n; {shard[0]} of {shard[1]} is none.")
    if form not in FORMS:
        raise OptionError(f"Images of units are written as {', '.join(FORMS)}, not as {printable(form)}.")
    if not 1 <= k <= 100:
        raise OptionError(f"k, the number of patches, lies in 1 to 100, and {k} does not.")
    cluster = Cluster.read(workers)
    bound = units.bind(network, layers, channels=channels, **options)
    asked = [
        LayerUnits.of(network, layer, bound.options["channels"]) for layer in dict.fromkeys(bound.values["layers"])
    ]
    folder = Path(path)
    require_folder(folder)
    wanted = _table(network, asked, bound, form)
    change_table(folder, lambda known: _agreed(known, wanted, folder))
    made = [(one, channel) for one in asked for channel in one.channels][shard[0] - 1 :: shard[1]]
    if cluster is None:
        compute: UnitComputer | RayUnitComputer = UnitComputer(network, options, form)
    else:  # all nodes compute in the precision of this machine
        compute = RayUnitComputer(network, {**options, "precision": wanted.options["precision"]}, form, cluster)
    job = _Job(network, folder, form, made, compute, time.monotonic())
    yield from job.pictures()
    if store is not None:
        yield from job.patches(store, k)


@dataclass
class _Job:
    """The units of one shard, brought into a folder."""

    network: Network
    folder: Path
    form: str
    asked: Sequence[tuple[LayerUnits, int]]
    compute: UnitComputer | RayUnitComputer
    started: float

    def _known(self) -> dict[tuple[str, int], Unit]:
        return {(one.layer, one.channel): one for one in read_table(self.folder).units}

    def _progress(self, done: int, part: float, what: str, notes: tuple[str, ...] = ()) -> UnitProgress:
        seconds = time.monotonic() - self.started
        return UnitProgress(done, len(self.asked), part, what, seconds, notes, self.compute.told())

    def _keep(self, found: Sequence[Unit]) -> None:
        change_table(self.folder, lambda table: _there(table, self.folder).merged(found))

    def pictures(self) -> Iterator[UnitProgress]:
        """Make the missing images."""
        known = self._known()
        places = [(layer.name, channel) for layer, channel in self.asked]
        missing = [place for place in places if place not in known]
        before, made = len(places) - len(missing), 0
        yield self._progress(before, 0, "images")
        with closing(self.compute(missing)) as advances:
            for advance in advances:
                if advance.finished:
                    self._keep([self._written(one) for one in advance.finished])
                made += len(advance.finished)
                part = (made + advance.under_way) / len(missing)
                yield self._progress(before + made, part, "images", advance.notes)
        yield self._progress(before + made, 1, "images")

    def _written(self, one: Finished) -> Unit:
        """A finished unit, its image written."""
        if one.picture is not None:
            write_file(one.unit.picture_in(self.folder, self.form), one.picture)
        return one.unit

    def patches(self, store: Store, k: int) -> Iterator[UnitProgress]:
        """Make the patches of units without any; layers that the store does not keep get a note."""
        said = {"name": public_store(store.path), "pictures": len(store), "k": k}
        change_table(self.folder, lambda table: _with_store(_there(table, self.folder), said, self.folder))
        known = self._known()
        notes = tuple(
            f"There are no patches of {layer}: the store does not keep it; triscope index with --layer {layer} adds it."
            for layer in dict.fromkeys(layer.name for layer, _ in self.asked)
            if not any(column.answers(Need(layer, "max")) or column.layer == layer for column in store.columns)
        )
        kept = {column.layer for column in store.columns}
        lacking = [
            one
            for layer, channel in self.asked
            if (one := known.get((layer.name, channel))) and one.patches is None and layer.name in kept
        ]
        done = before = len(self.asked) - len(lacking)
        started = replace(self._progress(done, 0, "patches"), notes=notes, seconds=0.0)
        yield started
        self.started = time.monotonic()
        for unit in lacking:
            self._keep([self._with_patches(unit, store, k)])
            done += 1
            yield self._progress(done, (done - before) / len(lacking), "patches")

    def _with_patches(self, unit: Unit, store: Store, k: int) -> Unit:
        question = resolve(unit.unit, self.network)
        found: Gallery = top(store, question, k=k) if unit.layer == "output" else patches(store, question, k=k)
        positions = found.positions or (None,) * len(found)
        rows = zip(found.names, found.values.tolist(), positions, strict=True)
        told = replace(unit, patches=tuple(Patch(printable(name), score, at) for name, score, at in rows))
        if told.patches:
            write_file(told.patches_in(self.folder), _row(found.pictures))
        return told


def _table(network: Network, asked: Sequence[LayerUnits], bound: Any, form: str) -> Table:
    """The table of a folder that is begun now."""
    options = {name: value for name, value in bound.options.items() if name not in _FREE}
    number = chosen(options["precision"], network) if options["precision"] == "auto" else None
    options["precision"] = str(number).removeprefix("torch.") if number else options["precision"]
    options["size"] = [options["size"]] * 2 if options["size"] else list(network.size)
    layers = tuple(
        {"name": one.name, "type": layer.type, "channels": layer.channels, "sees": str(layer.receptive_field)}
        for one in asked
        for layer in [network.layer(one.name)]
    )
    note = NetworkNote(network.name, network.source, network.fingerprint())
    return Table(note.to_json(), options, form, layers)


def _agreed(known: Table | None, wanted: Table, folder: Path) -> Table:
    """The table that is there, with the layers that are new. Raises OptionError and StoreError where it differs."""
    if known is None:
        return wanted
    label = printable(folder)
    if known.network.get("sha256") != wanted.network["sha256"]:
        raise StoreError(
            f"{label} holds units of {printable(str(known.network.get('name')))} with other weights; name another "
            "folder."
        )
    differing = {name: (known.options.get(name), value) for name, value in wanted.options.items()}
    differing["form"] = (known.form, wanted.form)
    for name, (old, new) in differing.items():
        if old != new:
            raise OptionError(
                f"{label} was started with {name} {_word(old)}, and {name} {_word(new)} is given now: keep the former, "
                "or name another folder."
            )
    names = {layer["name"] for layer in known.layers}
    return replace(known, layers=(*known.layers, *(one for one in wanted.layers if one["name"] not in names)))


def _with_store(table: Table, said: Mapping[str, Any], folder: Path) -> Table:
    """The table with its collection; where that has other images now, patches are made anew."""
    for name in ("name", "k"):
        if table.store is not None and table.store.get(name) != said[name]:
            word = "the store" if name == "name" else "k"
            raise OptionError(
                f"{printable(folder)} was started with {word} {_word(table.store.get(name))}, and {_word(said[name])} "
                "is given now: keep the former, or name another folder."
            )
    grown = table.store is not None and table.store.get("pictures") != said["pictures"]
    known = tuple(replace(one, patches=None) if grown else one for one in table.units)
    return replace(table, store=said, units=known)


def _there(table: Table | None, folder: Path) -> Table:
    if table is None:
        raise StoreError(f"The table of {printable(folder)} is gone: another program has deleted it.")
    return table


def _row(pictures: Sequence[Tensor]) -> bytes:
    """Small images as square tiles in one row, a WebP."""
    sheet = PIL.Image.new("RGB", (TILE * len(pictures), TILE), (128, 128, 128))
    for place, picture in enumerate(pictures):
        fitted = PIL.ImageOps.contain(to_pil(render.visible(picture)), (TILE, TILE), PIL.Image.Resampling.BICUBIC)
        sheet.paste(fitted, (TILE * place + (TILE - fitted.width) // 2, (TILE - fitted.height) // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def _word(value: Any) -> str:
    return "as usual" if value is None else printable(str(value))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
