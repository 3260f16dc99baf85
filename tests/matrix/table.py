"""The matrix as a page of the documentation: what is written into it, and what it says."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.matrix.columns import COLUMNS
from tests.matrix.journal import Cells

PAGE = Path(__file__).parents[2] / "docs/matrix.md"
_MARKS = {"fine": "o", "refused": "r", "wrong": "X", "error": "T", "slow": "t", "": "."}
_VERDICTS = {mark: verdict for verdict, mark in _MARKS.items()}
_NAMES = ["wrap", *COLUMNS]
_PART = "<!-- {} -->\n"


def said() -> dict[str, dict[str, str]]:
    """The verdicts that the page shows, by network and column."""
    lines = re.findall(rf"^\| (.+?) \|((?: [a-zA-Z.] \|){{{len(_NAMES)}}})$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {
        name: dict(zip(_NAMES, (_VERDICTS[mark] for mark in marks.replace("|", " ").split()), strict=True))
        for name, marks in lines
    }


def write(found: Mapping[str, Cells], order: Iterable[str], versions: str) -> None:
    """Write the page's table, counts and reasons anew from what was recorded."""
    rows = {name: found[name] for name in order if name in found}
    head = f"| network | {' | '.join(_NAMES)} |\n|---|{'---|' * len(_NAMES)}\n"
    lines = (f"| {name} | {' | '.join(_mark(cells, column) for column in _NAMES)} |\n" for name, cells in rows.items())
    counts = {
        verdict: sum(cell.verdict == verdict for cells in rows.values() for cell in cells.values())
        for verdict in _MARKS
    }
    counted = (
        f"{len(rows)} networks, {sum(counts.values())} cells: {counts['fine']} passed, {counts['refused']} not "
        f"supported, {counts['wrong']} wrong, {counts['error']} with any other error, {counts['slow']} too slow. "
        f"{versions}\n"
    )
    text = PAGE.read_text("utf-8")
    for part, content in (("counts", counted), ("table", head + "".join(lines)), ("reasons", _reasons(rows))):
        begin, end = _PART.format(part), _PART.format("end")
        before, _, rest = text.partition(begin)
        text = before + begin + content + end + rest.partition(end)[2]
    PAGE.write_text(text, "utf-8")


def _mark(cells: Cells, column: str) -> str:
    return _MARKS[cells[column].verdict] if column in cells else "."


def _reasons(rows: Mapping[str, Cells]) -> str:
    """What the refusals say; that of guided backprop, where there is no ReLU, is one and the same."""
    lines = []
    for name, cells in rows.items():
        sentences: dict[str, list[str]] = {}
        for column, cell in cells.items():
            if cell.verdict not in ("fine", "") and "changes the gradients of ReLUs" not in cell.said:
                sentences.setdefault(cell.said.replace("|", "/"), []).append(column)
        lines += [f"- **{name}** ({', '.join(columns)}): `{_plain(said)}`\n" for said, columns in sentences.items()]
    return "".join(lines)


def _plain(said: str) -> str:
    """One line, without what differs from run to run."""
    return re.sub(r"/tmp/\S+", "FOLDER", " ".join(said.split())).replace("`", "'")[:300]
