"""How results are displayed in a notebook: HTML whose scripts run in a sandboxed frame."""

import base64
import html
from collections.abc import Iterable, Sequence

from torch import Tensor

from triscope.pages.drawing import document, figure
from triscope.results.drawing import Drawing, colours, photo_uris


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table of texts and numbers."""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def image(png: bytes, caption: str = "") -> str:
    """A PNG, and a line of text above it."""
    said = html.escape(caption)
    return f'<p>{said}</p><img alt="{said}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def frame(page: bytes, title: str, height: int = 640) -> str:
    """A whole page in a frame of its own: its scripts run, and reach neither the notebook nor its kernel."""
    source = html.escape(page.decode("utf-8"))
    return (
        f'<iframe title="{html.escape(title)}" sandbox="allow-scripts" srcdoc="{source}" '
        f'style="width: 100%; height: {height}px; border: 0"></iframe>'
    )


def shown(drawing: Drawing, png: bytes, title: str, photos: Sequence[Tensor] = ()) -> str:
    """A drawing in a frame of its own: interactive where scripts run there, else its image."""
    text = f'<img alt="{html.escape(title)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    return page_of({**drawing, "photos": photo_uris(photos)} if photos else drawing, text, title)


def page_of(drawing: Drawing, inside: str, title: str) -> str:
    """A drawing in a frame; `inside` is HTML that is shown where no script runs."""
    return frame(document(title, figure(inside, drawing), colours()), title, _height(drawing))


def _height(drawing: Drawing) -> int:
    """Pixels that a drawing takes in a notebook, about."""
    if drawing["kind"] == "bars":
        return 20 + sum(27 * len(rows) + 35 for rows in drawing["rows"])
    if drawing["kind"] == "tiles":
        return 640 if drawing["count"] > 24 else 420
    several, shape = len(drawing["maps"]), drawing["size"][0] / drawing["size"][1]
    return int(140 + 352 * shape if several == 1 else 70 + -(-several // 3) * (110 + 300 * shape))
