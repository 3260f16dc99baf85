"""Check a recipe against the method that it names: its fields must be those that the method writes."""

from collections import Counter
from pathlib import Path
from typing import Any

from triscope.errors import ObjectiveError, OptionError, RecipeError
from triscope.images import printable
from triscope.methods import ImageInput, LayerInput, NetworkInput, ObjectiveInput, QueryInput, StoreInput
from triscope.objectives.directions import Direction, among, from_text
from triscope.objectives.parsing import unit
from triscope.results import Heatmap, Recipe
from triscope.verbs import METHODS, Method
from triscope.which.collection import CollectionInput

_LONGEST = 400  # characters of a reason that may quote what a recipe says
_MOST = 100_000  # images of one result


def checked(recipe: Recipe, png: Path) -> tuple[Method[Any], dict[str, Any], dict[str, Direction]]:
    """The method, the arguments that the recipe itself holds - options, layers, the question, words for images - and
    the directions that it names.

    Raises RecipeError for all that the method would not have written; files are not looked for yet.
    """
    if recipe.method not in METHODS:
        raise RecipeError(
            f"{printable(png)} was made by {printable(recipe.method[:80])!r}, which this version of triscope does not "
            "have."
        )
    verb = METHODS[recipe.method]
    try:
        return verb, _Reading(recipe, verb).arguments(), from_text(recipe.directions)
    except (OptionError, ObjectiveError) as error:
        reason = printable(str(error).rstrip("."))
        reason = reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}..."
        raise RecipeError(
            f"This recipe cannot be read: {reason}. It is damaged, or another version of triscope made it."
        ) from error


def has_no_text(objective: str | None) -> bool:
    """Whether a recorded question is the `repr` of one that has no text form."""
    return objective is not None and "(" in objective


class _Reading:
    """The fields of a recipe, taken out one by one: what is left in the end does not belong to the method."""

    def __init__(self, recipe: Recipe, verb: Method[Any]) -> None:
        self.recipe, self.verb = recipe, verb
        self.options = dict(recipe.options)
        self.parts = Counter(note.part for note in recipe.images)

    def arguments(self) -> dict[str, Any]:
        """The arguments. Raises OptionError, and ObjectiveError for a question that is none."""
        verb, found = self.verb, {name: self._input(name) for name in self.verb.inputs}
        if self.recipe.style is not None and not issubclass(verb.returns, Heatmap):
            raise OptionError(f"{verb.name} has no style")
        if self.recipe.objective is not None and not any(
            isinstance(declared.input, ObjectiveInput) for declared in verb.inputs.values()
        ):
            raise OptionError(f"{verb.name} has no objective, and one is recorded")
        if self.parts:
            part, count = next(iter(self.parts.items()))
            what = f" as {part!r}" if part else ""
            raise OptionError(f"{verb.name} takes no image{what}, and {count} are recorded")
        known = {name: option for option in verb.options if option.recorded for name in (option.name, option.formerly)}
        for name, value in self.options.items():
            if name not in known:
                raise OptionError(f"a recipe of {verb.name} holds no option {name!r}")
            known[name].read(value)
        return self.options | {name: value for name, value in found.items() if value is not None}

    def _input(self, name: str) -> Any:
        """The value of one input in the recipe; None where it is a file or the network, or missing."""
        declared = self.verb.inputs[name]
        match declared.input:
            case NetworkInput(many=many):
                if len(self.recipe.networks) > 1 and not many:
                    raise OptionError(f"{self.verb.name} asks one network, and {len(self.recipe.networks)} are named")
            case StoreInput():
                self._store(name)
            case CollectionInput():
                self._refuse_collection(name)
            case ObjectiveInput():
                return self._objective(required=declared.required)
            case LayerInput() as layer:
                value = layer.bind(self.options.pop(name, None), {}, None)
                if value is None and declared.required:
                    raise OptionError(f"{self.verb.name} needs a {name}, and none is recorded")
                return value
            case QueryInput():
                return self._row(name)
            case ImageInput() as image:
                return self._word(name, image, required=declared.required)
            case _:
                raise OptionError(f"{self.verb.name} is asked about a {name}, which recipes do not record")
        return None

    def _store(self, name: str) -> None:
        value = self.options.pop(name, None)
        stores = sum(isinstance(declared.input, StoreInput) for declared in self.verb.inputs.values())
        if not isinstance(value, str) or len(self.recipe.networks) != stores:
            raise OptionError(
                f"{self.verb.name} asks {stores} stores, each of one network, and its {name} is {value!r}"
            )

    def _refuse_collection(self, name: str) -> None:
        value = self.options.pop(name, None)
        if value is not None:
            raise RecipeError(
                f"This was made from the collection {printable(str(value)[:_LONGEST])}, whose photos a recipe does not "
                f"record; run it again with {self.verb.command} --{name}."
            )

    def _objective(self, *, required: bool) -> Any:
        if self.recipe.objective is None and required:
            raise OptionError(f"{self.verb.name} needs an objective, and none is recorded")
        text = self.recipe.objective
        if text is None or not has_no_text(text):
            return None if text is None else among(unit(text), from_text(self.recipe.directions))
        if required or not any(isinstance(declared.input, LayerInput) for declared in self.verb.inputs.values()):
            raise RecipeError(
                f"The question {printable(text[:_LONGEST])} has no text form, so this result can only be made again in "
                "Python."
            )
        return None  # it follows from the layer, and is compared with the recomputed one in the end

    def _row(self, name: str) -> Any:
        """The row that was the query; else it was an image."""
        row, pictures = self.options.pop(name, None), self.parts.pop("", 0)
        if (pictures != 1) if row is None else (type(row) is not int or pictures):
            raise OptionError(f"{self.verb.name} needs one image, or one row; recipes do not record vectors and arrays")
        return row

    def _word(self, name: str, image: ImageInput, *, required: bool) -> Any:
        """The word that stands for an image, where there is none of its part."""
        word, count = self.options.pop(name, None), self.parts.pop(image.part, 0)
        if count > (_MOST if image.many else 1):
            raise OptionError(f"{self.verb.name} takes one image as {name}, and {count} are recorded")
        if count:  # version 0.1 wrote the image's path as well
            return None
        if word is None and required:
            raise OptionError(f"{self.verb.name} takes an image as {name}, and none is recorded")
        if word is not None and word not in image.words:
            raise OptionError(f"{name} is {word!r}, an image that is not among those recorded")
        return word
