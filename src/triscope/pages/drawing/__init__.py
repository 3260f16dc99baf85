"""The modules that draw, without any requests: the live page, static sites, reports and results in notebooks share
them.

    h         elements, the keyboard, and what every module needs
    colour    numbers to colours
    heat      a map over its photo, read under the pointer; two images in one
    tiles     all maps of a layer
    charts    bars, curves, histograms
    figures   figures of pages without a server, drawn from the numbers in the page
"""

import json
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from triscope.pages import palette, policy
from triscope.pages.bundle import bundled


@cache
def _read() -> dict[str, bytes]:
    folder = files("triscope.pages.drawing")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith((".js", ".css"))}


def drawing_files() -> dict[str, bytes]:
    """Every module that draws, by its name, and their style sheet `drawing.css`."""
    return dict(_read())


@cache
def script() -> str:
    """The script that draws the figures of a page without a server, escaped for a <script> element."""
    return bundled("figures.js", lambda name: _read()[name].decode()).replace("</", "<\\/")


def style() -> str:
    """The style sheet of the drawings."""
    return _read()["drawing.css"].decode()


def figure(inside: str, drawing: Mapping[str, Any]) -> str:
    """HTML that is replaced by a drawing where scripts run; elsewhere it stays."""
    return f'<div class="drawing" data-drawing="{_json(drawing)}">{inside}</div>'


def body(colours: Mapping[str, Any]) -> str:
    """The first tag of a page's body: it holds the colours of its drawings."""
    return f'<body data-colours="{_json(colours)}">'


def document(title: str, inside: str, colours: Mapping[str, Any]) -> bytes:
    """A page of one figure. Its policy (CSP) runs its one script, and loads nothing."""
    sheet = palette() + style() + (files("triscope.pages.drawing") / "document.css").read_text("utf-8")
    rules = policy(images="data:", style=sheet, script=script())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{rules}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{sheet}</style>
</head>
{body(colours)}
{inside}
<script>{script()}</script>
</body>
</html>
""".encode()


def _json(value: Mapping[str, Any]) -> str:
    return escape(json.dumps(value, separators=(",", ":"), allow_nan=False))
