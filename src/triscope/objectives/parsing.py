"""The text form of units, the same on the command line, in recipes and in file names.

    281   tabby   prob:tabby   logprob:281   281|285 (one class per image)
    features.10:42   max:features.10:42   features.10:42@3,5 (channel, row, column)

`str(unit)` gives it, `unit(text)` reads it.
"""

import re
from typing import TypeAlias

from triscope.errors import ObjectiveError
from triscope.objectives.base import Objective
from triscope.objectives.units import Channel, Form, Logit, Neuron, TopClass

Question: TypeAlias = Objective | int | str | None

_LAYER_UNIT = re.compile(r"(?P<layer>[^:]+):(?P<index>\d+)(?:@(?P<row>\d+),(?P<col>\d+))?")
_FORMS: dict[str, Form] = {"prob": "probability", "logprob": "log-probability"}
_GRAMMAR = (
    "A unit is a class (281, tabby, prob:tabby), a channel (LAYER:CHANNEL) or a neuron (LAYER:CHANNEL@ROW,COLUMN)."
)


def unit(text: str) -> Logit | Channel | Neuron:
    """The unit that `text` names.

    Raises ObjectiveError where it names none. Names are checked against a network only when the unit is asked.
    """
    words = text.strip()
    prefix, colon, rest = words.partition(":")
    if colon and prefix in _FORMS:
        return Logit(_classes(rest, text), _FORMS[prefix])
    pooled = colon and prefix == "max"
    match = _LAYER_UNIT.fullmatch(rest if pooled else words)
    if match is None:
        if colon or "@" in words:
            raise ObjectiveError(f"{text!r} is not a unit. {_GRAMMAR}")
        return Logit(_classes(words, text))
    layer, index = match["layer"], int(match["index"])
    if match["row"] is None:
        return Channel(layer, index, "max" if pooled else "mean")
    if pooled:
        raise ObjectiveError(f"{text!r}: a neuron is one position, there is no maximum to take. {_GRAMMAR}")
    return Neuron(layer, index, int(match["row"]), int(match["col"]))


def question(asked: Question) -> Objective:
    """An objective from what may be given for one: itself, a class index, a text form, or nothing (the top class)."""
    if asked is None:
        return TopClass()
    if isinstance(asked, str):
        return unit(asked)
    return asked if isinstance(asked, Objective) else Logit(asked)


def _classes(words: str, text: str) -> int | str | list[int | str]:
    names = [int(name) if name.isdecimal() else name for name in (part.strip() for part in words.split("|"))]
    if "" in names:
        raise ObjectiveError(f"{text!r} names no class. {_GRAMMAR}")
    return names[0] if len(names) == 1 else names
