"""Recompute a result from its recipe.

A recipe comes from anywhere, so it is a claim to be checked (`checked`), and the files it names are looked for by name
and taken by hash (`found`). Nothing is run, written or fetched because a recipe says so; see docs/security.md.
"""

import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from triscope.errors import RecipeError, TriscopeWarning, UnconfirmedNetwork
from triscope.images import printable
from triscope.methods import StoreInput
from triscope.network import Network
from triscope.network.loading.recorded import UNSAID, Said, load_recorded
from triscope.objectives.directions import recorded
from triscope.redoing.checked import checked, has_no_text
from triscope.redoing.defaults import defaults_of_its_time
from triscope.redoing.found import find_pictures, find_store
from triscope.results import Heatmap, NetworkNote, Recipe, Result
from triscope.verbs import METHODS
from triscope.which.store import Store

#: How the options that name a network are called for a second one.
_BESIDE = {"-m": "--beside", "--weights": "--beside-weights"}


def redo(
    path: str | os.PathLike[str],
    *,
    network: Network | Sequence[Network] | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    store: str | os.PathLike[str] | None = None,
    said: Said = UNSAID,
) -> Result:
    """The result in the image at `path`, recomputed; on the same machine, byte for byte the same when saved.

    The network is loaded by the name in the recipe, unless it is given; a Python file, a file of weights or a download
    that a recipe names is taken only where `network` or `said` names it, too. Images, and a store, are looked for by
    their names beside the image and in the current folder, unless they or their folders are given. The process's
    number of threads is left alone; a warning says where it is not the recipe's, since rounding may then differ.

    Raises UnconfirmedNetwork, and RecipeError where the recipe cannot be read, or something is missing or is not what
    it was.
    """
    png = Path(path)
    recipe = Recipe.of_file(png)
    verb, arguments, directions = checked(recipe, png)
    arguments |= defaults_of_its_time(recipe, png)
    arguments |= find_pictures(recipe, verb, png, [Path(image) for image in images])
    stores = [name for name, declared in verb.inputs.items() if isinstance(declared.input, StoreInput)]
    for name, note in zip(stores, recipe.networks, strict=bool(stores)):
        first = name == stores[0]  # the store and network that the user names are for that one
        given = (store, network, said) if first else (None, None, UNSAID)
        arguments[name] = _store(name, note, recipe, png, *given)
    if not stores:
        networks = _networks(recipe, network, printable(path), said)
        arguments["network"] = networks[0] if len(networks) == 1 else networks
    _note_threads(recipe, png)
    with recorded(directions):
        result: Result = verb(**arguments)
    if has_no_text(recipe.objective) and recipe.objective != result.recipe.objective:
        raise RecipeError(
            f"{printable(png)} was made for {printable(str(recipe.objective)[:200])}, which can only be computed again "
            "in Python."
        )
    if isinstance(result, Heatmap) and recipe.style:
        result = result.styled(recipe.style)
    return dataclasses.replace(result, recipe=_as_named(result.recipe, recipe))


def _as_named(made: Recipe, recorded: Recipe) -> Recipe:
    """The recipe of what was made again, which names the same files as they were named before, wherever they are."""
    networks = [
        dataclasses.replace(new, source=old.source) if _code(new) == _code(old) else new
        for new, old in zip(made.networks, recorded.networks, strict=True)
    ]
    verb = METHODS[made.method]
    stores = [name for name, declared in verb.inputs.items() if isinstance(declared.input, StoreInput)]
    options = {**made.options, **{name: recorded.options[name] for name in stores}}
    return dataclasses.replace(made, networks=tuple(networks), images=recorded.images, options=options)


def _code(note: NetworkNote) -> object:
    """The hash of the Python file that made a network, if one did."""
    return (note.source or {}).get("code")


def _store(
    name: str,
    note: NetworkNote,
    recipe: Recipe,
    png: Path,
    given: str | os.PathLike[str] | None,
    network: Network | Sequence[Network] | None,
    said: Said,
) -> Store:
    """The store, made by the network that is recorded; which is only loaded if it is needed."""
    opened = Store.open(find_store(recipe, png, None if given is None else Path(given), name))
    _compare(note, opened.about.sha256)
    if network is not None:
        (one,) = [network] if isinstance(network, Network) else network
        return Store.open(opened.path, one)
    if said:
        opened.ask(said)
    return opened


def _networks(recipe: Recipe, given: Network | Sequence[Network] | None, label: str, said: Said) -> list[Network]:
    if given is None:
        networks = list(_loaded(recipe.networks, label, said))
    else:
        networks = [given] if isinstance(given, Network) else list(given)
    if len(networks) != len(recipe.networks):
        raise RecipeError(f"{label} was made by {len(recipe.networks)} networks; {len(networks)} were given.")
    for note, network in zip(recipe.networks, networks, strict=True):
        _compare(note, network.sha256)
    return networks


def _loaded(notes: Sequence[NetworkNote], label: str, said: Said) -> Iterator[Network]:
    """The networks of a recipe. Where the user names one of several, that is the first that nobody else may name."""
    waiting = [dataclasses.replace(said, beside=()), *said.beside]
    if len(waiting) > len(notes):
        raise RecipeError(f"{label} was made by {len(notes)} networks, and {len(waiting)} are named.")
    in_order = len(notes) == 1 or len(waiting) > 1
    for number, note in enumerate(notes):
        try:
            said_of = waiting.pop(0) if in_order and waiting else Said(device=said.device)
            yield load_recorded(note.source, note.name, label, said_of)
        except UnconfirmedNetwork as error:
            if in_order or not waiting or not waiting[0].named:
                options = [_BESIDE.get(word, word) if number else word for word in error.options]
                raise UnconfirmedNetwork(error.what, options, error.python, error.why) from error
            yield load_recorded(note.source, note.name, label, waiting.pop(0))


def _compare(note: NetworkNote, sha256: str) -> None:
    """Raise RecipeError where weights are not those recorded."""
    name, recorded = printable(note.name), note.weights()
    if recorded is None:
        raise RecipeError(
            f"The weights of {name} were trained on before the result was saved, so it cannot be made again."
        )
    if recorded != sha256:
        also = " A release of triscope may bring other weights of pocket." if note.source == {"name": "pocket"} else ""
        raise RecipeError(
            f"The weights of {name} are not those that made this result.{also} Name the file of those with --weights, "
            "or give the network that has them."
        )


def _note_threads(recipe: Recipe, png: Path) -> None:
    here = torch.get_num_threads()
    if recipe.threads != here:
        warnings.warn(
            f"{printable(png)} was made with {recipe.threads} threads, and this process has {here}: rounding may "
            "differ.",
            TriscopeWarning,
            stacklevel=3,
        )
