"""Run a method from the command line: parse inputs, show progress, write results to files and stdout."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triscope.cli.beside import networks_beside
from triscope.cli.common import Console, NetworkChoice, read_stdin
from triscope.cli.image_words import expanded
from triscope.cli.on_the_way import Way, WayPlaces
from triscope.cli.output import STREAM, Destination, Places, Target
from triscope.cli.stores import in_words
from triscope.images import printable
from triscope.images.samples import PREFIX
from triscope.methods import ImageInput, Method, Step, StoreInput
from triscope.network import Network
from triscope.network.loading.recorded import UNSAID, Said
from triscope.objectives.parsing import resolve
from triscope.results import Heatmap, Result, Style
from triscope.watching import watch
from triscope.which.store import Store


def run(
    method: Method[Any],
    /,
    *,
    target: Target,
    console: Console,
    chosen: NetworkChoice | None = None,
    said: Said = UNSAID,
    **given: Any,
) -> None:
    """One result, or one for each image and unit where a method takes one at a time; one that fails does not stop the
    others.

    Where results go is checked before anything else.
    """
    if isinstance(given.get("images"), tuple):
        given["images"] = tuple(expanded(given["images"]))
    images = given.pop("images") if _one_by_one(method, given) else None
    units = given.pop("objective") if isinstance(given.get("objective"), tuple) else None
    each = [
        image | unit
        for image in ([{}] if images is None else [{"images": image} for image in images])
        for unit in ([{"objective": unit} for unit in units or ()] or [{}])
    ]
    places = target.places(method.returns.require_ending, several=len(each) > 1)
    way = WayPlaces.of(method, target, given)
    drawing = Drawing(
        given.pop("style") if issubclass(method.returns, Heatmap) else None,
        [form for form in method.returns.asked_forms if given.pop(form, False)],
    )
    for option in method.options:
        if option.spelled:
            given[option.name] = given.pop(option.spelled)
    asked = _asked(method, given, units or (), chosen, said, console)
    if chosen is not None and any(option.name == "seed" for option in method.options):
        given["seed"] = chosen.seed
    job = _Job(method, asked, drawing, way, console, several=len(images or ()) > 1)
    if images is None and len(each) == 1:
        job.one({**given, **each[0]}, places)
        each = []
    for number, one in enumerate(each, 1):
        name = ", ".join(printable(word) for word in one.values())
        if len(each) > 1:
            console.detail(f"{number} of {len(each)}: {name}")
        with console.attempt(name, alone=len(each) == 1):
            job.one({**given, **one}, places)
    console.close(command=method.command, network=job.network_name)


@dataclass(frozen=True)
class Drawing:
    """How results are drawn and written: a heatmap's style, and the file formats to write."""

    style: Style | None
    forms: Sequence[str]


def _asked(
    method: Method[Any],
    given: dict[str, Any],
    units: Sequence[str],
    chosen: NetworkChoice | None,
    said: Said,
    console: Console,
) -> Network | list[Network] | Store:
    """The network or the store; a unit that it does not have is refused once, before anything else."""
    if chosen is None:
        store = Store.open(given.pop("store"))
        if said:
            store.ask(said)
        return store
    network = chosen.load(console)
    for unit in units or [word for word in (given.get("objective"),) if word is not None]:
        resolve(unit, network)
    others = networks_beside(chosen, given.pop("beside", ()), given.pop("beside_weights", ()))
    return [network, *(other.load(console) for other in others)] if others else network


