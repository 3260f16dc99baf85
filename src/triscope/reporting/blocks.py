"""What a section of the report is made of: values without any HTML, drawn by `triscope.reporting.page`.

A builder of sections gives blocks. Every image, chart and table says what it shows (`caption`), when that misleads
(`caution`) and which command makes it; neighbours with the same caution share one line of it on the page.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from triscope.errors import TriscopeError
from triscope.network import Box
from triscope.results import Drawn
from triscope.results.drawing import Drawing

if TYPE_CHECKING:
    from triscope.reporting.subject import Subject


@dataclass(frozen=True)
class Mosaic:
    """Where the images of a mosaic lie, and the lines of words below them, in pixels."""

    pictures: tuple[Box, ...]
    words: tuple[Box, ...]

    @classmethod
    def of(cls, drawn: Drawn) -> "Mosaic":
        """What a result is drawn as."""
        tiles = drawn.montage().tiles
        sizes = [tile.picture.shape[-2:] for tile in tiles]
        pictures = (Box(tile.top, tile.left, *size) for tile, size in zip(tiles, sizes, strict=True))
        words = (
            Box(tile.top + rows - tile.words, tile.left, tile.words, columns)
            for tile, (rows, columns) in zip(tiles, sizes, strict=True)
            if tile.words
        )
        return cls(tuple(pictures), tuple(words))


@dataclass(frozen=True)
class Figure:
    """An image, as the PNG that its command writes.

    `sees` is what a unit sees of the image, in pixels of both: the page then shows that part of the image, and beside
    it where that lies in the photo. `sharp` images are enlarged as squares. A `mosaic` is several images on
    paper that takes the colour of the page. A `wide` image has a row of the page for itself. `sources` are what it
    was made from: names, and small JPEGs that stand beside it. `drawing` is what scripts draw it from.
    """

    title: str
    png: bytes
    caption: str
    caution: str
    command: str
    sees: Box | None = None
    sharp: bool = False
    mosaic: Mosaic | None = None
    wide: bool = False
    sources: tuple[tuple[str, bytes], ...] = ()
    drawing: Drawing | None = None

    @classmethod
    def of_tiles(cls, drawn: Drawn, title: str, png: bytes, caption: str, caution: str, command: str) -> "Figure":
        """The mosaic that a result is drawn as, of maps or filters."""
        mosaic, drawing = Mosaic.of(drawn), drawn.drawing()
        return cls(title, png, caption, caution, command, sharp=True, mosaic=mosaic, drawing=drawing)


@dataclass(frozen=True)
class Bars:
    """Named shares in [0, 1], as bars."""

    title: str
    rows: tuple[tuple[str, float], ...]
    caption: str
    caution: str
    command: str
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Volume:
    """What comes out of one layer: rows x columns x channels, and the kind of layer; a vector is 1 x 1 x channels."""

    name: str
    rows: int
    cols: int
    channels: int
    kind: str


@dataclass(frozen=True)
class Volumes:
    """Volumes from the first to the last, drawn as boxes."""

    title: str
    rows: tuple[Volume, ...]
    caption: str
    caution: str
    command: str


@dataclass(frozen=True)
class Table:
    """A table, folded away unless `unfolded`: `head` names its columns, the last `numbers` of which hold numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: int
    caption: str
    caution: str
    command: str
    unfolded: bool = False


@dataclass(frozen=True)
class Note:
    """A sentence by itself: why something is not shown."""

    text: str


Shown: TypeAlias = Figure | Bars | Volumes | Table
Block: TypeAlias = Shown | Note


@dataclass(frozen=True)
class Section:
    """One row of the report: its heading, the sentence below it, and the function that builds its blocks.

    A TriscopeError that `build` raises becomes a note after the blocks it gave before.
    """

    title: str
    lead: str
    build: "Callable[[Subject], Iterable[Block]]"

    def blocks(self, subject: "Subject") -> Iterator[Block]:
        """What there is to show of this subject, or the sentence that says why not."""
        try:
            yield from self.build(subject)
        except TriscopeError as error:
            yield Note(str(error))


def each(attempts: Iterable[tuple[str, Callable[[], Block]]]) -> Iterator[Block]:
    """The blocks of all attempts, by name, that can be made; and then one note on those that cannot."""
    refused: dict[str, str] = {}
    for name, make in attempts:
        try:
            yield make()
        except TriscopeError as error:
            refused[name] = str(error)
    if refused:
        *_, why = refused.values()
        yield Note(f"Not shown: {', '.join(refused)}. {why}")


def percent(share: float) -> str:
    """A share as it is honest to print it: neither 0% nor 100% where it is not."""
    if share > 0.999:
        return "over 99.9%"
    if share < 0.001:
        return "under 0.1%"
    return f"{100 * share:.1f}%" if share < 0.1 or share > 0.99 else f"{100 * share:.0f}%"
