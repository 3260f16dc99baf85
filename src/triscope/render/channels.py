"""Images of any number of channels as colours.

1       grey
2       red, and cyan: where both are alike the image is grey
3       red, green, blue
more    the first three, unless others are stated
"""

from collections.abc import Sequence

from torch import Tensor


def usual_channels(count: int) -> tuple[int, ...]:
    """The channels that are shown of `count`, as (red, green, blue), or the one that is shown in grey."""
    return {1: (0,), 2: (0, 1, 1)}.get(count, (0, 1, 2))


def visible(picture: Tensor, show: Sequence[int] | None = None) -> Tensor:
    """An image (C, H, W) as colours (3, H, W): the channels in `show` - three, or one in grey -, or the usual ones."""
    if show is None and len(picture) == 3:
        return picture
    chosen = picture[list(usual_channels(len(picture)) if show is None else show)]
    return chosen.expand(3, -1, -1)