@dataclass
class _Job:
    """What all results of one command have in common."""

    method: Method[Any]
    asked: Network | list[Network] | Store
    drawing: Drawing
    way: WayPlaces
    console: Console
    several: bool = False

    @property
    def network_name(self) -> str:
        """The names of the networks."""
        if isinstance(self.asked, Store):
            return self.asked.about.network
        return "-".join(one.name for one in (self.asked if isinstance(self.asked, list) else [self.asked]))

    def one(self, given: Mapping[str, Any], places: Places) -> None:
        """One call: read the inputs, run, write and print."""
        name = "store" if isinstance(self.asked, Store) else "network"
        parts = name_parts(self.method, self.asked, given)
        written = self._places(parts, places)
        way = self.way.find(parts, written, self.console)
        given = {key: value for key, value in given.items() if value != ()}  # an option that was not given
        arguments = {key: _read(self.method, key, value) for key, value in {**given, **way.arguments}.items()}
        start = time.perf_counter()
        last: Step[Any] | None = None
        try:
            steps = watch(self.method.steps(**{name: self.asked}, **arguments), quiet=self.console.quiet)
            with in_words(), closing(steps):
                for step in steps:
                    last = step
                    way.add(step)
        finally:  # the last step is the result, also where the job was interrupted
            if last is not None:
                self._give(last, written, way, given, time.perf_counter() - start)

    def _places(self, parts: Sequence[str], places: Places) -> list[Destination]:
        """Where the result goes, once for each form; nowhere where a table on stdout is all."""
        kind = self.method.returns
        if places.to_stdout:
            return [places.find(parts)]
        if places.out is None and not kind.written:
            return []
        forms = [f".{form}" for form in self.drawing.forms]
        if places.out is None or places.is_folder:
            return [places.find(parts, form) for form in forms or [kind.usual_form]]
        out = Path(places.out)
        return [places.at(path) for path in dict.fromkeys([out, *(out.with_suffix(form) for form in forms)])]

    def _give(
        self, step: Step[Any], places: Sequence[Destination], way: Way, given: Mapping[str, Any], seconds: float
    ) -> None:
        """Write a result, and print it."""
        result, console = step.result, self.console
        for note in result.notes:
            console.note(f"note: {note}")
        written = [place for place in places if result.drawable]
        for place in written:
            place.save(self._styled(result, place.path))
            console.keep(place.name)
        frames = way.save()
        if step.index == step.total and any(place.path is not None for place in written):
            way.close()
        console.detail(f"{self.method.command} took {seconds:.2f} s")
        for line in result.details:
            console.detail(line)
        facts = {
            "image": printable(given["images"]) if isinstance(given.get("images"), str) else None,
            **result.summary(),
            "frames": frames,
            "steps": step.index if self.method.long else None,
            "of": step.total if self.method.long else None,
        }
        facts = {name: value for name, value in facts.items() if value is not None}
        text = result.text()
        if text is not None and (result.written or not written):
            out = written[0].name if written else None
            to_stdout = any(place.path is None for place in places)
            text = f"{facts['image']}\n{text}" if self.several else text
            console.result(facts | {"out": out}, None if to_stdout else text)
            if out is not None:
                console.note(f"images in {out}")
            return
        for place in written:
            console.result(facts | {"out": place.name}, place.path)

    def _styled(self, result: Result, path: Path | None) -> Result:
        raw = path is not None and path.suffix.lower() == ".npy"
        style = self.drawing.style
        return (
            result.styled(style) if isinstance(result, Heatmap) and style not in (None, "heat") and not raw else result
        )


def name_parts(method: Method[Any], asked: Network | list[Network] | Store, given: Mapping[str, Any]) -> list[str]:
    """The parts of a result's file name: image or store, command, unit or layer."""
    unit = given.get("objective")
    layer = given.get("layer")
    told = [str(text) for text in (unit, layer) if text]
    pictures = [_stem(value) for name, value in given.items() if name in ("images", "content", "query") and value != ()]
    style = [_stem(one) for one in given.get("style", ())]
    if pictures:
        return [*pictures, method.command, *told, *style]
    if isinstance(asked, Store):
        return [*(told[:1] if unit else [_folder(asked)]), method.command, *told[bool(unit) :]]
    if method.takes("objective"):
        return [method.command, *told]
    names = "-".join(one.name for one in (asked if isinstance(asked, list) else [asked]))
    return [names, method.command, *told]


def _read(method: Method[Any], name: str, value: Any) -> Any:
    """An argument's value; - as an image is what stands on stdin, a further store is opened."""
    declared = method.inputs.get(name)
    if declared and isinstance(declared.input, StoreInput):
        return Store.open(value)
    if declared is None or not isinstance(declared.input, ImageInput):
        return value
    if isinstance(value, tuple):
        return [_read(method, name, one) for one in value]
    return read_stdin() if value == STREAM else value


def _one_by_one(method: Method[Any], given: Mapping[str, Any]) -> bool:
    """Whether each image is a question, and a result, of its own."""
    declared = method.inputs.get("images")
    together = declared is not None and isinstance(declared.input, ImageInput) and declared.input.together
    return isinstance(given.get("images"), tuple) and not together


def _stem(value: Any) -> str:
    if isinstance(value, tuple):
        return _stem(value[0]) if len(value) == 1 else f"{len(value)} images"
    return "stdin" if value == STREAM else printable(Path(value.removeprefix(PREFIX)).stem)


def _folder(store: Store) -> str:
    return (store.path.parent if store.path.name.startswith(".") else store.path).absolute().name
