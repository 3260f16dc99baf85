"""From a request of the page to the call of a method, by what it declares. The method converts words to values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triscope.errors import OptionError, StoreError, nearest
from triscope.methods import (
    ImageInput,
    LayerInput,
    Method,
    NetworkInput,
    ObjectiveInput,
    Option,
    QueryInput,
    StoreInput,
)
from triscope.methods.inputs import Declared
from triscope.methods.spelling import command_line, python_line
from triscope.verbs import METHODS
from triscope.web.photos import seen

if TYPE_CHECKING:
    from triscope.web.microscope import Microscope

_LONGEST = 2000  # characters of a text from a page
_MOST_PHOTOS = 64


@dataclass(frozen=True, eq=False)
class Call:
    """A method and its arguments: `arguments` to call it with, `told` as they are written in a command."""

    method: Method[Any]
    arguments: Mapping[str, Any]
    told: Mapping[str, Any]

    def lines(self, style: str | None = None) -> dict[str, str | None]:
        """The command and the line of Python that do the same."""
        return {
            "command": command_line(self.method, self.told, style=style),
            "python": python_line(self.method, self.told, style=style),
        }


def method_named(name: Any) -> Method[Any]:
    """The method of that name. Raises OptionError where there is none."""
    if not isinstance(name, str) or name not in METHODS:
        raise OptionError(f"There is no method {str(name)[:80]!r}.{nearest(str(name), METHODS)}")
    return METHODS[name]


def read_call(scope: "Microscope", data: Mapping[str, Any]) -> Call:
    """The call that a page requests: {method, network, inputs: {...}, options: {...}}. Raises TriscopeError."""
    method = method_named(data.get("method"))
    inputs, options = (_mapping(data.get(name, {}), name) for name in ("inputs", "options"))
    number = data.get("network", 0)
    arguments: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, declared in method.inputs.items():
        value, said = _input(scope, declared, inputs.get(name), number, options)
        if value is None and declared.required:
            raise OptionError(f"{method.command} needs {name}: {declared.input.help or declared.input.kind}.")
        if value is not None:
            arguments[name], told[name] = value, said
    known = {option.name: option for option in method.options}
    for name, value in options.items():
        if name not in known or not known[name].recorded:  # those not recorded name files, or how a job is run
            raise OptionError(f"{method.command} has no option {str(name)[:80]!r} on this page.")
        read = read_option(known[name], value)
        arguments[name] = told[name] = read
    return Call(method, arguments, told)


def read_option(option: Option, value: Any) -> Any:
    """An option's value from a page: numbers are clamped to their range."""
    if value is None or value == "":
        return option.default
    if option.many or option.bytes:
        return option.read(value)
    if isinstance(value, str) and not (option.type is str or value in option.words):
        raise OptionError(f"{option.name} is a number, and {value[:80]!r} is not.")
    if isinstance(value, str) and len(value) > _LONGEST:
        raise OptionError(f"{option.name} is too long.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise OptionError(f"{option.name} is a finite number.")
        if option.range:
            value = min(max(value, option.range.least), option.range.most)
        value = int(value) if option.type is int and float(value).is_integer() else value
    return option.read(value)


def _input(
    scope: "Microscope", declared: Declared, value: Any, number: Any, options: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The argument of an input, and how it is written in a command."""
    kind = declared.input
    match kind:
        case NetworkInput():
            network = scope.network(number)
            several = scope.networks if kind.many and len(scope.networks) > 1 else network
            return several, several
        case StoreInput():
            if declared.name != "store":
                raise StoreError("Two stores are compared on the command line: `triscope changes`.")
            store = scope.require_store(number)
            return store, store
        case QueryInput():
            photo = scope.photo(_word(value, declared)) if value is not None else None
            return (None, None) if photo is None else (photo.source, photo.spelled)
        case ImageInput():
            return _images(scope, declared, kind, value, number, options)
        case ObjectiveInput() | LayerInput():
            word = _word(value, declared).strip() if value is not None else ""
            return (word, word) if word else (None, None)
    return None, None


def _images(
    scope: "Microscope", declared: Declared, kind: ImageInput, value: Any, number: Any, options: Mapping[str, Any]
) -> tuple[Any, Any]:
    if value is None or value == []:
        return None, None
    if isinstance(value, str) and value in kind.words:
        return value, value
    keys = value if isinstance(value, list) else [value]
    if len(keys) > _MOST_PHOTOS:
        raise OptionError(f"{declared.name}: at most {_MOST_PHOTOS} photos are accepted.")
    photos = [scope.photo(_word(key, declared)) for key in keys]
    spelled: Any = [photo.spelled for photo in photos]
    spelled = spelled if len(photos) > 1 else spelled[0]
    if len(photos) == 1 and not kind.separate and kind.fits and options.get("fit", kind.fit) == "crop":
        return seen(scope.network(number), photos[0]), spelled
    sources: list[Path | bytes] = [photo.source for photo in photos]
    return (sources if kind.many else sources[0]), spelled


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise OptionError(f"{name} must be a JSON object.")
    return value


def _word(value: Any, declared: Declared) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(_word(one, declared) for one in value)
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise OptionError(f"{declared.name} must be a text of up to {_LONGEST} characters.")
    return value
