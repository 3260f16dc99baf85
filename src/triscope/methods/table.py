"""Methods: functions of the library that the command line, the report and pages can call, and the table of them.

The decorator `@method(question)` makes a function a `Method`. A call of it converts the arguments (see `inputs`), reads
and checks the options (see `options`), calls the function, and adds the recipe to the result. A function that yields
steps is a long method: a call returns the result of the last step. Every method has `steps`.
"""

import dataclasses
import importlib
import inspect
import math
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property, update_wrapper
from typing import Any, Generic, TypeVar, get_args

import torch

from triscope import catalog
from triscope._version import __version__
from triscope.errors import OptionError
from triscope.methods.inputs import Declared, Input, NetworkInput, StoreInput, Subject
from triscope.methods.options import Group, Option, described, group_options, read_option, unwrapped
from triscope.methods.steps import Step
from triscope.network import Network
from triscope.network.refusals import no_autocast
from triscope.objectives.base import Objective
from triscope.objectives.directions import to_text
from triscope.render import usual_channels
from triscope.results import Drawn, Grid, ImageNote, NetworkNote, Recipe, Result

R = TypeVar("R", bound=Result)
_EMPTY = inspect.Parameter.empty
_CHANNELS_SHOWN = "{} reads {} channels; images show {}. Choose others by Network(..., show=(red, green, blue))."
_RANDOM = "{} draws random numbers in its forward pass; they follow the seed, {}."


@dataclasses.dataclass(frozen=True)
class Bound:
    """The arguments of one call: `values` for the function's parameters, `options` for the recipe."""

    values: dict[str, Any]
    options: dict[str, Any]


