"""What all results are: values, a recipe, and the files that they are written to."""

import dataclasses
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from triscope.errors import OptionError
from triscope.images import printable
from triscope.results.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Result(ABC):
    """Numbers, and the recipe that made them."""

    values: Tensor
    recipe: Recipe = field(default=Recipe("", ()), kw_only=True)

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
        """The result of one image of the batch."""
        index = range(len(self))[index]
        one: dict[str, Any] = {
            item.name: value[index : index + 1]
            for item in dataclasses.fields(self)
            if isinstance(value := getattr(self, item.name), Tensor | tuple)
            and len(value) == len(self)
            and item.name != "notes"
        }
        images = self.recipe.images
        recipe = dataclasses.replace(
            self.recipe,
            images=images[index : index + 1] if len(images) == len(self) else images,
            objective=_one_of(self.recipe.objective, index),
        )
        return dataclasses.replace(self, **one, recipe=recipe)


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all. Raises OptionError where the folder does not take it."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".triscope-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error


def _one_of(objective: str | None, index: int) -> str | None:
    """The part of "281|285" that asks about image `index`; see triscope.objectives.parsing."""
    if objective is None or "|" not in objective:
        return objective
    prefix, colon, classes = objective.rpartition(":")
    return prefix + colon + classes.split("|")[index]


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
