"""Names of classes and layers: which class is meant, and how a name stands in a text form."""

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

#: What begins with a sign or a weight, or holds what divides units.
_ODD_NAME = re.compile(r'^[+-]|^[\d.]+([eE][+-]?\d+)?\s*\*|[":|@/]|\s[+-]\s')
_NUMBERED = re.compile(r"\d.*\D")  # 3-D in output:3-D would be read as channel 3, less something


def class_index(name: Class, classes: Sequence[str] | None, count: int, network: str) -> int:
    """The index of class `name` among `count` classes named `classes`.

    Raises ObjectiveError where there is none, or more than one of that name.
    """
    if isinstance(name, str) and name.isdecimal():
        name = int(name)
    if isinstance(name, int):
        if not 0 <= name < count:
            raise ObjectiveError(f"{network} has classes 0 to {count - 1}; there is no class {name}.")
        return name
    if classes is None:
        raise ObjectiveError(
            f"{network} has no class names, so {name!r} means nothing to it; use an index from 0 to {count - 1}."
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
    """A class, or one for each image, whatever the caller gave: an index of any kind, a name, or a sequence of these.

    Raises ObjectiveError where there is none.
    """
    if isinstance(given, str) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return class_of(given)
    classes = tuple(map(class_of, given))
    if not classes:
        raise ObjectiveError("A question about classes needs one, or one for each image; it was given none.")
    return classes


def indices_of(classes: Classes, network: "Network") -> Classes:
    """The classes by their indices in a network. Raises ObjectiveError where it has none of a name."""
    count = network.count_classes()
    each = classes if isinstance(classes, tuple) else (classes,)
    found = tuple(class_index(one, network.classes, count, network.name) for one in each)
    return found if isinstance(classes, tuple) else found[0]


def pick(scores: Tensor, classes: Classes) -> Tensor:
    """The scores of the class, (B, K, ...) -> (B, ...). Raises ObjectiveError where images and classes do not pair."""
    most = max(map(bound, classes if isinstance(classes, tuple) else (classes,)))
    if most >= scores.shape[1]:
        raise ObjectiveError(
            f"{scores.shape[1]} scores were given for each of {len(scores)} images, and none of {most}."
        )
    if not isinstance(classes, tuple):
        return scores[:, bound(classes)]
    if len(classes) != len(scores):
        raise ObjectiveError(
            f"{len(classes)} classes were given for {len(scores)} images; give one class, or one for each."
        )
    return scores[range(len(scores)), torch.tensor(list(map(bound, classes)), device=scores.device)]


def classes_text(classes: Classes) -> str:
    """Classes as they stand in a text form: `tabby`, `281|285`."""
    names = classes if isinstance(classes, tuple) else (classes,)
    return "|".join(name_text(name) if isinstance(name, str) else str(name) for name in names)


def name_text(name: str) -> str:
    """A name as it stands in a text form: in double quotes where it would be read as something else."""
    odd = _ODD_NAME.search(name) or name != name.strip() or name in ("max", "prob", "logprob", "")
    return '"{}"'.format(name.replace('"', '""')) if odd else name


def name_after_colon(name: Class) -> str:
    """The same behind `output:` or `box:`, where a name that begins with a number needs quotes as well."""
    text = name_text(str(name))
    return f'"{text}"' if _NUMBERED.match(text) else text


def plain_name(name: str) -> str:
    """A class name as it is compared: capitals and underscores do not matter."""
    return name.casefold().replace("_", " ")


def class_of(given: Any) -> Class:
    """A name as it is; an index of whatever kind (NumPy's, a tensor's) as an int."""
    if isinstance(given, str):
        return given
    try:
        return operator.index(given)
    except TypeError as error:
        raise ObjectiveError(f"A class is a name or an index, not {given!r}.") from error


def bound(name: Class) -> int:
    """The index that a class was bound to. Raises ObjectiveError for a name, which no network has resolved."""
    if isinstance(name, str):
        raise ObjectiveError(f"Class {name!r} is still a name; call objective.bind(network) first.")
    return name
