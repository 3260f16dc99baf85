"""Words under an image, for the rows that are shown by themselves."""

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import torch
from torch import Tensor

from triscope.render.layout import Tile

_SMALLEST, _LARGEST = 7, 14


def captioned(picture: Tensor, text: str) -> Tile:
    """An image (3, H, W), taller by a line of text below it, black on white, as large as fits its width."""
    width = picture.shape[-1]
    size = _LARGEST
    while size > _SMALLEST and PIL.ImageFont.load_default(size).getlength(text) > width:
        size -= 1
    line = PIL.Image.new("RGB", (width, size + 6), "white")
    font = PIL.ImageFont.load_default(size)
    left = max(0, (width - font.getlength(text)) / 2)
    PIL.ImageDraw.Draw(line).text((left, 2), text, "black", font)
    drawn = torch.from_numpy(np.array(line)).movedim(-1, 0) / 255
    return Tile(torch.cat([picture, drawn.to(picture)], 1), words=drawn.shape[1])
