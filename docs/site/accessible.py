"""What the theme leaves out for those who read by keyboard or by ear.

Captions of the navigation say how deep they are, the two columns at the sides have names, empty heads of tables are
cells, and what can be scrolled sideways can be reached by the keyboard.
"""

from pathlib import Path

from sphinx.application import Sphinx

_CHANGES = {
    'class="caption" role="heading"><': 'class="caption" role="heading" aria-level="2"><',
    '<aside class="sidebar-drawer"': '<aside aria-label="All pages" class="sidebar-drawer"',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
    '<th class="head"><p></p></th>': "<td></td>",
    '<th class="head stub"><p></p></th>': "<td></td>",
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
}


def mend(app: Sphinx, error: Exception | None) -> None:
    """Put the pages right, once they are written; what is right already stays."""
    for path in Path(app.outdir).rglob("*.html") if error is None else ():
        text = mended = path.read_text("utf-8")
        for before, after in _CHANGES.items():
            mended = mended.replace(before, after)
        if mended != text:
            path.write_text(mended, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Look at every page in the end."""
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
