"""What can go wrong, drawn as a tree.

    TriscopeError
    ├── ImageError          an image that cannot be read or used
    ├── WeightsError        a weights file that cannot be read or does not fit
    ├── NetworkError        a network that cannot be loaded, copied or asked
    │   ├── LayerNotFound   a layer name that the network does not have
    │   └── UnconfirmedNetwork  a file names a network that only the user may name
    ├── ObjectiveError      a unit, class or layer position that does not exist
    ├── OptionError         an option outside its range or choices
    ├── RecipeError         a result that cannot be made again
    ├── ClusterError        a cluster that cannot be reached or has no room, a worker that failed there
    └── StoreError          a collection or a store that cannot be read, written or asked
        ├── LayerNotKept    a layer that the store does not keep
        └── DamagedStore    the files of a store are not what triscope wrote

Every message is one sentence or two: the thing, the choices, the next step. It stands where it is raised, beside the
condition it explains; here are the kinds, and the wording that many messages share.
"""

import difflib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any


class TriscopeError(Exception):
    """Base of every error that triscope raises on purpose; its text is meant for the user."""


class ImageError(TriscopeError):
    """An image cannot be read or used."""


class WeightsError(TriscopeError):
    """A weights file cannot be read, or does not fit the network it is meant for."""


class NetworkError(TriscopeError):
    """A network cannot be loaded, copied, or asked this question."""


class LayerNotFound(NetworkError):
    """The network has no layer of this name."""


class UnconfirmedNetwork(NetworkError):
    """A file names a network that is loaded only where the user names it: a Python file, weights, a download.

    `what` was met and `why` it is not taken by itself; `options` name it on the command line, `python` in Python.
    """

    def __init__(self, what: str, options: Sequence[str], python: str, why: str) -> None:
        super().__init__(f"{what}; {why}: network={python}.")
        self.what, self.why, self.python, self.options = what, why, python, tuple(options)

    def command(self, words: Sequence[str]) -> str:
        """The sentence with the command to give, for a command line that was `words`."""
        return f"{self.what}; {self.why}: {shlex.join([*words, *self.options])}"


class ObjectiveError(TriscopeError):
    """The question names a class, channel or position that does not exist."""


class OptionError(TriscopeError):
    """An option lies outside its range or choices."""


class RecipeError(TriscopeError):
    """A result cannot be made again from what it carries."""


class ClusterError(TriscopeError):
    """A cluster cannot be reached or has no room, or a worker failed there."""


class StoreError(TriscopeError):
    """A collection or a store cannot be read, written, or asked this."""


class LayerNotKept(StoreError):
    """The `store` does not keep `layer`, or (`whole`) not its whole maps. `said` says so without advice."""

    def __init__(self, said: str, store: Any, layer: str, *, whole: bool = False) -> None:
        option = "maps" if whole else "layers"
        super().__init__(f"{said} Store.build(network, images, store, {option}=[{layer!r}]) adds it.")
        self.said, self.store, self.layer, self.whole = said, store, layer, whole


class DamagedStore(StoreError):
    """The files of a store are not what triscope wrote."""


class TriscopeWarning(UserWarning):
    """Something the user should know, though the result stands."""


def nearest(word: str, choices: Iterable[str], count: int = 3) -> str:
    """A sentence naming the `count` choices most like `word`, or "" where none is like it.

    Starts with a space, to follow the sentence that refuses: `f"No layer {name!r}.{nearest(name, layers)}"`.
    """
    known = {choice.casefold(): choice for choice in choices}
    word = word.casefold()
    close = difflib.get_close_matches(word, known, n=count, cutoff=0.6)
    close += [key for key in known if key not in close and (key.startswith(word) or word in key.split("."))]
    return f" Nearest: {', '.join(known[key] for key in close[:count])}." if close else ""
