"""The public names, each with its signature and docstring: a page for each section of docs/reference/index.md.

Docstrings are written to be read in a terminal. Here their paragraphs stay paragraphs, and whatever is set in - a
formula, a table of arguments - stays as it is written.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import triscope
from triscope.methods import Method

INDEX = "docs/reference/index"
_NAMES = "docs/reference/names"
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
_CODE = re.compile(r"(`+)(.+?)\1")
_SPECIAL = re.compile(r"([\\*_|])")


def sections(page: str) -> Iterator[tuple[str, list[str]]]:
    """(heading, names) of the index page's sections."""
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        yield section.partition("\n")[0].strip(), _ROW.findall(section)


def slug(heading: str) -> str:
    """A heading as the name of a file."""
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def to_rst(lines: Sequence[str]) -> list[str]:
    """A docstring's lines as reStructuredText."""
    out: list[str] = []
    inside = False
    for line in lines:
        if line.startswith((" ", "\t")):
            out += [] if inside else ["", ".. code-block:: text", ""]
            out.append(f"   {line}")
            inside = True
        else:
            out += [""] if inside and line else []
            inside = inside and not line
            out.append(_prose(line))
    return out


def _prose(line: str) -> str:
    """A line of a paragraph: code is code, and no sign means anything else."""
    parts, at = [], 0
    for code in _CODE.finditer(line):
        parts += [_SPECIAL.sub(r"\\\1", line[at : code.start()]), f"``{code[2]}``"]
        at = code.end()
    return "".join([*parts, _SPECIAL.sub(r"\\\1", line[at:])])


def _method(method: Method[Any]) -> Iterator[str]:
    """A method: what it is asked about, its options, and what it returns."""
    parameters = [one.replace(annotation=one.empty) for one in method.signature.parameters.values()]
    signature = inspect.Signature(parameters)
    shown = re.sub(r"\b(\w+)\((?:[^()]|\([^()]*\))*\)(?=[,)])", r"\1(...)", str(signature)[1:-1] + ")")[:-1]
    yield f".. py:function:: triscope.{method.name}({shown})"
    yield ""
    prose = [part for part in (inspect.getdoc(method) or "").split("\n\n") if not part.startswith(" ")]
    for line in to_rst("\n\n".join(prose).splitlines()):
        yield f"   {line}"
    yield ""
    for option in method.options:
        choices = f" One of {', '.join(map(str, option.choices))}." if option.choices else ""
        text = f"{option.help or option.name}.{choices} Default: {option.default}."
        yield f"   :param {option.name}: {_prose(text)}"
    yield f"   :returns: :py:class:`triscope.{method.returns.__name__}`, and the same by steps with ``.steps(...)``"
    yield ""
    yield f"   The formula, and when it misleads: :doc:`/docs/methods/{method.command}`."


def _entry(name: str) -> Iterator[str]:
    value = getattr(triscope, name)
    if isinstance(value, Method):
        yield from _method(value)
    elif inspect.isclass(value):
        yield f".. autoclass:: triscope.{name}"
        yield "   :members:" if not issubclass(value, Exception) else ""
    else:
        yield f".. autofunction:: triscope.{name}"
    yield ""


def write_pages(app: Sphinx) -> None:
    """Write the pages, before they are read; those of sections that have gone are removed."""
    top = Path(app.srcdir)
    folder = top / _NAMES
    folder.mkdir(exist_ok=True)
    gone = set(folder.glob("*.rst"))
    for heading, names in sections((top / f"{INDEX}.md").read_text("utf-8")):
        lines = [heading, "=" * len(heading), ""]
        for name in names:
            lines += _entry(name)
        page, text = folder / f"{slug(heading)}.rst", "\n".join(lines)
        gone.discard(page)
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")
    for page in gone:
        page.unlink()


def link_names(app: Sphinx, name: str, source: list[str]) -> None:
    """In the tables of the index page, names are links."""
    if name == INDEX:
        pages = "\n".join(f"names/{slug(heading)}" for heading, _ in sections(source[0]))
        source[0] = _ROW.sub(r"| {py:obj}`triscope.\1` |", source[0])
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def read_docstring(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Docstrings as autodoc wants them."""
    lines[:] = to_rst(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages when a build begins."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_names)
    app.connect("autodoc-process-docstring", read_docstring)
    return {"parallel_read_safe": True}
