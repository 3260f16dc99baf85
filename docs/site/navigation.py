"""What stands beside every page: the links of the index pages, section by section. There is no second list of them."""

import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

INDEXES = ("docs/index", "docs/methods/index")
#: Links that lead elsewhere on the site.
MOVED = {"(../examples/)": "(gallery/index.rst)"}
_SECTION = re.compile(r"^## ", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#]+?\.(?:md|rst))\)")


def _toctree(section: str, folder: PurePosixPath, top: Path) -> str:
    """The pages that a section links to, as a table of contents that is seen at the side only."""
    heading = section.partition("\n")[0].strip()
    pages = [
        (top / folder / link).resolve().relative_to(top.resolve()) for link in dict.fromkeys(_LINK.findall(section))
    ]
    names = [f"/{page.with_suffix('').as_posix()}" for page in pages]
    lines = "\n".join(names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{lines}\n```\n" if names else ""


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Append the tables of contents to an index page."""
    if name in INDEXES:
        for link, elsewhere in MOVED.items():
            source[0] = source[0].replace(link, elsewhere)
        folder = PurePosixPath(name).parent
        source[0] += "".join(_toctree(section, folder, Path(app.srcdir)) for section in _SECTION.split(source[0])[1:])


def setup(app: Sphinx) -> dict[str, bool]:
    """Read index pages with their contents."""
    app.connect("source-read", add_contents)
    return {"parallel_read_safe": True}
