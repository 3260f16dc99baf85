"""The text form of objectives, the same on the command line, in recipes and in links.

    281   tabby   prob:tabby   logprob:281   281|285 (one class per image)
    features.10:42   max:features.10:42   features.10:42@3,5 (channel, row, column)
    features.10/stripes (a named direction)
    cos:features.10/stripes (the cosine to it)
    norm:42@class   norm:42@token3 (a channel of the class token, of the fourth token)
    output:person   output:15@predicted   output:15@10,20,50,60 (a segmenter's class: where, top, left, bottom, right)
    box:dog@10,20,50,60   box:dog@10,20,50,60,iou=0.3 (a detector's box)
    tabby - tiger cat   0.5*281 + features.10:42   -max:features.4:3

    objective = [sign] term { sign term }        sign = "+" | "-"
    term      = [number "*"] unit
    unit      = [("prob" | "logprob") ":"] name { "|" name } | ["max:"] name ":" channel ["@" row "," column]
              | ["cos:"] name "/" direction
              | name ":" channel "@" ("class" | "token" number)
              | "output:" name { "|" name } ["@" ("predicted" | corners)]
              | "box:" name "@" corners { "|" name "@" corners } [",iou=" number]
    corners   = top "," left "," bottom "," right
    direction = letters, digits, "_", "." and "-"
    name      = any characters, or any characters in double quotes (a quote inside is written twice)

Names of classes and layers may contain signs: `black-footed ferret`, `layer-1.conv`. So a sign between two terms has a
space on both sides, except after a channel or a position, where none is needed. Names that would be read differently
are put in double quotes: `"rock - paper"`. `str(objective)` writes this form, `unit(text)` reads it.

`resolve` has the network's names, and so also reads `tabby-tiger cat`: as the class of that name if there is one, else
as the difference of two units, if exactly one such reading exists.
"""

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from triscope.errors import LayerNotFound, ObjectiveError
from triscope.objectives.base import Objective, Sum, terms_of
from triscope.objectives.detection import Box, Corners
from triscope.objectives.directions import among, load_directions, located, parse_direction
from triscope.objectives.segmentation import Pixels
from triscope.objectives.similarity import Similarity
from triscope.objectives.tokens import Token
from triscope.objectives.units import Channel, Form, Logit, Neuron, TopClass

if TYPE_CHECKING:
    from triscope.network import Network

#: What callers may give as an objective: an objective, a class index, a text form, or None for the top class.
ObjectiveLike: TypeAlias = Objective | int | str | None

_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LAYER_UNIT = re.compile(
    r'(?P<pool>max:)?(?P<layer>"(?:[^"]|"")*"|[^":]+):(?P<index>\d+)'
    r"(?:@(?:(?P<row>\d+),(?P<col>\d+)|token(?P<token>\d+)|(?P<cls>class)))?"
)
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_BEGINNING = re.compile(rf"\s*[+-]?\s*(?:{_NUMBER}\s*\*)?\s*(?:(?P<form>prob|logprob|max):)?")
_SPACED = re.compile(r"\s+(?P<sign>[+-])\s+")
_AFTER_CHANNEL = re.compile(r"[^:]*:\d+(?:@\d+,\d+)?\s*(?P<sign>[+-])\s*")
_TERM = re.compile(rf"\s*(?P<sign>[+-])?\s*(?:(?P<number>{_NUMBER})\s*\*)?\s*(?P<unit>.*?)\s*", re.DOTALL)
_FORM = re.compile(r"(?P<form>prob|logprob):(?P<rest>.*)", re.DOTALL)
_FORMS: dict[str, Form] = {"prob": "probability", "logprob": "log-probability"}
_COSINE = "cos:"
_CORNERS = r"-?\d+\.?\d*(?:,-?\d+\.?\d*){3}"
_PIXELS = re.compile(rf"output:(?P<names>.+?)(?:@(?P<where>predicted|{_CORNERS}))?", re.DOTALL)
_ONE_BOX = re.compile(rf"(?P<name>.+?)@(?P<box>{_CORNERS})", re.DOTALL)
_BOXES = re.compile(rf"box:(?P<each>.+?@{_CORNERS})(?:,iou=(?P<iou>\d*\.?\d+))?", re.DOTALL)
_GRAMMAR = (
    "A unit is a class (281, tabby, prob:tabby), a channel (LAYER:CHANNEL), a neuron (LAYER:CHANNEL@ROW,COLUMN), a "
    "channel of the class token (LAYER:CHANNEL@class), a named direction (LAYER/NAME, cos:LAYER/NAME), a class of a "
    "segmenter (output:CLASS, output:CLASS@predicted) or a box of a detector (box:CLASS@TOP,LEFT,BOTTOM,RIGHT); in a "
    "sum, + and - have spaces around them."
)
_MOST_SIGNS = 8  # signs without spaces up to which all readings of a text are tried


