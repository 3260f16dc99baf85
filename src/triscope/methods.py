"""The table of methods, and the door that each of them stands behind.

A method is a function. `@method(question)` puts it in `METHODS` and gives it a door, which turns words into values
before the function sees them: pictures of any kind into what the network sees, a unit's text into a bound objective,
options into checked ones. On the way out, the door writes the recipe into the result. The command line, the report and
the docs read a method's options from its signature, and their help from its docstring:

    name    what the option does, on lines of this form
"""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

import torch

from triscope import __version__
from triscope.errors import OptionError, nearest
from triscope.images import printable
from triscope.network import Network, Seen
from triscope.network.network import no_autocast
from triscope.objectives.base import Objective
from triscope.objectives.parsing import question
from triscope.results import ImageNote, NetworkNote, Recipe, Result

P = ParamSpec("P")
R = TypeVar("R", bound=Result)

#: What the door gives to every method that asks for it, and the command line has its own words for.
SUBJECTS = ("network", "store", "images", "content", "style", "masks", "objective", "layer")

#: Options that say how a job is run and not what it makes; a recipe does not hold them.
PASSING = ("checkpoint",)


@dataclass(frozen=True)
class Range:
    """The least and the greatest value of a number option, both allowed: `Annotated[int, Range(1, 100)]`."""

    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.least:g} to {self.most:g}"


@dataclass(frozen=True, eq=False)
class Step(Generic[R]):
    """One step of a long job: `index` of `total`, from 1; the mean score over the batch, and the terms it is made of.

    `result` is what the job returns if it is stopped here.
    """

    index: int
    total: int
    score: float
    terms: Mapping[str, float]
    result: R


class Stored(Protocol):
    """What a method of WHICH is given instead of a network: what one said, and a note of which it was."""

    path: Path

    @property
    def network(self) -> Network:
        """The network that made it, loaded when it is first asked for."""

    @property
    def note(self) -> NetworkNote:
        """What a recipe says of that network."""

    @property
    def precision(self) -> str:
        """The precision it was asked in."""


@dataclass(frozen=True)
class Option:
    """One keyword option of a method: its type (int, float, bool, str), its choices or range, its default, its help."""

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    range: Range | None = None

    def check(self, value: object) -> None:
        """Raise OptionError where `value` is not allowed."""
        if value is None and self.default is None:
            return
        if self.choices and value not in self.choices:
            near = nearest(str(value), self.choices) if isinstance(value, str) else ""
            raise OptionError(f"{self.name} is {', '.join(self.choices)}, not {value!r}.{near}")
        number = int | float if self.type is float else self.type
        if not isinstance(value, number) or (isinstance(value, bool) and self.type is not bool):
            raise OptionError(f"{self.name} is of type {self.type.__name__}, and {value!r} is not.")
        if self.range and not self.range.least <= typing.cast("float", value) <= self.range.most:
            raise OptionError(f"{self.name} lies in {self.range}, and {value!r} does not.")


class Method(Generic[P, R]):
    """A verb: a function behind its door. Calling it is calling the function."""

    def __init__(self, question: str, body: Callable[P, R]) -> None:
        functools.update_wrapper(self, body)
        self.question = question
        self.name = body.__name__
        self.command = self.name.replace("_", "-")
        self.signature = inspect.signature(body)
        self.summary = (inspect.getdoc(body) or "").split("\n\n")[0].replace("\n", " ")
        self._body = body

    @functools.cached_property
    def options(self) -> tuple[Option, ...]:
        """The method's keyword options, in the order of its signature."""
        hints = typing.get_type_hints(self._body, include_extras=True)
        texts = _help(inspect.getdoc(self._body) or "")
        keywords = (item for item in self.signature.parameters.values() if item.kind is item.KEYWORD_ONLY)
        return tuple(_option(item.name, hints[item.name], item.default, texts.get(item.name, "")) for item in keywords)

    @property
    def returns(self) -> type[Result]:
        """The kind of result."""
        kind: type[Result] = typing.get_type_hints(self._body)["return"]
        return kind

    def takes(self, subject: str) -> bool:
        """Whether the method asks for this subject: network, images, objective or layer."""
        return subject in self.signature.parameters

    def requires(self, subject: str) -> bool:
        """Whether it cannot do without."""
        return self.takes(subject) and self.signature.parameters[subject].default is inspect.Parameter.empty

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask. Raises OptionError for an option out of its range, and what the method itself raises."""
        bound = self._enter(*args, **kwargs)
        with _precise(bound.arguments):
            result = self._body(*bound.args, **bound.kwargs)
        return dataclasses.replace(result, recipe=self._recipe(bound.arguments, result))

    def _enter(self, *args: P.args, **kwargs: P.kwargs) -> inspect.BoundArguments:
        """The arguments as the function wants them: options checked, words turned into values."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        for option in self.options:
            option.check(given[option.name])
        if "images" in given:
            given["images"] = given["network"].prepare(given["images"], given.get("fit", "crop"))
        if "content" in given:
            given["content"] = given["network"].prepare(given["content"], "keep")
        for part in ("style", "masks"):
            if part in given:
                several = given[part] if isinstance(given[part], list | tuple) else [given[part]]
                given[part] = [given["network"].prepare(one, "keep") for one in several]
        # Where a layer may be asked instead of a unit, nothing asked is not a question about the top class.
        if "objective" in given and not (given["objective"] is None and "layer" in given):
            network = given["store"].network if "store" in given else given["network"]
            given["objective"] = question(given["objective"]).bind(network)
        return bound

    def _recipe(self, given: dict[str, Any], result: Result) -> Recipe:
        store: Stored | None = given.get("store")
        networks = _several(given["network"]) if store is None else []
        seen: Seen | None = given.get("images")
        asked: Objective | None = getattr(result, "objective", None)
        options = {option.name: given[option.name] for option in self.options if option.name not in PASSING}
        return Recipe(
            method=self.name,
            networks=(store.note,)
            if store is not None
            else tuple(NetworkNote(network.name, network.source, network.fingerprint()) for network in networks),
            images=tuple(
                ImageNote(source.name, printable(source.path.absolute()) if source.path else None, source.sha256)
                for source in seen.sources
            )
            if seen
            else getattr(result, "sources", ()),
            objective=str(asked) if asked is not None else None,
            options=options
            | ({"layer": given["layer"]} if given.get("layer") else {})
            | ({"store": printable(store.path.absolute())} if store is not None else {})
            | ({"query": given["query"]} if isinstance(given.get("query"), int) else {}),
            precision=store.precision
            if store is not None
            else getattr(result, "precision", str(networks[0].dtype).removeprefix("torch.")),
            threads=torch.get_num_threads(),
            version=__version__,
        )

    def __repr__(self) -> str:
        return f"<method {self.name}{self.signature}>"


