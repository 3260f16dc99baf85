"""A table of counts as an image: a cell for each, darker where its share is greater, names beside the rows and above
the columns.
"""

from collections.abc import Collection, Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
from torch import Tensor

from triscope.render.color import unsigned

_CELL = 30  # pixels
_SIZE = 12  # of letters
_LONGEST = 190  # pixels of a name
_MARGIN = 8


def count_table(
    counts: Tensor,
    shares: Tensor,
    rows: Sequence[str],
    columns: Sequence[str],
    marked: Collection[tuple[int, int]] = (),
) -> Tensor:
    """Counts (R, C) with their shares (R, C) in [0, 1] as an image (3, H, W) in [0, 1], on white.

    `marked` cells (row, column) have a frame.
    """
    font = PIL.ImageFont.load_default(_SIZE)
    left = _MARGIN + max((min(_LONGEST, int(font.getlength(name)) + 1) for name in rows), default=0) + 6
    top = _MARGIN + max((min(_LONGEST, int(font.getlength(name)) + 1) for name in columns), default=0) + 6
    width, height = left + _CELL * len(columns) + _MARGIN, top + _CELL * len(rows) + _MARGIN
    sheet = PIL.Image.new("RGB", (width, height), "white")
    brush = PIL.ImageDraw.Draw(sheet)
    fills = (1 - shares.float() if shares.numel() else shares.float()).clamp(0, 1)
    colours = unsigned(fills, 1.0).movedim(0, -1).mul(255).round().to(torch.uint8).numpy() if shares.numel() else None
    for row, name in enumerate(rows):
        strip = _name(name, font)
        sheet.paste(strip, (left - 6 - strip.width, top + row * _CELL + (_CELL - strip.height) // 2))
    for column, name in enumerate(columns):
        strip = _name(name, font).rotate(90, expand=True)
        sheet.paste(strip, (left + column * _CELL + (_CELL - strip.width) // 2, top - 6 - strip.height))
    for row in range(len(rows)):
        for column in range(len(columns)):
            x, y = left + column * _CELL, top + row * _CELL
            count = int(counts[row, column])
            fill = tuple(map(int, colours[row, column])) if colours is not None and count else (255, 255, 255)
            brush.rectangle((x, y, x + _CELL - 2, y + _CELL - 2), fill=fill, outline=(214, 214, 214))
            if (row, column) in marked:
                brush.rectangle((x, y, x + _CELL - 2, y + _CELL - 2), outline=(20, 20, 20), width=2)
            if count:
                ink = "white" if sum(fill) < 380 else "black"
                small = PIL.ImageFont.load_default(_SIZE if count < 1000 else 9)
                text = str(count) if count < 10_000 else f"{count // 1000}k"
                brush.text((x + _CELL / 2 - 1, y + _CELL / 2 - 1), text, ink, small, anchor="mm")
    return torch.from_numpy(np.array(sheet)).movedim(-1, 0) / 255


def _name(text: str, font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont) -> PIL.Image.Image:
    """A name in one line, cut where it is too long."""
    while font.getlength(text) > _LONGEST:
        text = text.removesuffix("...")[:-1] + "..."
    strip = PIL.Image.new("RGB", (max(1, int(font.getlength(text)) + 1), _SIZE + 6), "white")
    PIL.ImageDraw.Draw(strip).text((0, 2), text, "black", font)
    return strip
