"""Occlusion: how much the score falls when a window of the image is hidden.

    value at a pixel = mean over the windows w that cover it of  S(x) - S(x without w)

Only the network's output is used, so it works for any network, and measures the effect of hiding rather than of a small
change.

**When it misleads.** It hides one window at a time: where either of two places is enough, hiding one of them changes
nothing. The fill has edges and a colour of its own, which the network may respond to; compare fills. The map is as
coarse as the window.

**Reference.** M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.

**Differences from the paper.** Windows that reach over the border are cut there, as Captum's are. The paper draws the
score itself under occlusion; ours is its fall, so that zero means no difference.
"""

from collections.abc import Generator, Iterator
from typing import Annotated

import torch

from triscope.methods import BatchSize, ImagesArg, NetworkArg, ObjectiveArg, Range, Step, method
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.fills import Fill, hiding
from triscope.where.target import Changed, Target, in_batches

_Window = tuple[slice, slice]


@method("where")
def occlusion(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    window: Annotated[int, Range(1, 100_000)] | None = None,
    stride: Annotated[int, Range(1, 100_000)] | None = None,
    fill: Fill = "grey",
    batch_size: BatchSize = 16,
) -> Generator[Step[Heatmap]]:
    """How much the score falls when a window of the image is hidden (Zeiler and Fergus, 2014).

    Values (B, 1, H, W), signed, in units of the score: positive where hiding lowers it. Pixels that no window covers
    (a stride larger than the window) are zero.

    window        side of the window, in pixels  [default: a seventh of the image's shorter side]
    stride        distance between neighbouring windows, in pixels  [default: half a window]
    fill          what the window shows: grey, black, the image's mean colour, a blurred copy of the image, or its
                  surroundings (inpainted)
    """
    target = Target.of(network, images, objective)
    rows, cols = target.images.shape[-2:]
    side = window or max(1, round(min(rows, cols) / 7))
    windows = list(_windows(rows, cols, side, stride or max(1, side // 2)))
    hide = hiding(target.images, fill)
    total = torch.zeros_like(target.images[:, :1])
    count = torch.zeros_like(total)

    def copies() -> Iterator[Changed[int]]:
        for number, (down, across) in enumerate(windows):
            hidden = torch.zeros(1, rows, cols, dtype=torch.bool, device=target.images.device)
            hidden[:, down, across] = True
            for image in range(len(target)):
                yield Changed(image, hide(image, hidden), number)

    done, every = 0, len(windows) * len(target)
    for some in in_batches(copies(), batch_size):
        drops = target.scores[list(some.images)] - target.ask(some.pictures, some.images)
        for image, number, drop in zip(some.images, some.keys, drops, strict=True):
            total[image, 0][windows[number]] += drop
            count[image, 0][windows[number]] += 1
        done += len(drops)
        yield Step(done, every, float(target.scores.mean()), {}, target.heatmap(total / count.clamp_min(1)))


def _windows(rows: int, cols: int, side: int, stride: int) -> Iterator[_Window]:
    """The windows, row by row; the last of a row or column reaches the border."""
    for top in _starts(rows, side, stride):
        for left in _starts(cols, side, stride):
            yield slice(top, min(top + side, rows)), slice(left, min(left + side, cols))


def _starts(length: int, side: int, stride: int) -> range:
    return range(0, max(length - side, 0) + stride, stride) if length > side else range(1)
