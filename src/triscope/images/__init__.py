"""Read images (files, encoded bytes, PIL images, arrays, tensors) as tensors of one kind.

An image is float32 `(B, 3, H, W)` (or `(B, 1, H, W)`) in [0, 1], whole and upright, in sRGB. What is accepted, what is
refused and how each kind of file is converted stands in docs/images.md. Three rules hold for all of it:

- the content decides, never the extension, and no decoder that starts another program (EPS) is ever used;
- an image that is too large is refused before a pixel is decoded;
- a file that is cut short is refused, never filled up with grey.
"""

from triscope.images.files import bare_name, not_the_file, open_regular, printable, public_path, public_store, slug
from triscope.images.photo import (
    MAX_PIXELS,
    WHITE,
    Color,
    ImageSource,
    Photo,
    open_photo,
    read_image,
    resize,
    to_pil,
)

__all__ = [
    "bare_name",
    "Color",
    "ImageSource",
    "MAX_PIXELS",
    "not_the_file",
    "open_photo",
    "open_regular",
    "Photo",
    "printable",
    "public_path",
    "public_store",
    "read_image",
    "resize",
    "slug",
    "to_pil",
    "WHITE",
]