def unit(text: str, *, directions: str | os.PathLike[str] | None = None) -> Objective:
    """The objective with the text form `text`: a unit, or a weighted sum of units.

    Names of classes and layers are checked only when the objective is bound to a network. Raises ObjectiveError if the
    text is not a unit, or a direction is not in `directions`.

    directions      the file of named directions, or its folder, such as a store's; by default they are looked for in
                    the current folder, and in the store that a method is called with
    """
    found = _parsed(text)
    return found if directions is None else among(found, load_directions(directions))


def _parsed(text: str) -> Objective:
    terms: list[tuple[float, Objective]] = []
    for sign, part in _terms(text):
        found = _TERM.fullmatch(part)
        assert found is not None  # the pattern matches any text
        weight = float(found["number"] or 1) * (-1 if found["sign"] == "-" else 1) * (-1 if sign == "-" else 1)
        terms += [(weight * factor, term) for factor, term in terms_of(_unit(found["unit"], text))]
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else Sum(tuple(terms))


def as_objective(given: ObjectiveLike) -> Objective:
    """The objective for an objective, a class index, a text form, or None (the top class)."""
    if given is None:
        return TopClass()
    if isinstance(given, str):
        return unit(given)
    return given if isinstance(given, Objective) else Logit(given)


def resolve(given: ObjectiveLike, network: "Network", folder: Path | None = None) -> Objective:
    """The objective, bound to a network. Named directions are looked for in the current folder, then in `folder`.

    Signs in a text need no spaces if the network's names leave only one reading. Raises what `bind` raises, and
    ObjectiveError if there are several readings.
    """
    try:
        found = as_objective(given)
        return (located(found, folder) if folder else found).bind(network)
    except (ObjectiveError, LayerNotFound) as error:
        readings = list(_readings(given, network)) if isinstance(given, str) else []
        if not readings:
            raise
        if len(readings) > 1:
            ways = " or as ".join(readings[:3])
            raise ObjectiveError(f"{given!r} can be read as {ways}; put spaces around the signs.") from error
        return unit(readings[0]).bind(network)


def _terms(text: str) -> Iterator[tuple[str, str]]:
    """The terms of a sum, each with the sign before it."""
    plain, start, sign = _masked(text), 0, "+"
    while True:
        head = _BEGINNING.match(plain, start)
        assert head is not None  # the pattern also matches an empty text
        signs = [_SPACED.search(plain, head.end())]
        if head["form"] not in _FORMS:  # in prob:3-D the number is part of a class name, not a channel
            signs.append(_AFTER_CHANNEL.match(plain, head.end()))
        found = min((one for one in signs if one), key=lambda one: one.start("sign"), default=None)
        if found is None:
            break
        yield sign, text[start : found.start("sign")]
        start, sign = found.end(), found["sign"]
    yield sign, text[start:]


