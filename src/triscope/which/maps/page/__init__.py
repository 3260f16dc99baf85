"""A map of images as one self-contained HTML page.

What is shown is data: names and labels travel as JSON in a script element that no browser runs, and reach the page as
text. The page's own policy (CSP) names its one script and its one style sheet by their digests and forbids the rest.
The script is made of modules:

    map          pointers and keys, and the data that the page is given
    map_panel    what stands around the canvas: the chosen image, a selection, search, legend
    map_drawing  what the canvas shows
    map_view     where images are on the canvas, and how the view moves
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triscope._version import __version__
from triscope.images import printable
from triscope.pages import policy, style_sheet
from triscope.pages.bundle import bundled
from triscope.pages.drawing import drawing_files
from triscope.which.maps.coloring import coloring
from triscope.which.maps.coloring import shown as text_of
from triscope.which.maps.page.sprites import Atlases, atlases

_KICKER = "triscope map"

__all__ = ["live_page", "page", "Shown"]


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page shows: N images, each with its place on the map and in the mosaic.

    `captions` are the sentences under the title, `names` any text, `thumbnails` encoded images, or atlases of them.
    `places` (N, 2) are x to the right and y down, in [0, 1]; `cells` (N, 2) row and column in a mosaic of `grid` =
    (rows, columns). `neighbors` (N, k) are places in this list, nearest first, -1 where there is none, and `scores` (N,
    k) theirs. `fields` hold N values each (texts, numbers, dates, None), to colour by and to search in. `rest` (M, 2)
    are images shown as points only. `color_by` is the field that the page begins with. `rows` are numbers of the
    images: that of the chosen one is told to a page that shows this one in a frame. On a site, `around` are other pages
    (label, address), the first one first, and `links` the pages (label, address) that an image, by its place, leads to.
    """

    title: str
    captions: tuple[str, ...]
    names: tuple[str, ...]
    thumbnails: tuple[bytes, ...] | Atlases
    places: NDArray[np.float32]
    cells: NDArray[np.int32]
    grid: tuple[int, int]
    neighbors: NDArray[np.int32]
    scores: NDArray[np.float32]
    fields: Mapping[str, Sequence[Any]]
    rest: NDArray[np.float32]
    color_by: str | None = None
    rows: tuple[int, ...] = ()
    around: tuple[tuple[str, str], ...] = ()
    links: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.names)
        for name in ("thumbnails", "places", "cells", "neighbors", "scores"):
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} are {len(getattr(self, name))}, names {count}: give one for each image.")
        for name, values in self.fields.items():
            if len(values) != count:
                raise ValueError(f"The field {name!r} has {len(values)} values for {count} images.")
        if not (np.isfinite(self.places).all() and np.isfinite(self.rest).all()):
            raise ValueError("A place on the map is not a number: give places in [0, 1].")


def page(shown: Shown) -> bytes:
    """The page, UTF-8 HTML: thumbnails in atlases, the rest as JSON, one script and one style sheet."""
    sprites = shown.thumbnails if isinstance(shown.thumbnails, Atlases) else atlases(shown.thumbnails)
    return _html(
        title=_text(shown.title),
        around=" · ".join(f'<a href="{escape(address)}">{_text(label)}</a>' for label, address in shown.around)
        or _KICKER,
        captions="\n".join(f"<p>{_text(caption)}</p>" for caption in shown.captions),
        atlases="\n".join(f'<img class="atlas" alt="" hidden src="{_uri(jpeg)}">' for jpeg in sprites.jpegs),
        data=f'<script type="application/json" id="data">{_json(_data(shown, sprites))}</script>',
    )


@cache
def live_page() -> bytes:
    """The page without data: the page that contains it in a frame sends it the map, piece by piece."""
    return _html(title="Map", around=_KICKER, captions="", atlases="", data="")


def _html(**parts: str) -> bytes:
    script, style = _script(), style_sheet(Path(__file__).with_name("map.css"))
    allowed = policy(images="data: blob:", style=style, script=script)
    html = Template(_file("map.html")).substitute(
        policy=allowed, version=__version__, style=style, script=script, **parts
    )
    return html.encode()


@cache
def _script() -> str:
    """The page's one script; nothing in it can end the element that holds it."""
    own, drawing = map_scripts(), drawing_files()
    return bundled("map.js", lambda name: own.get(name) or drawing[name].decode()).replace("</", "<\\/")


def map_scripts() -> dict[str, str]:
    """The modules of the page by their names; they import those that draw as well."""
    return {one.name: one.read_text("utf-8") for one in Path(__file__).parent.glob("*.js")}


def _data(shown: Shown, sprites: Atlases) -> dict[str, Any]:
    """What the script reads: lists of numbers run on from image to image."""
    return {
        "names": [printable(name) for name in shown.names],
        "places": _numbers(shown.places, 5),
        "cells": shown.cells.ravel().tolist(),
        "grid": list(shown.grid),
        "near": [
            [[place, score] for place, score in zip(own, scores, strict=True) if place >= 0]
            for own, scores in zip(shown.neighbors.tolist(), (_numbers(row, 4) for row in shown.scores), strict=True)
        ],
        "fields": [field_of(name, values) for name, values in shown.fields.items()],
        "color": -1 if shown.color_by is None else [*shown.fields].index(shown.color_by),
        "rest": _numbers(shown.rest, 4),
        "ids": list(shown.rows),
        "links": {
            place: [[printable(label), address] for label, address in links] for place, links in shown.links.items()
        },
        **asdict(sprites.layout),
        "sizes": [number for size in sprites.sizes for number in size],
        "tones": sprites.tones,
    }


def field_of(name: str, values: Sequence[Any]) -> list[Any]:
    """A field: its name, its values as texts, each image's place in the legend, and the legend."""
    found = coloring(values)
    return [printable(name), [text_of(value) for value in values], found.places, found.legend]


def _numbers(values: NDArray[np.float32], digits: int) -> list[float | None]:
    """Rounded, in one row; None for what is not a number, which JSON cannot say."""
    return [round(value, digits) if np.isfinite(value) else None for value in values.ravel().tolist()]


def _json(data: dict[str, Any]) -> str:
    """ASCII without `<`: nothing in it can end the element that holds it."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _text(words: str) -> str:
    return escape(printable(words))


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")
