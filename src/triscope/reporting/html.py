"""Blocks as HTML. Whatever comes from outside - names of files, classes and layers, messages - passes `text`."""

import base64
import hashlib
import html
import math
import re
import struct
from collections.abc import Iterable, Sequence

from triscope.images import printable
from triscope.network import Box
from triscope.pages.drawing import figure
from triscope.reporting.blocks import Bars, Block, Figure, Mosaic, Note, Shown, Table, Volume, Volumes, percent

#: How many times as wide as high an image is that is scrolled on narrow screens, and not made small; so are words.
_STRIP = 3
#: Pixels: an image up to so wide is enlarged on the page, and may be enlarged as squares.
ENLARGED = 450
#: The id of what the network sees, which the page holds once.
PHOTO = "photo"


def text(words: str) -> str:
    """Words from anywhere as HTML: markup escaped, and what cannot be printed shown as escapes."""
    return html.escape(printable(words))


def uri(data: bytes, kind: str = "png") -> str:
    """An image's bytes as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def png_size(png: bytes) -> tuple[int, int]:
    """(columns, rows) of a PNG."""
    cols, rows = struct.unpack(">II", png[16:24])
    return cols, rows


def frame(box: Box) -> str:
    """The outline of a box, to be seen on light and on dark, inside an SVG in pixels."""
    outline = f"M{box.left} {box.top}h{box.width}v{box.height}h-{box.width}Z"
    return f'<path class="frame under" d="{outline}"/><path class="frame" d="{outline}"/>'


def bars(rows: Iterable[tuple[str, float, str]], kind: str = "bars") -> str:
    """Bars of (name, share in [0, 1], what is written beside), as `h.js` draws them."""
    items = (
        f'<li><div><span class="name">{text(name)}</span>'
        f'<span class="track"><span style="width:{100 * min(max(share, 0), 1):.3g}%"></span></span>'
        f'<span class="value">{text(value)}</span></div></li>'
        for name, share, value in rows
    )
    return f'<ol class="{kind}">{"".join(items)}</ol>'


def block_html(block: Block) -> str:
    """One block, with its caption and its command."""
    match block:
        case Note():
            return f'<p class="note">{text(block.text)}</p>'
        case Table():
            drawn = (
                f"<details{' open' * block.unfolded}><summary>{text(block.title)}</summary>{_table(block)}</details>"
            )
            return f'<figure class="wide">{drawn}{_caption(block)}</figure>'
        case Figure():
            drawn = _panels(block, block.sees) if block.sees else _picture(block)
            drawn = figure(drawn, block.drawing) if block.drawing else drawn
            drawn = f'<div class="beside">{_sources(block)}{drawn}</div>' if block.sources else drawn
            kind = ' class="wide"' if block.wide else ""
            return f"<figure{kind}><h3>{text(block.title)}</h3>{drawn}{_caption(block)}</figure>"
        case Bars():
            drawn = bars((name, share, percent(share)) for name, share in block.rows)
            drawn = figure(drawn, block.drawing) if block.drawing else drawn
        case Volumes():
            largest = max(max(volume.rows, volume.cols) for volume in block.rows)
            boxes = "".join(_volume(volume, largest) for volume in block.rows)
            drawn = f'<ol class="volumes">{boxes}</ol>'
    return f'<figure class="wide"><h3>{text(block.title)}</h3>{drawn}{_caption(block)}</figure>'


def _caption(block: Shown) -> str:
    command = _command(block.command) if block.command else ""
    return f"<figcaption>{text(block.caption)}{command}</figcaption>"


def _command(command: str) -> str:
    """A command that breaks between words, with long folders narrowed for the eye only: what is copied is whole."""
    words = (re.sub(r"(\S{24,}/)", r'<span class="dir">\1</span>', text(word)) for word in command.split(" "))
    return f"<code>{' '.join(f'<span>{word}</span>' for word in words)}</code>"


def _alt(figure: Figure) -> str:
    return text(f"{figure.title}. {figure.caption}")


def _picture(figure: Figure) -> str:
    cols, rows = png_size(figure.png)
    sharp = ' class="sharp"' if figure.sharp and cols <= ENLARGED else ""
    drawn = f'<img{sharp} src="{uri(figure.png)}" width="{cols}" height="{rows}" alt="{_alt(figure)}">'
    if figure.mosaic:
        words = "".join(f'<i style="{_place(box, rows, cols)}"></i>' for box in figure.mosaic.words)
        name = f"mosaic-{hashlib.sha256(figure.title.encode() + figure.png).hexdigest()[:12]}"
        cut = f' style="clip-path:url(#{name})"'
        drawn = f'<div>{_outline(name, figure.mosaic, rows, cols)}<div class="mosaic"{cut}>{drawn}{words}</div></div>'
    small = cols > _STRIP * rows or bool(figure.mosaic and figure.mosaic.words)
    return f'<div class="scroll" tabindex="0">{drawn}</div>' if small else drawn


def _sources(figure: Figure) -> str:
    """What an image was made from, each with its name."""
    return "".join(
        f'<div><img src="{uri(jpeg, "jpeg")}" alt="{text(name)}, of which this was made: {text(figure.title)}">'
        f"<span>{text(name)}</span></div>"
        for name, jpeg in figure.sources
    )


def _outline(name: str, mosaic: Mosaic, rows: int, cols: int) -> str:
    """The outline of the images of a mosaic of so many pixels, by which its paper is cut away."""
    path = "".join(f"M{box.left} {box.top}h{box.width}v{box.height}h-{box.width}z" for box in mosaic.pictures)
    return (
        '<svg width="0" height="0" style="position:absolute" aria-hidden="true">'
        f'<clipPath id="{name}" clipPathUnits="objectBoundingBox">'
        f'<path transform="scale({1 / cols:.8g} {1 / rows:.8g})" d="{path}"/></clipPath></svg>'
    )


def _place(box: Box, rows: int, cols: int) -> str:
    """Where a line of words lies in an image of so many pixels, in per cent of it; a pixel more, for the edges."""
    left, width = (100 * length / cols for length in (box.left - 1, box.width + 2))
    top, height = (100 * length / rows for length in (box.top, box.height + 1))
    return f"left:{left:.5g}%;top:{top:.5g}%;width:{width:.5g}%;height:{height:.5g}%"


def _panels(figure: Figure, box: Box) -> str:
    """Where the unit looks, what is there, and that part of the image; saved from the page, it is the whole."""
    cols, rows = png_size(figure.png)
    longest = max(box.width, box.height)
    inner = f"width:{100 * box.width / longest:.4g}%;height:{100 * box.height / longest:.4g}%"
    shift = (
        f"width:{100 * cols / box.width:.6g}%;height:{100 * rows / box.height:.6g}%;"
        f"left:{-100 * box.left / box.width:.6g}%;top:{-100 * box.top / box.height:.6g}%"
    )
    photo = f'<use href="#{PHOTO}"/>'
    return (
        '<div class="panels">'
        f'<svg viewBox="0 0 {cols} {rows}" role="img" aria-label="Where the unit looks">{photo}{frame(box)}</svg>'
        f'<svg class="sharp" viewBox="{box.left} {box.top} {box.width} {box.height}" role="img" '
        f'aria-label="What is there">{photo}</svg>'
        f'<div class="patch"><div style="{inner}">'
        f'<img class="sharp" src="{uri(figure.png)}" style="{shift}" alt="{_alt(figure)}"></div></div></div>'
    )


def _table(table: Table) -> str:
    words = len(table.head) - table.numbers

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = ("" if place < words else ' class="n"' for place in range(len(cells)))
        return "".join(f"<{tag}{kind}>{text(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))

    body = "\n".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    head = f"<thead><tr>{row(table.head, 'th')}</tr></thead>"
    return f'<div class="scroll" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def _volume(volume: Volume, largest: int) -> str:
    """A volume as a box seen from the front: its sides by the square root, its depth by the logarithm."""
    high, wide = (6 + 84 * math.sqrt(size / largest) for size in (volume.rows, volume.cols))
    deep = 3 + 3.2 * math.log2(volume.channels)
    front = f"M0 {deep:.1f}h{wide:.1f}v{high:.1f}h-{wide:.1f}Z"
    top = f"M0 {deep:.1f}l{deep:.1f} -{deep:.1f}h{wide:.1f}l-{deep:.1f} {deep:.1f}Z"
    side = f"M{wide:.1f} {deep:.1f}l{deep:.1f} -{deep:.1f}v{high:.1f}l-{deep:.1f} {deep:.1f}Z"
    maps = volume.rows * volume.cols > 1
    size = f"{volume.rows} × {volume.cols} × {volume.channels:,}" if maps else f"{volume.channels:,}"
    return (
        f'<li><svg width="{wide + deep:.0f}" height="{high + deep:.0f}" aria-hidden="true">'
        f'<path class="side" d="{side}"/><path d="{top}"/><path d="{front}"/></svg>'
        f'<div><b>{text(volume.name)}</b> <span class="shape">{size}</span> <span>{text(volume.kind)}</span></div></li>'
    )
