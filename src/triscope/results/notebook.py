"""How results show themselves in a notebook: HTML that runs nothing outside of a sandbox."""

import base64
import html
from collections.abc import Iterable, Sequence


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
