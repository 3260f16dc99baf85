"""What the pages say exists: the files they link to, the commands and names they show."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
import pytest

import triscope
from triscope.verbs import METHODS

ROOT = Path(__file__).parents[1]
PAGES = {page.relative_to(ROOT).as_posix(): page for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code(page: Path, language: str) -> list[str]:
    """The lines of a page's code in that language, less comments."""
    blocks = [block for kind, block in FENCED.findall(page.read_text("utf-8")) if kind == language]
    return [line.partition("#")[0].strip() for line in "\n".join(blocks).splitlines()]


@cache
def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    lost = []
    for name, page in PAGES.items():
        links = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text("utf-8")))
        for target, _, anchor in (link.partition("#") for link in links if "://" not in link):
            there = (page.parent / target).resolve() if target else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                lost.append((name, f"{target}#{anchor}"))
    assert lost == []


def test_commands_exist():
    from triscope.cli import main

    commands = set(main.list_commands(click.Context(main)))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    known, unknown = {"triscope": commands, "make": targets}, []
    for name, page in PAGES.items():
        words = [pair for line in code(page, "sh") for pair in pairwise(line.split())]
        asked = [pair for pair in words if pair[0] in known and not pair[1].startswith("-")]
        unknown += [(name, *pair) for pair in asked if pair[1] not in known[pair[0]]]
    assert unknown == []


def test_names_exist():
    pages = {name: re.findall(r"\bts\.(\w+)", "\n".join(code(page, "python"))) for name, page in PAGES.items()}
    assert {(name, one) for name, named in pages.items() for one in named if one not in triscope.__all__} == set()


def test_the_public_face_is_what_the_reference_lists():
    page = (ROOT / "docs/reference/index.md").read_text("utf-8")
    assert (
        sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE), key=lambda name: (name.casefold(), name))
        == triscope.__all__
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_page_that_says_it_all(name):
    verb = METHODS[name]
    page = (ROOT / f"docs/methods/{verb.command}.md").read_text("utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    wanted = ["Formula", "Options", "When it misleads", "Reference"]
    assert [heading for heading in headings if heading in wanted] == wanted
    assert f"<!-- options: {name} -->" in page  # the table itself is written by scripts/derived.py, and tested with it
    assert re.search(rf"^triscope {verb.command}( |$)", page, re.MULTILINE)
    assert f"ts.{name}(" in page
