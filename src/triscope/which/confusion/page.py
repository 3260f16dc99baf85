"""A matrix of counts as one HTML page: a table, and for each of its cells the images. It has no script."""

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from triscope._version import __version__
from triscope.images import printable
from triscope.pages import policy, style_sheet

if TYPE_CHECKING:
    from triscope.which.confusion.matrix import Confusion

_IN_CELL = 60  # images of one cell,
_IN_PAGE = 3000  # and of all cells together, that are shown
_SHADES = 10
_HOW = (
    "The colour of a cell is its share of the row, a frame marks correct predictions, and a number leads to its images."
)


def page(matrix: "Confusion") -> bytes:
    """The page, UTF-8 HTML."""
    style = style_sheet(Path(__file__).with_name("confusion.css"))
    rows, columns = matrix.shown()
    title = _text(f"{matrix.title}: {matrix.store.about.network}")
    captions = "".join(f"<p>{_text(caption)}</p>" for caption in (*matrix.captions, *_left_out(matrix, rows, columns)))
    html = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(images="data:", style=style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="triscope {__version__}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><p class="kicker">triscope {escape(matrix.title.lower())}</p><h1>{title}</h1>{captions}</header>
<main>
<section class="matrix" id="matrix" tabindex="0" aria-label="The counts">{_table(matrix, rows, columns)}</section>
<div class="cells">
{_sections(matrix, rows, columns)}
</div>
</main>
</body>
</html>
"""
    return html.encode()


def _left_out(matrix: "Confusion", rows: list[int], columns: list[int]) -> list[str]:
    hidden = len(matrix.labels) - len(rows), len(matrix.answers) - len(columns)
    if not any(hidden):
        return [_HOW]
    return [f"{len(rows)} rows and {len(columns)} columns are shown, {hidden[0]} and {hidden[1]} are not.", _HOW]


def _table(matrix: "Confusion", rows: list[int], columns: list[int]) -> str:
    heads = "".join(f'<th scope="col"><span>{_text(matrix.answers[column])}</span></th>' for column in columns)
    lines = []
    for row in rows:
        total = int(matrix.values[row].sum())
        cells = "".join(_cell(matrix, row, column, total) for column in columns)
        lines.append(
            f'<tr><th scope="row">{_text(matrix.labels[row])}</th><td class="total">{total:,}</td>{cells}</tr>'
        )
    axes = " and ".join(map(_text, matrix.axes))
    corner = f'<td class="corner"><span>{_text(matrix.axes[0])}</span></td>'
    return (
        f'<table><caption class="unseen">Counts of images by {axes}</caption><thead><tr>{corner}'
        f'<th scope="col" class="total">all</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    )


def _cell(matrix: "Confusion", row: int, column: int, total: int) -> str:
    count = int(matrix.values[row, column])
    right = " right" if matrix.matched.get(row) == column else ""
    if not count:
        return f'<td class="s0{right}"></td>'
    shade = max(1, round(_SHADES * count / total))
    said = f"{matrix.labels[row]}, {matrix.answers[column]}: {count} of {total}"
    return (
        f'<td class="s{shade}{right}"><a href="#c{row}-{column}" title="{_text(said)}" '
        f'aria-label="{_text(said)}">{count:,}</a></td>'
    )


def _sections(matrix: "Confusion", rows: list[int], columns: list[int]) -> str:
    """The images of each cell; those of the fullest cells outside the diagonal first, as long as there is room."""
    cells = [cell for cell in matrix.members if cell[0] in rows and cell[1] in columns]
    cells.sort(key=lambda cell: (matrix.matched.get(cell[0]) == cell[1], -len(matrix.members[cell]), cell))
    room, made = _IN_PAGE, []
    for row, column in cells:
        members = matrix.members[row, column]
        shown = members[: min(_IN_CELL, room)]
        room -= len(shown)
        data = matrix.store.table.take(shown, ["name", "thumbnail"])
        figures = "".join(
            f'<li><img src="data:image/jpeg;base64,{base64.b64encode(bytes(jpeg)).decode()}" alt="">'
            f"<span>{_text(name)}</span><span>{matrix.certainty[int(place)]:.2f}</span></li>"
            for place, name, jpeg in zip(shown, data["name"], data["thumbnail"], strict=True)
        )
        more = f"<p>and {len(members) - len(shown):,} more</p>" if len(members) > len(shown) else ""
        heading = (
            f"{_text(matrix.axes[0])} <b>{_text(matrix.labels[row])}</b>, {_text(matrix.axes[1])} "
            f"<b>{_text(matrix.answers[column])}</b>"
        )
        count = f"{len(members):,} images, the most certain first" if len(members) > 1 else "1 image"
        made.append(
            f'<section class="cell" id="c{row}-{column}"><h2>{heading}</h2><p>{count}. <a href="#matrix">Back to the '
            f"table</a></p><ul>{figures}</ul>{more}</section>"
        )
    return "\n".join(made)


def _text(words: str) -> str:
    return escape(printable(words))
