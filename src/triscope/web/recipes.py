"""The recipe of a dropped image: the method and options that made it. No file that it names is opened."""

from typing import Any

from triscope.errors import OptionError
from triscope.results import Recipe
from triscope.verbs import METHODS
from triscope.web.photos import Photos, check


def restored(data: bytes, photos: Photos) -> dict[str, Any]:
    """The method, its options and inputs, as the page's form has them. Raises RecipeError where there is none.

    Only options and texts are read; a photo is chosen where the page has one of that name. A network, its code, its
    weights or a store that the recipe names are ignored.
    """
    check(data)
    recipe = Recipe.of_bytes(data)
    method = METHODS.get(recipe.method)
    if method is None:
        raise OptionError("This image was made by a method that this version does not have.")
    known = {option.name for option in method.options if option.recorded}
    options = {name: value for name, value in recipe.options.items() if name in known and value is not None}
    inputs: dict[str, Any] = {}
    at_hand = {photo["name"].rpartition(".")[0] or photo["name"]: photo["id"] for photo in photos.listed()}
    for name, declared in method.inputs.items():
        kind = declared.input.kind
        if kind == "objective" and recipe.objective:
            inputs[name] = recipe.objective
        elif kind == "layer" and name in recipe.options:
            inputs[name] = recipe.options[name]
        elif kind == "images":
            part = getattr(declared.input, "part", "")
            found = [at_hand[note.name] for note in recipe.images if note.part == part and note.name in at_hand]
            inputs |= {name: found if declared.input.many else found[0]} if found else {}
    return {"method": recipe.method, "options": options, "inputs": inputs, "version": recipe.version}