class LongMethod(Method[P, R]):
    """A verb whose function yields steps. Calling it gives the last step's result; `steps` gives them one by one."""

    def __init__(self, question: str, body: Callable[P, Generator[Step[R]]]) -> None:
        super().__init__(question, typing.cast("Callable[P, R]", body))

    @property
    def returns(self) -> type[Result]:
        """The kind of result."""
        (step,) = get_args(typing.get_type_hints(self._body)["return"])[:1]
        (kind,) = get_args(step)
        return typing.cast("type[Result]", kind)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run to the end. Raises OptionError for an option out of its range, and what the method itself raises."""
        for step in self.steps(*args, **kwargs):
            last = step
        return last.result

    def steps(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Step[R]]:
        """Run step by step. Arguments are checked at once; leaving the iteration stops the job."""
        bound = self._enter(*args, **kwargs)
        body = typing.cast("Generator[Step[R]]", self._body(*bound.args, **bound.kwargs))
        return self._recorded(bound.arguments, body)

    def _recorded(self, given: dict[str, Any], body: Generator[Step[R]]) -> Iterator[Step[R]]:
        with closing(body):
            while True:
                with _precise(given):  # step by step: between two of them the caller's own modes are as they were
                    step = next(body, None)
                if step is None:
                    return
                result = dataclasses.replace(step.result, recipe=self._recipe(given, step.result))
                yield dataclasses.replace(step, result=result)


METHODS: dict[str, Method[Any, Any]] = {}


class _Enter(Protocol):
    @overload
    def __call__(self, body: Callable[P, Generator[Step[R]]]) -> LongMethod[P, R]: ...

    @overload
    def __call__(self, body: Callable[P, R]) -> Method[P, R]: ...


def method(question: str) -> _Enter:
    """Put a function in the table, behind its door. `question` is where, what, which or view.

    A generator function of steps becomes a long method.
    """

    def enter(body: Callable[..., Any]) -> Method[..., Any]:
        verb = (LongMethod if inspect.isgeneratorfunction(body) else Method)(question, body)
        METHODS[verb.name] = verb
        return verb

    return typing.cast("_Enter", enter)


def _precise(given: Mapping[str, Any]) -> AbstractContextManager[object]:
    """The caller's autocast switched off: a method says itself in which precision it works."""
    network = given.get("network")
    return no_autocast(network.device if isinstance(network, Network) else torch.device("cpu"))


def _several(network: Network | Sequence[Network]) -> Sequence[Network]:
    return [network] if isinstance(network, Network) else network


def _option(name: str, hint: Any, default: Any, text: str) -> Option:
    bounds = None
    if get_origin(hint) is typing.Annotated:
        hint, *extras = get_args(hint)
        bounds = next((extra for extra in extras if isinstance(extra, Range)), None)
    if type(None) in get_args(hint):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return Option(name, str if choices else hint, default, text, choices, bounds)


def _help(doc: str) -> dict[str, str]:
    """The lines `name    what it does` of a docstring, with those that continue them."""
    texts: dict[str, str] = {}
    current = None
    for line in doc.splitlines():
        if start := re.fullmatch(r"(\w+) {3,}(\S.*)", line):
            current = start[1]
            texts[current] = start[2]
        elif current and line.startswith("    "):
            texts[current] += " " + line.strip()
        else:
            current = None
    return texts
