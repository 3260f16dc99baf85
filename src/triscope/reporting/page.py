"""The whole page: header, contents, sections and footer.

It needs nothing else: no font, no image, no script from anywhere. Its own policy (CSP) forbids every request, and
every script but the one in it, which draws figures from what they hold. Images are data: URIs, and all of them are
shown where no script runs.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from torch import Tensor

from triscope import render
from triscope._version import __version__
from triscope.images import to_pil
from triscope.pages import palette, policy
from triscope.pages.drawing import body as body_tag
from triscope.pages.drawing import script, style
from triscope.reporting.blocks import Block, Figure, Note, percent
from triscope.reporting.html import ENLARGED, PHOTO, bars, block_html, frame, png_size, text, uri
from triscope.reporting.subject import Subject
from triscope.results.drawing import colours

_LAST = "Where the time went"


def page(subject: Subject, sections: Sequence[tuple[str, str, Sequence[Block]]], timings: Mapping[str, float]) -> str:
    """The page: `sections` are (title, lead, blocks), `timings` seconds by name."""
    title = f"What {subject.network.name} sees in {subject.name}"
    body = "\n".join(_section(number, *section) for number, section in enumerate(sections, 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(images="data:", style=None, script=script())}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="triscope {__version__}">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>
{palette()}{style()}{Path(__file__).with_name("page.css").read_text("utf-8")}</style>
</head>
{body_tag(colours())}
{_photo(render.visible(subject.seen.images[0], subject.network.show))}
{_header(subject, title)}
{_contents([*(section[0] for section in sections), _LAST])}
<main>
{body}
</main>
{_footer(len(sections) + 1, timings)}
<script>{script()}</script>
</body>
</html>
"""


def _photo(image: Tensor) -> str:
    """What the network sees, once: all small views of it use this one."""
    rows, cols = image.shape[-2:]
    data = io.BytesIO()
    to_pil(image.float()).save(data, "PNG")
    return (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
        f'<image id="{PHOTO}" href="{uri(data.getvalue())}" width="{cols}" height="{rows}"/></defs></svg>'
    )


def _header(subject: Subject, title: str) -> str:
    rows, cols = subject.seen.images.shape[-2:]
    parameters = sum(parameter.numel() for parameter in subject.network.module.parameters())
    file = subject.path.name if subject.path else subject.name
    channels = subject.network.channels
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    facts = {
        "Network": f"{subject.network.name}, {parameters:,} parameters",
        "Image": f"{file}, {subject.size[0]} × {subject.size[1]} pixels",
        "Seen": f"{_part(subject)}, as {rows} × {cols} pixels in {kind}",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in facts.items())
    return f"""<header>
<div>
<p class="kicker">triscope report</p>
<h1>{text(title)}</h1>
<p class="answer">{_answer(subject)}</p>
<dl class="facts">{listed}</dl>
</div>
<figure class="hero">{_framed(subject)}</figure>
</header>"""


def _part(subject: Subject) -> str:
    """Which part of the image is seen, in words."""
    box = subject.seen.boxes[0]
    if (box.top, box.left, box.height, box.width) == (0, 0, *subject.size):
        return "all of it"
    return "the whole image on grey" if subject.fit == "pad" else "the part in the frame"


def _answer(subject: Subject) -> str:
    """The network's answer in a sentence, as sure as it is."""
    if subject.boxes is not None:
        if not subject.boxes:
            return "It finds nothing in this image."
        unit, score = subject.boxes[0]
        return f"It finds boxes, of which <strong>{text(unit)}</strong> is the surest with {percent(score)}."
    if not subject.has_classes:
        return "This network has no classes to answer with. What its inner units respond to can be seen all the same."
    if subject.network.task == "number":
        best, value = subject.best
        return f"It gives one number, <strong>{text(best)}</strong>{text(value)}."
    (_, best, share), *others = subject.classes
    if subject.segments:
        then = f" Next comes {text(others[0][1])} with {percent(others[0][2])}." if others else ""
        return f"The class of most pixels is <strong>{text(best)}</strong> with {percent(share)} of them.{then}"
    sure = "" if share >= 0.5 else "It is not sure. "
    then = f" Next comes {text(others[0][1])} with {percent(others[0][2])}." if others else ""
    return f"{sure}Its best guess is <strong>{text(best)}</strong> with {percent(share)}.{then}"


def _framed(subject: Subject) -> str:
    """The whole image; what the network does not see of it lies in the shade."""
    (height, width), box = subject.size, subject.seen.boxes[0]
    top, left = min(0, box.top), min(0, box.left)
    bottom, right = max(height, box.top + box.height), max(width, box.left + box.width)
    inner = f"M{box.left} {box.top}h{box.width}v{box.height}h-{box.width}Z"
    shade = f"M{left} {top}H{right}V{bottom}H{left}Z{inner}"
    label = text(f"{subject.name}, and the part of it that the network sees")
    return (
        f'<svg viewBox="{left} {top} {right - left} {bottom - top}" role="img" aria-label="{label}">'
        f'<image href="{uri(subject.thumbnail, "jpeg")}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f'<path class="shade" fill-rule="evenodd" d="{shade}"/>{frame(box)}</svg>'
    )


def _contents(titles: Sequence[str]) -> str:
    links = (
        f'<li><a href="#part-{number}"><span class="number">{number}</span>{text(title)}</a></li>'
        for number, title in enumerate(titles, 1)
    )
    return f'<nav aria-label="Contents"><ol>{"".join(links)}</ol></nav>'


def _section(number: int, title: str, lead: str, blocks: Sequence[Block]) -> str:
    runs = groupby(blocks, key=lambda block: "" if isinstance(block, Note) else block.caution)
    body = "\n".join(_run(caution, list(run)) for caution, run in runs)
    return f'<section id="part-{number}">\n{_head(number, title, lead)}\n{body}\n</section>'


def _head(number: int, title: str, lead: str) -> str:
    return (
        f'<div class="head"><span class="number">{number}</span><h2>{text(title)}</h2>'
        f'<p class="lead">{text(lead)}</p></div>'
    )


def _run(caution: str, blocks: Sequence[Block]) -> str:
    """Blocks that share a caution, and the caution once."""
    figures = [block for block in blocks if isinstance(block, Figure)]
    roomy = any(figure.sees or png_size(figure.png)[0] > ENLARGED for figure in figures)
    kind = "blocks single" if len(blocks) == len(figures) == 1 and not figures[0].wide else "blocks"
    drawn = "\n".join(map(block_html, blocks))
    told = f'\n<p class="caution"><b>When it misleads.</b> {text(caution)}</p>' if caution else ""
    return f'<div class="{kind}" style="--column:{28 if roomy else 19.5}rem">\n{drawn}\n</div>{told}'


def _footer(number: int, timings: Mapping[str, float]) -> str:
    total = sum(timings.values()) or 1.0
    rows = ((name, seconds / total, f"{seconds:.2f} s") for name, seconds in timings.items())
    return f"""<footer id="part-{number}">
{_head(number, _LAST, f"Everything took {total:.1f} seconds.")}
{bars(rows, "bars times")}
<p class="small">Made by triscope {__version__}. Each image carries its recipe: save one from this page, and
<em>triscope redo</em> makes it again. Files are named by their path from the folder in which the page was made, those
outside it by their names alone. The page loads nothing from any network. Its one script draws maps so that they can be
read with a pointer: largest values and means are exact; what is under the pointer comes from 8 bits, where several
methods are shown as the mean of a few pixels.</p>
</footer>"""
