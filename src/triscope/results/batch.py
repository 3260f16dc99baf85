"""Index the result of a batch: what of each field belongs to which image.

A field says so itself: `scores: PerImage[Tensor]` has one entry for each image, any other field is about all of them.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Protocol, Self, TypeAlias, TypeVar, get_origin, runtime_checkable

from torch import Tensor

_T = TypeVar("_T")
_MARK = "one entry for each image"

#: The type of a field with one entry for each image: a tensor (B, ...), a tuple of B or of none, or the question that
#: they were asked. A field of any other type belongs to all images together.
PerImage: TypeAlias = Annotated[_T, _MARK]


@runtime_checkable
class _Question(Protocol):
    """The objective of a batch; see `triscope.objectives.base.Objective`."""

    def of(self, image: int) -> Any:
        """The objective of that image."""


class Note(str):
    """A sentence about some of a result's images; one about all of them is an ordinary string.

    `about` are their numbers, from 0. Where the result has several images, the text begins with them.
    """

    __slots__ = ("about", "sentence")

    sentence: str
    about: tuple[int, ...]

    def __new__(cls, sentence: str, about: Iterable[int], count: int) -> Self:
        """The `sentence`, about some of `count` images."""
        numbers = tuple(about)
        named = f"Image{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: " if count > 1 else ""
        note = super().__new__(cls, named + sentence)
        note.sentence, note.about = sentence, numbers
        return note

    def of(self, image: int) -> tuple[str, ...]:
        """The sentence for that image alone; nothing where it is about others."""
        return (self.sentence,) if image in self.about else ()


def note_about(sentence: str, about: Sequence[int], count: int) -> str:
    """A sentence about some of `count` images: a `Note`, or an ordinary string where it is about all of them."""
    return sentence if len(about) == count else Note(sentence, about, count)


def joined_notes(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The notes of a batch from those of each of its images; a note about all of them is kept once."""
    about: dict[str, list[int]] = {}
    for number, notes in enumerate(parts):
        for note in dict.fromkeys(notes):
            about.setdefault(note, []).append(number)
    return tuple(note_about(note, numbers, len(parts)) for note, numbers in about.items())


def notes_of(notes: Iterable[str], image: int) -> tuple[str, ...]:
    """The notes about that image."""
    return tuple(one for note in notes for one in (note.of(image) if isinstance(note, Note) else (note,)))


def fields_of(result: Any, image: int) -> dict[str, Any]:
    """The fields of a dataclass that differ from image to image, as they are for that one alone."""
    return {
        item.name: _one(getattr(result, item.name), image)
        for item in dataclasses.fields(result)
        if get_origin(item.type) is Annotated and _MARK in getattr(item.type, "__metadata__", ())
    }


def _one(value: Any, image: int) -> Any:
    if isinstance(value, Tensor | tuple):
        return value[image : image + 1]
    return value.of(image) if isinstance(value, _Question) else value
