"""The blocks of code in a page, as they are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCED = re.compile(r"^```(?P<language>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, and the line of the page that it begins in."""

    language: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """Those of a page, in their order."""
    for found in _FENCED.finditer(page):
        yield Block(found["language"], found["text"], page.count("\n", 0, found.start("text")) + 1)
