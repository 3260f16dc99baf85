"""The modules that draw, which ask nothing of anyone: the live page, static sites, reports and results in notebooks
share them.

    h         elements, the keyboard, and what every module needs
    colour    numbers to colours
    heat      a map over its photo, read under the pointer; two pictures in one
    tiles     all maps of a layer
    charts    bars, curves, histograms
"""

from functools import cache
from importlib.resources import files


@cache
def _read() -> dict[str, bytes]:
    folder = files("triscope.pages.drawing")
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith((".js", ".css"))}


def drawing_files() -> dict[str, bytes]:
    """Every module that draws, by its name, and their style sheet `drawing.css`."""
    return dict(_read())
