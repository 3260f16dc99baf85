"""Making a result again from the recipe it carries."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from triscope.errors import RecipeError, UnconfirmedNetwork
from triscope.images import open_photo, printable
from triscope.network import Network
from triscope.network.loading.recorded import UNSAID, Said, load_recorded
from triscope.objectives.parsing import unit
from triscope.results import Heatmap, ImageNote, NetworkNote, Recipe, Result
from triscope.verbs import METHODS
from triscope.which.store import Store


def redo(
    path: str | os.PathLike[str],
    *,
    network: Network | Sequence[Network] | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    said: Said = UNSAID,
) -> Result:
    """The result that the PNG at `path` shows, made again; on the same machine, byte for byte the same when saved.

    The network is loaded by the name in the recipe, unless it is given; a Python file, a file of weights or a download
    that a recipe names is taken only where `network` or `said` names it, too. Pictures are looked for at their recorded
    paths and beside the PNG, unless they are given. Raises UnconfirmedNetwork, and RecipeError where something is
    missing or is not what it was.
    """
    recipe = Recipe.of_png(path)
    if recipe.method not in METHODS:
        raise RecipeError(
            f"{printable(path)} was made by {recipe.method!r}, which this version of triscope does not have."
        )
    verb = METHODS[recipe.method]
    networks = _networks(recipe, network, printable(path), said)
    arguments: dict[str, Any] = dict(recipe.options)
    if verb.takes("store"):
        arguments["store"] = Store.open(recipe.options["store"], networks[0])
    else:
        arguments["network"] = networks[0] if len(networks) == 1 else networks
    pictures = _pictures(recipe, Path(path), [Path(image) for image in images])
    if pictures and verb.takes("images"):
        arguments["images"] = pictures
    if pictures and verb.takes("content"):
        arguments |= _parts(recipe, pictures)
    if pictures and verb.takes("query"):
        (arguments["query"],) = pictures
    if verb.requires("query") and "query" not in arguments:
        raise RecipeError(f"{printable(path)} was asked about a vector or an array, which no file holds.")
    if verb.takes("objective"):
        arguments["objective"] = _objective(recipe.objective)
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        result: Result = verb(**arguments)
    finally:
        torch.set_num_threads(threads)
    if isinstance(result, Heatmap) and recipe.style:
        return result.styled(recipe.style)
    return result


def _networks(recipe: Recipe, given: Network | Sequence[Network] | None, label: str, said: Said) -> list[Network]:
    if given is not None:
        networks = [given] if isinstance(given, Network) else list(given)
    else:
        networks = [_network(note, label, said, alone=len(recipe.networks) == 1) for note in recipe.networks]
    for note, network in zip(recipe.networks, networks, strict=True):
        recorded = note.weights()
        if recorded is None:
            raise RecipeError(
                f"The weights of {note.name} were trained on before the result was saved, so it cannot be made again."
            )
        if recorded != network.sha256:
            raise RecipeError(f"The weights of {note.name} are not those that made this result.")
    return networks


def _network(note: NetworkNote, label: str, said: Said, *, alone: bool) -> Network:
    """One network of a recipe; of several, what the user says is for the one that nobody else may name."""
    try:
        return load_recorded(note.source, note.name, label, said if alone else Said(device=said.device))
    except UnconfirmedNetwork:
        if alone or not said.named:
            raise
        return load_recorded(note.source, note.name, label, said)


def _pictures(recipe: Recipe, png: Path, given: Sequence[Path]) -> list[Path]:
    if given and len(given) != len(recipe.images):
        raise RecipeError(f"{printable(png)} was made from {len(recipe.images)} pictures; {len(given)} were given.")
    return [_picture(note, png, given[index] if given else None) for index, note in enumerate(recipe.images)]


def _parts(recipe: Recipe, pictures: Sequence[Path]) -> dict[str, Any]:
    """The pictures as a method with content and style takes them."""
    by_part = defaultdict[str, list[Path]](list)
    for note, picture in zip(recipe.images, pictures, strict=True):
        by_part[note.part].append(picture)
    parts: dict[str, Any] = {"content": by_part["content"][0], "style": by_part["style"], "masks": by_part["mask"]}
    if by_part["start"]:
        parts["start"] = str(by_part["start"][0])
    return parts


def _picture(note: ImageNote, png: Path, given: Path | None) -> Path:
    """The file that has the recorded hash."""
    if note.sha256 is None:
        raise RecipeError(f"{printable(png)} was made from {note.name}, which was no file, so it cannot be made again.")
    recorded = [Path(note.path), png.parent / Path(note.path).name] if note.path else []
    places = [given] if given else recorded
    found = [place for place in places if place.is_file()]
    for place in found:
        if open_photo(place).sha256 == note.sha256:
            return place
    if found:
        raise RecipeError(f"{printable(found[0])} has changed since {printable(png)} was made from it.")
    if not places:
        raise RecipeError(
            f"{printable(png)} was made from {note.name}, which is no file; say with --image where its picture is."
        )
    looked = " and ".join(printable(place) for place in places)
    raise RecipeError(
        f"The picture {note.name} was looked for at {looked}, and is not there; say where it is with --image."
    )


def _objective(text: str | None) -> Any:
    if text is None:
        return None
    if "(" in text:  # the repr of a question that has no text form
        raise RecipeError(f"The question {text} has no text form, so this result can only be made again in Python.")
    return unit(text)
