"""Names of classes and layers: finding a class by its name, and writing names in a text form."""

import operator
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from triscope.errors import ObjectiveError, nearest

if TYPE_CHECKING:
    from triscope.network import Network

Class: TypeAlias = int | str
#: One class for all images, or one for each.
Classes: TypeAlias = Class | tuple[Class, ...]

#: Names that need quotes: they begin with a sign or a weight, or have a separator of units in them.
_NEEDS_QUOTES = re.compile(r'^[+-]|^[\d.]+([eE][+-]?\d+)?\s*\*|[":|@/]|\s[+-]\s')
_NUMBERED = re.compile(r"\d.*\D")  # output:3-D would be read as a difference: channel 3 minus D


def class_index(name: Class, classes: Sequence[str] | None, count: int, network: str) -> int:
    """The index of the class `name`, which may be an index itself, among `count` classes named `classes`.

    `network` is the network's name, for messages. Raises ObjectiveError if no class or several have that name.
    """
    if isinstance(name, str) and name.isdecimal():
        name = int(name)
    if isinstance(name, int):
        if not 0 <= name < count:
            raise ObjectiveError(f"{network} has classes 0 to {count - 1}; there is no class {name}.")
        return name
    if classes is None:
        raise ObjectiveError(
            f"{network} has no class names, so {name!r} cannot be found; use an index from 0 to {count - 1}."
        )
    found = [index for index, known in enumerate(classes) if plain_name(known) == plain_name(name)]
    if not found:
        near = nearest(name.replace("_", " "), classes)
        raise ObjectiveError(
            f"{network} has no class {name!r}.{near} A class is a name or an index from 0 to {count - 1}."
        )
    if len(found) > 1:
        raise ObjectiveError(
            f"{network} has {len(found)} classes called {name!r}; use an index: {', '.join(map(str, found))}."
        )
    return found[0]


def classes_of(given: Any) -> Classes:
    """A class, or a tuple of one class per image, from an integer of any type, a name, or a sequence of these.

    Raises ObjectiveError for anything else, and for an empty sequence.
    """
    if isinstance(given, str) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return class_of(given)
    classes = tuple(map(class_of, given))
    if not classes:
        raise ObjectiveError("The sequence of classes is empty; give one class, or one for each image.")
    return classes


def indices_of(classes: Classes, network: "Network") -> Classes:
    """The classes as indices in a network. Raises ObjectiveError if it has no class of a name."""
    count = network.count_classes()
    each = classes if isinstance(classes, tuple) else (classes,)
    found = tuple(class_index(one, network.classes, count, network.name) for one in each)
    return found if isinstance(classes, tuple) else found[0]


def pick(scores: Tensor, classes: Classes) -> Tensor:
    """The scores of the class, or of each image's class, (B, K, ...) -> (B, ...).

    Raises ObjectiveError if a class does not exist, or there is not one class per image.
    """
    most = max(map(bound, classes if isinstance(classes, tuple) else (classes,)))
    if most >= scores.shape[1]:
        raise ObjectiveError(
            f"There is no class {most}: the output has {scores.shape[1]} scores per image, 0 to {scores.shape[1] - 1}."
        )
    if not isinstance(classes, tuple):
        return scores[:, bound(classes)]
    if len(classes) != len(scores):
        raise ObjectiveError(
            f"{len(classes)} classes were given for {len(scores)} images; give one class, or one for each."
        )
    return scores[range(len(scores)), torch.tensor(list(map(bound, classes)), device=scores.device)]


def classes_text(classes: Classes) -> str:
    """The text form of classes: `tabby`, `281|285`."""
    names = classes if isinstance(classes, tuple) else (classes,)
    return "|".join(name_text(name) if isinstance(name, str) else str(name) for name in names)


def name_text(name: str) -> str:
    """The text form of a name: in double quotes if it would be read differently without."""
    odd = _NEEDS_QUOTES.search(name) or name != name.strip() or name in ("max", "prob", "logprob", "")
    return '"{}"'.format(name.replace('"', '""')) if odd else name


def name_after_colon(name: Class) -> str:
    """The text form of a class after `output:` or `box:`, where names that begin with a number need quotes as well."""
    text = name_text(str(name))
    return f'"{text}"' if _NUMBERED.match(text) else text


def plain_name(name: str) -> str:
    """A class name normalised for comparison: lower case, with spaces for underscores."""
    return name.casefold().replace("_", " ")


def class_of(given: Any) -> Class:
    """A class: a name unchanged, an integer of any type (NumPy's, a tensor's) as an int."""
    if isinstance(given, str):
        return given
    try:
        return operator.index(given)
    except TypeError as error:
        raise ObjectiveError(f"A class is a name or an index, not {given!r}.") from error


def bound(name: Class) -> int:
    """The index of a class. Raises ObjectiveError for a name, which `bind` has to resolve first."""
    if isinstance(name, str):
        raise ObjectiveError(f"Class {name!r} is not resolved to an index yet; call objective.bind(network) first.")
    return name
