"""The units of a network as a static site: opened as files, or from any web server.

    site/index.html          the layers
    site/LAYER.html          the units of a layer; LAYER.html#42 is one of them
    site/LAYER/42.webp       the images and patches, as in the folder of units
    site/collection-pca.html a map of the photos of a collection, where one is given

Scripts, styles and data are in each page; only images are files beside it. Each page's policy (CSP) names its one
script and its one style sheet by their digests and forbids the rest.
"""

import os
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from triscope.errors import StoreError
from triscope.images import printable
from triscope.images.writing import require_folder, write_file
from triscope.unit_folder import Unit, UnitFolder
from triscope.unit_folder.manifest import name_of
from triscope.verbs import METHODS
from triscope.web.frozen.page import Site, front_page, layer_page
from triscope.which.maps.map import Map
from triscope.which.maps.page import page as map_page

_FEW = 12  # images that represent a layer
_LEADS = 12  # units that a photo on a map links to


def export_app(
    units: UnitFolder | str | os.PathLike[str], path: str | os.PathLike[str], *, maps: Sequence[Map] = ()
) -> Path:
    """Write the units of a network as a static site into the folder `path`; returns its first page.

    `units` is a folder that `triscope units` or `UnitFolder.build` made; patches of a collection are shown where it has
    some. `maps` are maps of a collection, each a page with the photos on it (up to 20,000; the others are points) that
    link to the units they activate most. Pages that are there are replaced. Raises StoreError where there are no units,
    OptionError where the folder cannot be written to.
    """
    folder = units if isinstance(units, UnitFolder) else UnitFolder.open(units)
    site = Path(path)
    if not len(folder):
        raise StoreError(
            f"{printable(folder.path)} holds no finished units yet; make some: triscope units LAYER -o DIR."
        )
    require_folder(site)
    links = [(made.title, page_of_map(made)) for made in maps]
    shown = Site(folder.table, [_layer(folder, layer) for layer in folder.table.layers], links)
    for place, layer in enumerate(shown.made):
        own = [one for one in folder.units if one.layer == layer["name"]]
        for one in own:
            _copy(folder, one, site)
        write_file(site / layer["page"], layer_page(shown, place, [_unit(folder, one) for one in own]))
    for made in maps:
        write_file(site / page_of_map(made), _map_page(folder, made, maps))
    write_file(site / "index.html", front_page(shown, len(maps[0].rows) if maps else 0))
    return site / "index.html"


def page_of_map(made: Map) -> str:
    """The name of a map's page."""
    return f"collection-{made.recipe.method}.html"


def _map_page(folder: UnitFolder, made: Map, maps: Sequence[Map]) -> bytes:
    """The page of a map, whose photos link to the units that they are the best patches of."""
    shown = made.page_content()
    places = {name: place for place, name in enumerate(shown.names)}
    links: dict[int, list[tuple[int, str, str]]] = {}
    for one in folder.units:
        for rank, patch in enumerate(one.patches or ()):
            if patch.name in places:
                address = f"{name_of(one.layer)}.html#{one.channel}"
                links.setdefault(places[patch.name], []).append((rank, one.title or one.unit, address))
    best = {place: [lead[1:] for lead in sorted(found)[:_LEADS]] for place, found in links.items()}
    others = [(other.title, page_of_map(other)) for other in maps if other is not made]
    return map_page(replace(shown, around=(("All layers", "index.html"), *others), links=best))


def _layer(folder: UnitFolder, layer: Any) -> dict[str, Any]:
    own = [unit for unit in folder.units if unit.layer == layer["name"]]
    few = islice(filter(None, (_address(folder, folder.picture(unit)) for unit in own)), _FEW)
    page = f"{name_of(layer['name'])}.html"
    return {**layer, "name": printable(layer["name"]), "page": page, "made": len(own), "few": list(few)}


def _copy(folder: UnitFolder, unit: Unit, site: Path) -> None:
    """A unit's files that exist."""
    for file in (folder.picture(unit), folder.patches(unit)):
        if file is not None and file.is_file():
            write_file(site / file.relative_to(folder.path), file.read_bytes())


def _address(folder: UnitFolder, file: Path | None) -> str:
    return "" if file is None or not file.is_file() else file.relative_to(folder.path).as_posix()


def _unit(folder: UnitFolder, unit: Unit) -> dict[str, Any]:
    """A unit as the page's script reads it."""
    return {
        "unit": unit.unit,
        "channel": unit.channel,
        "title": unit.title,
        "score": unit.score,
        "steps": unit.steps,
        "notes": list(unit.notes),
        "picture": _address(folder, folder.picture(unit)),
        "strip": _address(folder, folder.patches(unit)),
        "patches": None
        if unit.patches is None
        else [{"name": one.name, "score": one.score, "at": one.at} for one in unit.patches],
        "command": _command(folder, unit),
    }


def _command(folder: UnitFolder, unit: Unit) -> str:
    """The command that makes a unit's image."""
    words = ["triscope", "units", unit.layer, "--channels", str(unit.channel), "-o", "units"]
    usual = {option.name: option.default for option in METHODS["units"].options} | {"precision": "bfloat16"}
    for name, value in folder.table.options.items():
        told = min(value) if name == "size" else value
        if told is not None and told != usual.get(name, told):
            words += [f"--{name.replace('_', '-')}", str(told)]
    source = folder.table.network.get("source") or {}
    words += ["-m", str(source["name"])] if source.get("name") not in (None, "pocket") else []
    return printable(shlex.join(words))