def _unit(words: str, text: str) -> Objective:
    if prefixed := _prefixed(words, text):
        return prefixed
    if form := _FORM.fullmatch(words):
        return Logit(_classes(form["rest"], text), _FORMS[form["form"]])
    match = _LAYER_UNIT.fullmatch(words)
    if match is None:
        if re.search("[:@]", _masked(words)):
            raise ObjectiveError(f"{text!r} is not a unit. {_GRAMMAR}")
        return parse_direction(words) or Logit(_classes(words, text))
    layer, index = _unquoted(match["layer"]), int(match["index"])
    if (match["cls"] or match["token"]) and not match["pool"]:
        return Token(layer, "class" if match["cls"] else int(match["token"]), index)
    if match["row"] is None and not match["cls"] and not match["token"]:
        return Channel(layer, index, "max" if match["pool"] else "mean")
    if match["pool"]:
        raise ObjectiveError(f"{text!r}: a maximum is taken over a whole channel, not at one position. {_GRAMMAR}")
    return Neuron(layer, index, int(match["row"]), int(match["col"]))


def _prefixed(words: str, text: str) -> Objective | None:
    """The objective of a text that begins with `output:`, `box:` or `cos:`; else None, also for `output:CHANNEL`."""
    plain = _masked(words)
    if words.startswith(_COSINE) and (named := parse_direction(words.removeprefix(_COSINE))):
        return Similarity(named.layer, named)
    if found := _BOXES.fullmatch(plain):
        start, end = found.span("each")
        each = [_ONE_BOX.fullmatch(plain, *span) for span in _between_bars(plain, start, end)]
        if not all(each):
            raise ObjectiveError(f"{text!r} is not a unit. {_GRAMMAR}")
        names = tuple(name for one in each if one for name in _names(words[slice(*one.span("name"))], text))
        boxes = tuple(_corners(one["box"]) for one in each if one)
        iou = float(found["iou"] or 0.5)
        return Box(names[0], boxes[0], iou) if len(each) == 1 else Box(names, boxes, iou)
    found = _PIXELS.fullmatch(plain)
    if found is None or _LAYER_UNIT.fullmatch(words) or re.search("[:@]", found["names"]):
        return None
    classes = _classes(words[slice(*found.span("names"))], text)
    if found["where"] in (None, "predicted"):
        return Pixels(classes, "predicted" if found["where"] else None)
    top, left, bottom, right = map(int, _corners(found["where"]))
    return Pixels(classes, (top, left, bottom, right))


def _corners(text: str) -> Corners:
    top, left, bottom, right = map(float, text.split(","))
    return top, left, bottom, right


def _between_bars(plain: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans of a masked text between vertical bars."""
    bars = [start - 1, *(place for place in range(start, end) if plain[place] == "|"), end]
    return ((before + 1, after) for before, after in pairwise(bars))


def _classes(words: str, text: str) -> int | str | tuple[int | str, ...]:
    names = _names(words, text)
    return names[0] if len(names) == 1 else names


def _names(words: str, text: str) -> tuple[int | str, ...]:
    plain = _masked(words)
    if '"' in plain:
        raise ObjectiveError(f"{text!r} has a double quote that is not closed. {_GRAMMAR}")
    parts = [words[slice(*span)].strip() for span in _between_bars(plain, 0, len(words))]
    names = tuple(int(part) if part.isdecimal() else _unquoted(part) for part in parts)
    if "" in names:
        raise ObjectiveError(f"{text!r} names no class. {_GRAMMAR}")
    return names


def _masked(text: str) -> str:
    """The text with null characters in place of quoted parts, so that signs in them do not count."""
    return _QUOTED.sub(lambda quoted: "\0" * len(quoted[0]), text)


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if _QUOTED.fullmatch(name) else name


def _readings(text: str, network: "Network") -> Iterator[str]:
    """The sums that a text can mean if some of its signs without spaces separate terms, written with spaces.

    Only sums whose units all exist in the network.
    """
    plain = _masked(text)
    places = [found.start() for found in re.finditer("[+-]", plain) if plain[: found.start()].strip(" +-")]
    if len(places) > _MOST_SIGNS:
        return
    for chosen in range(1, 2 ** len(places)):
        cuts = [place for bit, place in enumerate(places) if chosen >> bit & 1]
        spaced = "".join(f" {letter} " if place in cuts else letter for place, letter in enumerate(text))
        try:
            unit(spaced).bind(network)
        except (ObjectiveError, LayerNotFound):
            continue
        yield re.sub(r" +", " ", spaced).strip()
