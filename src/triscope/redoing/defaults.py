"""Defaults of earlier versions, for options that a recipe leaves out."""

import warnings
from pathlib import Path
from typing import Any

from triscope.errors import TriscopeWarning
from triscope.images import printable
from triscope.results import Recipe

_NATURAL_VIEWS = {"jitter": 0.055, "scale": 0.1, "rotate": 0.0}  # of version 0.1; its recipes leave them at None


def defaults_of_its_time(recipe: Recipe, png: Path) -> dict[str, Any]:
    """The options of a recipe that an earlier version wrote as None, with what None meant to it.

    Warns with TriscopeWarning where that cannot be said by an option.
    """
    if recipe.version != "0.1.0":
        return {}
    made_then = "idle" in recipe.options  # what 0.1 called contribution_clip, and no version since
    if recipe.method == "ascend" and made_then and recipe.options.get("regulariser") == "natural":
        return {name: value for name, value in _NATURAL_VIEWS.items() if recipe.options.get(name) is None}
    if recipe.method == "regularisers":
        warnings.warn(
            f"{printable(png)} was made by triscope 0.1, whose regulariser 'natural' shifted and scaled its views less "
            "and did not rotate them: that image of the row will differ.",
            TriscopeWarning,
            stacklevel=4,
        )
    return {}
