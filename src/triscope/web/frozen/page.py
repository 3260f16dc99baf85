"""The pages of a static site: what can be read without a script is in their HTML, the rest is data of their script."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from triscope._version import __version__
from triscope.images import printable
from triscope.pages import policy
from triscope.pages.bundle import bundled
from triscope.unit_folder.manifest import Table
from triscope.verbs import METHODS
from triscope.web.described import misleads, number_text
from triscope.web.files import page_files

_SILENT = '<span class="none">silent</span>'


@dataclass(frozen=True)
class Site:
    """A network's table of units, its layers as pages know them, and (title, page) of each map of photos."""

    table: Table
    layers: Sequence[dict[str, Any]]
    maps: Sequence[tuple[str, str]]

    @property
    def network(self) -> str:
        """The network's name."""
        return printable(str(self.table.network.get("name", "network")))

    @property
    def made(self) -> list[dict[str, Any]]:
        """The layers that have units, each with a page."""
        return [layer for layer in self.layers if layer["made"]]

    def about(self) -> str:
        """What is to be known of all images."""
        sizes = " × ".join(map(str, self.table.options.get("size", [])))
        store = self.table.store
        patches = f" Patches are of the {store['pictures']} photos of {store['name']}." if store else ""
        made = f"Images of {sizes} pixels, at most {self.table.options.get('steps')} steps.{patches}"
        words = (misleads(METHODS["units"]), f"{made} Made by triscope {__version__}.")
        return "\n".join(f'<p class="caption">{_text(one)}</p>' for one in words)


def front_page(site: Site, photos: int) -> bytes:
    """The first page: the layers, with a few images of each."""
    made = site.made
    total, plural = sum(layer["made"] for layer in made), "" if len(made) == 1 else "s"
    left = ", ".join(layer["name"] for layer in site.layers if not layer["made"])
    content = [
        f'<h1>{_text(site.network)}<span class="soft"> {total} units of {len(made)} layer{plural}</span></h1>',
        f'<ul class="layers">{"".join(map(_layer, made))}</ul>',
        f'<p class="photo-maps">Maps of the {photos:,} photos: {_links(site.maps)}</p>' if site.maps else "",
        f'<p class="note">Not in this copy: {_text(left)}.</p>' if left else "",
        site.about(),
    ]
    return _html(site, "", content, {"units": [], "before": "", "after": made[0]["page"]})


def layer_page(site: Site, place: int, units: Sequence[dict[str, Any]]) -> bytes:
    """The page of the layer in that place of those that have units: all of its units, and data of each."""
    made, layer, store = site.made, site.made[place], site.table.store
    content = [
        f'<h1>{_text(layer["name"])}<span class="soft"> {_facts(layer)}</span></h1>',
        f'<div class="controls"></div><ul class="wall" aria-label="Units">{"".join(map(_unit, units))}</ul>',
        f'<p class="note" role="status"></p>{site.about()}',
    ]
    pages = ["", *(one["page"] for one in made), ""]
    data = {
        **{name: layer[name] for name in ("name", "type", "sees")},
        "units": units,
        "photos": store["pictures"] if store else None,
        "before": pages[place],
        "after": pages[place + 2],
    }
    return _html(site, layer["name"], content, data)


def _facts(layer: dict[str, Any]) -> str:
    return _text(f"{layer['type']}, {layer['made']} of {layer['channels']} units, each sees {layer['sees']} pixels")


def _layer(layer: dict[str, Any]) -> str:
    """A layer on the first page."""
    few = "".join(f'<img src="{_text(image)}" alt="" loading="lazy">' for image in layer["few"])
    return (
        f'<li><a href="{_text(layer["page"])}"><h2>{_text(layer["name"])}</h2><span class="soft">{_facts(layer)}</span>'
        f'<span class="few" aria-hidden="true">{few}</span></a></li>'
    )


def _unit(unit: dict[str, Any]) -> str:
    """A unit on the page of its layer."""
    score = "silent" if unit["score"] is None else f"score {number_text(unit['score'])}"
    image = f'<img src="{_text(unit["picture"])}" alt="" loading="lazy">' if unit["picture"] else _SILENT
    return (
        f'<li><a href="#{unit["channel"]}" data-unit="{unit["channel"]}" '
        f'aria-label="{_text(unit["title"] or unit["unit"])}, {score}">{image}'
        f'<span class="under" aria-hidden="true">{_text(unit["title"] or str(unit["channel"]))}</span></a></li>'
    )


def _html(site: Site, layer: str, content: Sequence[str], data: dict[str, Any]) -> bytes:
    """A page. Nothing in its data can end the element that holds them."""
    script, style = _script(), _style()
    pages = [(one["name"], one["page"]) for one in site.made]
    titles = [unit["title"] for unit in data["units"] if unit["title"]]
    html = Template(_file("frozen.html")).substitute(
        policy=policy(images="'self' file: data:", style=style, script=script),
        version=__version__,
        title=_text(" · ".join(filter(None, (layer, site.network, "triscope")))),
        network=_text(site.network),
        pages=_links(pages, layer) + _links(site.maps),
        names="".join(f'<option value="{_text(title)}">' for title in titles),
        content="\n".join(content),
        style=style,
        script=script,
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )
    return html.encode()


def _links(pages: Sequence[tuple[str, str]], here: str = "") -> str:
    current = {here: ' aria-current="page"'}
    return "".join(f'<a href="{_text(page)}"{current.get(name, "")}>{_text(name)}</a>' for name, page in pages)


def _text(words: str) -> str:
    """Text for an element or an attribute: it never becomes markup."""
    return escape(printable(words))


@cache
def _script() -> str:
    """The page's one script, escaped for a <script> element."""
    script = bundled("frozen.js", lambda name: _file(name) if name == "frozen.js" else page_files()[name].decode())
    return script.replace("</", "<\\/")


@cache
def _style() -> str:
    return page_files()["app.css"].decode() + _file("frozen.css")


def _file(name: str) -> str:
    return (files("triscope.web.frozen") / name).read_text("utf-8")