class Method(Generic[R]):
    """A function with declared inputs and options, which computes a result with a recipe.

    question    where, what, which or view
    long        whether it yields steps
    summary     the first paragraph of its docstring
    """

    def __init__(self, question: str, body: Callable[..., R | Generator[Step[R]]]) -> None:
        update_wrapper(self, body)
        self.question = question
        self.name = body.__name__
        self.command = self.name.replace("_", "-")
        self.long = inspect.isgeneratorfunction(body)
        self.summary = (inspect.getdoc(body) or "").split("\n\n")[0].replace("\n", " ")
        self._body = body

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self._body, include_extras=True)

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self._body).parameters

    @cached_property
    def inputs(self) -> dict[str, Declared]:
        """The declared inputs, by the names of the parameters, in order."""
        found = {}
        for name, parameter in self._parameters.items():
            kind = next((extra for extra in unwrapped(self._hints[name])[1] if isinstance(extra, Input)), None)
            if kind is not None:
                required = parameter.default is _EMPTY
                default = None if required else parameter.default
                positional = parameter.kind is not parameter.KEYWORD_ONLY
                found[name] = Declared(name, kind, default, required, positional)
        return found

    @cached_property
    def groups(self) -> dict[str, tuple[type, Group]]:
        """The parameters that are groups of options: the dataclass and the declaration of each."""
        found = {}
        for name in self._parameters:
            kind, extras = unwrapped(self._hints[name])
            group = next((extra for extra in extras if isinstance(extra, Group)), None)
            if group is not None:
                found[name] = (kind, group)
        return found

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """The options in the order of the signature; a group's fields take its place."""
        texts = described(inspect.getdoc(self._body) or "")
        found: list[Option] = []
        for name, parameter in self._parameters.items():
            if name in self.groups:
                found += group_options(name, *self.groups[name], parameter.default, texts)
            elif name not in self.inputs:
                found.append(read_option(name, self._hints[name], parameter.default, texts.get(name, "")))
        for declared in self.inputs.values():
            names = {option.name for option in found}
            found += [option for option in declared.input.options() if option.name not in names]
        return tuple(found)

    @cached_property
    def signature(self) -> inspect.Signature:
        """The signature for callers: the function's parameters, and the fields of its groups as keyword arguments."""
        known = list(self._parameters.values())
        names = set(self._parameters)
        extra = [
            inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default)
            for option in self.options
            if option.name not in names
        ]
        return inspect.Signature([*known, *extra], return_annotation=self.returns)

    @cached_property
    def returns(self) -> type[R]:
        """The class of the result."""
        hint = self._hints["return"]
        if self.long:
            (step,) = get_args(hint)[:1]
            (hint,) = get_args(step)
        return typing.cast("type[R]", hint)

    def takes(self, name: str) -> bool:
        """Whether the method has an input of this name: network, images, objective, layer, ..."""
        return name in self.inputs

    def requires(self, name: str) -> bool:
        """Whether the method has an input of this name without a default."""
        return name in self.inputs and self.inputs[name].required

    def schema(self) -> dict[str, Any]:
        """The method as JSON-compatible values: its inputs, options with type, range, default and help, and result."""
        return {
            "name": self.name,
            "command": self.command,
            "question": self.question,
            "summary": self.summary,
            "long": self.long,
            "inputs": [declared.to_json() for declared in self.inputs.values()],
            "options": [option.to_json() for option in self.options],
            "returns": self.returns.__name__,
        }

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Run the method. Raises OptionError for an option that is not allowed, and what the function itself raises."""
        for step in self._steps(self.bind(*args, **kwargs)):
            last = step
        return last.result

    def steps(self, *args: Any, **kwargs: Any) -> Iterator[Step[R]]:
        """Run the method step by step. Arguments are checked at once; leaving the iteration stops the job."""
        return self._steps(self.bind(*args, **kwargs))

    def bind(self, *args: Any, **kwargs: Any) -> Bound:
        """The arguments for the function: options are read and checked first, then inputs are converted."""
        given = self.signature.bind(*args, **{self._renamed.get(name, name): value for name, value in kwargs.items()})
        explicit = set(given.arguments)
        given.apply_defaults()
        values = given.arguments
        options = {
            option.name: option.read(values[option.name]) for option in self.options if option.of not in self.groups
        }
        for name in self.groups:
            values[name], fields = self._group(name, values, explicit)
            options |= fields
        subject: Subject | None = None
        for name, declared in self.inputs.items():
            value = declared.default if values[name] is None else values[name]
            values[name] = declared.input.bind(value, options, subject)
            if isinstance(declared.input, NetworkInput | StoreInput):
                subject = Subject(values[name])
        body = {name: options[name] if name in options else values[name] for name in self._parameters}
        return Bound({name: values[name] if name in self.groups else value for name, value in body.items()}, options)

    @cached_property
    def _renamed(self) -> dict[str, str]:
        """The options by their names in earlier versions."""
        return {option.formerly: option.name for option in self.options if option.formerly}

    def _group(self, name: str, values: Mapping[str, Any], explicit: set[str]) -> tuple[Any, dict[str, Any]]:
        """The value of a group, and its options for the recipe."""
        kind, group = self.groups[name]
        options = [option for option in self.options if option.of == name]
        preset = next((option for option in options if option.name == name), None)
        fields = [option for option in options if option is not preset]
        whole = values[name]
        if isinstance(whole, kind):
            label = next((key for key, value in group.presets.items() if value == whole), None)
        elif preset is not None:
            label = preset.read(whole)
            whole = group.presets[label]
        else:
            raise OptionError(f"{name} must be a {kind.__name__}, not {whole!r}.")
        changed = {one.name: one.read(values[one.name]) for one in fields if one.name in explicit}
        if group.presets:  # then None means the preset's value
            changed = {key: value for key, value in changed.items() if value is not None}
        made = dataclasses.replace(whole, **changed)
        if preset is None or label is None:
            changed = {one.name: one.read(getattr(made, one.name)) for one in fields}
        named = {} if preset is None else {name: label or preset.default}
        return made, named | {one.name: changed.get(one.name) for one in fields}

    def _steps(self, bound: Bound) -> Iterator[Step[R]]:
        return self._long(bound) if self.long else self._short(bound)

    def _short(self, bound: Bound) -> Iterator[Step[R]]:
        with _without_autocast(bound.values):
            result = typing.cast("R", self._body(**bound.values))
        scores = getattr(result, "scores", None)
        score = float(scores.mean()) if isinstance(scores, torch.Tensor) and len(scores) else math.nan
        yield Step(1, 1, score, {}, self._with_recipe(bound, result))

    def _long(self, bound: Bound) -> Iterator[Step[R]]:
        with closing(typing.cast("Generator[Step[R]]", self._body(**bound.values))) as body:
            while True:
                with _without_autocast(bound.values):  # between two steps, the caller's own modes are in effect
                    step = next(body, None)
                if step is None:
                    return
                yield dataclasses.replace(step, result=self._with_recipe(bound, step.result))

    def _with_recipe(self, bound: Bound, result: R) -> R:
        """The result with its recipe, and with notes on random networks and on the channels shown."""
        networks: list[NetworkNote] = []
        notes: list[str] = []
        shown: dict[str, Any] = {}
        precision = getattr(result, "precision", None)
        images: list[ImageNote] = []
        recorded = {option.name for option in self.options if option.recorded}
        options = {name: value for name, value in bound.options.items() if name in recorded}
        for name, declared in self.inputs.items():
            value = bound.values[name]
            images += declared.input.images(value)
            noted = declared.input.recorded(value)
            options |= {} if noted is None else {name: noted}
            if isinstance(declared.input, StoreInput):
                networks.append(value.note)
                precision = value.precision
            elif isinstance(declared.input, NetworkInput):
                several = [value] if isinstance(value, Network) else value
                networks += [NetworkNote(one.name, one.source, one.fingerprint()) for one in several]
                precision = precision or str(several[0].dtype).removeprefix("torch.")
                notes += [_RANDOM.format(one.name, bound.options.get("seed", 0)) for one in several if one.random]
                if isinstance(result, Drawn) and not isinstance(result, Grid):
                    shown = {"show": several[0].show}
                    notes += _channel_note(several[0])
        objective = getattr(result, "objective", None)
        recipe = Recipe(
            method=self.name,
            networks=tuple(networks),
            images=tuple(images),
            objective=str(objective) if objective is not None else None,
            directions=_directions(result),
            options=options,
            precision=precision or "float32",
            threads=torch.get_num_threads(),
            version=__version__,
        )
        return dataclasses.replace(result, recipe=recipe, notes=tuple(dict.fromkeys((*result.notes, *notes))), **shown)

    def __repr__(self) -> str:
        return f"<method {self.name}{self.signature}>"


METHODS: dict[str, Method[Any]] = {}


def methods_of(question: str) -> list[Method[Any]]:
    """The methods of a question (where, what, which, view) in the order of the catalogue; imports their modules."""
    found = []
    for entry in catalog.METHODS:
        if entry.question == question:
            importlib.import_module(entry.module)
            found.append(METHODS[entry.name])
    return found


class _Decorator(typing.Protocol):
    @typing.overload
    def __call__(self, body: Callable[..., Generator[Step[R]]]) -> Method[R]: ...

    @typing.overload
    def __call__(self, body: Callable[..., R]) -> Method[R]: ...


def method(question: str) -> _Decorator:
    """Make a function a method, and add it to the table. `question` is where, what, which or view.

    A generator function, which yields steps, becomes a long method.
    """

    def register(body: Callable[..., Any]) -> Method[Any]:
        made: Method[Any] = Method(question, body)
        METHODS[made.name] = made
        return made

    return typing.cast("_Decorator", register)


def _directions(result: Result) -> dict[str, str]:
    """The vectors of the named directions in the result's objectives, so that the recipe needs no file of them."""
    used = (getattr(result, "objective", None), *getattr(result, "further", ()))
    return {text: numbers for one in used if isinstance(one, Objective) for text, numbers in to_text(one).items()}


def _channel_note(network: Network) -> list[str]:
    """A note on which channels are shown, if the network has others and `show` was not given."""
    if network.show is not None or network.channels in (1, 3):
        return []
    first, *others = usual_channels(network.channels)
    shown = f"channel {first} in red and {others[0]} in cyan" if network.channels == 2 else "the first three"
    return [_CHANNELS_SHOWN.format(network.name, network.channels, shown)]


@contextmanager
def _without_autocast(values: Mapping[str, Any]) -> Iterator[None]:
    """Switch off the caller's autocast and inference mode: methods choose their precision themselves."""
    network = values.get("network")
    device = network.device if isinstance(network, Network) else torch.device("cpu")
    with torch.inference_mode(mode=False), no_autocast(device):
        yield
