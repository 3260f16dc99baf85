"""What all results are: values, a recipe, and the files that they are written to."""

import dataclasses
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from triscope.errors import OptionError
from triscope.images import printable
from triscope.results.batch import PerImage, fields_of, notes_of
from triscope.results.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Result(ABC):
    """Numbers, and the recipe that made them. `notes` are sentences about them that a reader should know."""

    values: PerImage[Tensor]
    recipe: Recipe = field(default=Recipe("", ()), kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    #: The ending of the file it is written to where nothing else is said, and whether it is written at all then.
    usual_form: ClassVar[str] = ".png"
    written: ClassVar[bool] = True
    #: Further forms that can be asked for by name, and what each is.
    asked_forms: ClassVar[Mapping[str, str]] = {}

    def summary(self) -> dict[str, Any]:
        """What there is to know of it besides its values, as JSON can hold it."""
        return {"notes": list(self.notes)}

    def text(self) -> str | None:
        """The result as lines of text, where that is what a person at a terminal wants to read; else None."""
        return None

    @property
    def details(self) -> tuple[str, ...]:
        """Sentences for those who want to know more."""
        return ()

    @property
    def drawable(self) -> bool:
        """Whether there is anything to write."""
        return True

    @property
    @abstractmethod
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """How the result is written to a file, by the file's ending (".png")."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the result to a file of the kind its ending names; returns the path. What was there is replaced.

        Raises OptionError for endings that this kind of result does not have.
        """
        path = Path(path)
        forms = self.forms
        if path.suffix.lower() not in forms:
            raise OptionError(f"A {type(self).__name__} is saved as {', '.join(forms)}, not as {printable(path.name)}.")
        write_file(path, forms[path.suffix.lower()]())
        return path

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Self:
        """What there is of one image of the batch: what asking for it alone gives."""
        index = range(len(self))[index]
        own = fields_of(self, index)
        asked = own.get("objective")
        images = self.recipe.images
        recipe = dataclasses.replace(
            self.recipe,
            images=images[index : index + 1] if len(images) == len(self) else images,
            objective=_one_of(self.recipe.objective, index) if asked is None else str(asked),
        )
        return dataclasses.replace(self, **own, notes=notes_of(self.notes, index), recipe=recipe)


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises OptionError where the folder does not take it."""
    temporary = path.parent / f".triscope-{secrets.token_hex(8)}"
    try:
        # The system itself takes the umask off the mode; to read it would be to change it, for all threads.
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error


def _one_of(objective: str | None, index: int) -> str | None:
    """The part of "281|285" that asks about image `index`; see triscope.objectives.parsing."""
    if objective is None or "|" not in objective:
        return objective
    prefix, colon, classes = objective.rpartition(":")
    return prefix + colon + classes.split("|")[index]
