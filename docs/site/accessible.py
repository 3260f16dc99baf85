"""What the theme leaves out for those who read by keyboard or by ear.

Captions of the navigation say how deep they are, empty heads of tables are cells, and what can be scrolled sideways can
be reached by the keyboard.
"""

from typing import Any

from sphinx.application import Sphinx

_CHANGES = {
    'class="caption" role="heading"': 'class="caption" role="heading" aria-level="2"',
    '<th class="head"><p></p></th>': "<td></td>",
    '<th class="head stub"><p></p></th>': "<td></td>",
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
}
_LATE = 900  # after the theme


def mend(app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """A page's markup, put right before it is written."""
    for part in ("body", "furo_navigation_tree", "toc"):
        for before, after in _CHANGES.items():
            if isinstance(context.get(part), str):
                context[part] = context[part].replace(before, after)


def setup(app: Sphinx) -> dict[str, bool]:
    """Put every page right."""
    app.connect("html-page-context", mend, priority=_LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
