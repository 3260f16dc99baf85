"""The tree of exceptions.

    TriscopeError
    ├── ImageError          an image that cannot be read or used
    ├── WeightsError        a weights file that cannot be read or does not fit
    ├── NetworkError        a network that cannot be loaded, copied or used for a method
    │   ├── LayerNotFound   a layer name that the network does not have
    │   └── UnconfirmedNetwork  a network that a file names, and that the user has to confirm
    ├── ObjectiveError      a unit, class or layer position that does not exist
    ├── OptionError         an option outside its range or choices
    ├── RecipeError         a result that cannot be computed again from its recipe
    ├── ClusterError        a cluster that cannot be reached or has no room, or a worker that failed
    └── StoreError          a collection or a store that cannot be read, written or searched
        ├── LayerNotKept    a layer that the store does not keep
        └── DamagedStore    a store whose files were damaged or changed

A message is one or two sentences that name the thing, the choices and the next step. It is written where it is raised,
next to the condition that it explains; this module has the classes, and wording that many messages share.
"""

import difflib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any


class TriscopeError(Exception):
    """Base class of all errors that triscope raises deliberately. The message is meant for the user."""


class ImageError(TriscopeError):
    """An image cannot be read or used."""


class WeightsError(TriscopeError):
    """A weights file cannot be read, or does not fit the network it is meant for."""


class NetworkError(TriscopeError):
    """A network cannot be loaded or copied, or does not support what a method needs."""


class LayerNotFound(NetworkError):
    """The network has no layer of this name."""


class UnconfirmedNetwork(NetworkError):
    """A file names a network that is only loaded if the user names it too: a Python file, weights, a download.

    what        what the file names
    options     the options that name the network on the command line
    python      the expression for it in Python
    why         why the user has to name it
    """

    def __init__(self, what: str, options: Sequence[str], python: str, why: str) -> None:
        super().__init__(f"{what}; {why}: network={python}.")
        self.what, self.why, self.python, self.options = what, why, python, tuple(options)

    def command(self, words: Sequence[str]) -> str:
        """The message with the command to run instead of the command line `words`."""
        return f"{self.what}; {self.why}: {shlex.join([*words, *self.options])}"


class ObjectiveError(TriscopeError):
    """An objective has a class, channel or position that does not exist, or is not valid."""


class OptionError(TriscopeError):
    """An option is outside its range or not one of its choices."""


class RecipeError(TriscopeError):
    """A result cannot be computed again from its recipe."""


class ClusterError(TriscopeError):
    """A cluster cannot be reached or has no room, or a worker failed."""


class StoreError(TriscopeError):
    """A collection or a store cannot be read, written or searched."""


class LayerNotKept(StoreError):
    """The `store` does not keep `layer`, or with `whole` not its maps. `said` is the message without the advice."""

    def __init__(self, said: str, store: Any, layer: str, *, whole: bool = False) -> None:
        option = "maps" if whole else "layers"
        super().__init__(f"{said} Store.build(network, images, store, {option}=[{layer!r}]) adds it.")
        self.said, self.store, self.layer, self.whole = said, store, layer, whole


class DamagedStore(StoreError):
    """The files of a store were damaged or changed."""


class TriscopeWarning(UserWarning):
    """A warning for the user; the result is valid."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> str:
    """A sentence with the `count` choices most similar to `word`; "" if none is similar.

    Starts with a space, so that it can follow a sentence: `f"No layer {name!r}.{nearest(name, layers)}"`.
    """
    known = {choice.casefold(): choice for choice in choices}
    word = word.casefold()
    close = difflib.get_close_matches(word, known, n=count, cutoff=0.6)
    close += [key for key in known if key not in close and (key.startswith(word) or word in key.split("."))]
    return f" Nearest: {', '.join(known[key] for key in close[:count])}." if close else ""
