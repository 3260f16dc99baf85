"""The files of the page, as they are served and as they are included in static pages."""

from functools import cache
from importlib.resources import files

from triscope.pages import palette
from triscope.pages.drawing import drawing_files

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def page_files() -> dict[str, bytes]:
    """Every file of the page by its name, with the modules that draw; the style sheet begins with the shared rules."""
    folder = files("triscope.web") / "page"
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in TYPES}
    drawing = drawing_files()
    found["app.css"] = palette().encode() + drawing.pop("drawing.css") + found["app.css"]
    return drawing | found
