"""What all results are: values, a recipe, and the files that they are written to."""

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from triscope.errors import OptionError
from triscope.images import printable
from triscope.images.writing import write_file
from triscope.results.batch import PerImage, fields_of, notes_of
from triscope.results.recipe import ImageNote, Recipe

_NAMED = 3  # images that a line names


@dataclass(frozen=True, eq=False)
class Result(ABC):
    """Values, and the recipe that made them. `notes` are remarks for the reader."""

    #: What messages call such a result, and the endings of the files that it may be written to.
    kind: ClassVar[str] = "result"
    endings: ClassVar[tuple[str, ...]] = ()

    values: PerImage[Tensor]
    recipe: Recipe = field(default=Recipe("", ()), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    #: The ending of the file it is written to where nothing else is said, and whether it is written at all then.
    usual_form: ClassVar[str] = ".png"
    written: ClassVar[bool] = True
    #: Further forms that can be chosen by name, and what each is.
    asked_forms: ClassVar[Mapping[str, str]] = {}

    def summary(self) -> dict[str, Any]:
        """Its facts besides the values, as JSON."""
        return {"notes": list(self.notes)}

    def text(self) -> str | None:
        """The result as lines of text, where that is what a person at a terminal wants to read; else None."""
        return None

    @property
    def details(self) -> tuple[str, ...]:
        """Lines for verbose output."""
        return ()

    @property
    def drawable(self) -> bool:
        """Whether there is anything to write."""
        return True

    @property
    @abstractmethod
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """How the result is written to a file, by the file's ending (".png")."""

    @classmethod
    def require_ending(cls, path: str | os.PathLike[str]) -> str:
        """The ending of a file that this kind of result may be written to. Raises OptionError for others."""
        name = Path(path)
        ending = name.suffix.lower()
        if ending not in cls.endings:
            has = f"not as {printable(name.name)}" if ending else f"and {printable(name.name)} has no ending"
            article = "An" if cls.kind[0] in "aeiou" else "A"
            raise OptionError(f"{article} {cls.kind} is saved as {', '.join(cls.endings)}, {has}.")
        return ending

    def encode(self, ending: str) -> bytes:
        """The result as the content of a file with that ending (".png"). Raises OptionError where it has no such form.

        A kind of result may have an ending that one of them does not: what is empty is not drawn.
        """
        forms = self.forms
        if ending not in forms:
            raise OptionError(f"This {self.kind} can be saved as {', '.join(forms)}, not as {ending}.")
        return forms[ending]()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file of the kind its ending names; returns the path. What was there is replaced.

        Missing folders are made. Raises OptionError for endings that this kind of result does not have, and where the
        folder does not take the file.
        """
        write_file(Path(path), self.encode(self.require_ending(path)))
        return Path(path)

    @property
    def brief(self) -> str:
        """What its values are, in a few words: "1 x 3 x 224 x 224"."""
        return " x ".join(map(str, self.values.shape))

    def __init_subclass__(cls, **given: Any) -> None:
        super().__init_subclass__(**given)
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # else a dataclass writes out all of its numbers

    def __repr__(self) -> str:
        """One line: the kind of result, its method and input, and its values."""
        recipe = self.recipe
        names = [note.name for note in recipe.images]
        of = f"of {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}" if names else recipe.objective
        made = ", ".join(filter(None, (" ".join(filter(None, (recipe.method, of))), _layer(recipe))))
        return f"<{' '.join(filter(None, (type(self).__name__, made)))}: {self.brief}>"

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Self:
        """The result of one image of the batch, as if it had been computed alone."""
        index = range(len(self))[index]
        own = fields_of(self, index)
        asked = own.get("objective")
        recipe = dataclasses.replace(
            self.recipe,
            images=_images_of(self.recipe, index, len(self)),
            objective=_one_of(self.recipe.objective, index) if asked is None else str(asked),
        )
        return dataclasses.replace(self, **own, notes=notes_of(self.notes, index), recipe=recipe)


def _layer(recipe: Recipe) -> str | None:
    layer = recipe.options.get("layer")
    return layer if isinstance(layer, str) else None


def _images_of(recipe: Recipe, index: int, count: int) -> tuple[ImageNote, ...]:
    """The images that one of `count` results was made from: its own, and those that all of them share."""
    own = [image for image in recipe.images if not image.part]
    if len(own) != count:
        return recipe.images
    return tuple(image for image in recipe.images if image.part or image is own[index])


def _one_of(objective: str | None, index: int) -> str | None:
    """The part of "281|285" that asks about image `index`; see triscope.objectives.parsing."""
    if objective is None or "|" not in objective:
        return objective
    prefix, colon, classes = objective.rpartition(":")
    return prefix + colon + classes.split("|")[index]
