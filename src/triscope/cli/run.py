"""Running a method from the command line: words to inputs, steps with progress, results to files and stdout."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from triscope.cli.common import STREAM, Chosen, Places, Target, Voice, put, read_stdin
from triscope.cli.stores import in_words
from triscope.errors import TriscopeError
from triscope.images import printable
from triscope.methods import ImageInput, Method, Step
from triscope.network import Network
from triscope.network.loading.recorded import UNSAID, Said
from triscope.objectives.parsing import question
from triscope.results import Heatmap, Result, Style
from triscope.results.animation import Frames
from triscope.which.store import Store


def run(
    method: Method[Any],
    *,
    target: Target,
    voice: Voice,
    chosen: Chosen | None = None,
    said: Said = UNSAID,
    **given: Any,
) -> None:
    """One result, or one for each image where a method takes one at a time; one that fails does not stop the others."""
    drawing = Drawing(
        given.pop("style") if issubclass(method.returns, Heatmap) else None,
        given.pop("frames", None),
        [form for form in method.returns.asked_forms if given.pop(form, False)],
    )
    asked = _asked(method, given, chosen, said, voice)
    if chosen is not None and any(option.name == "seed" for option in method.options):
        given["seed"] = chosen.seed
    job = _Job(method, asked, drawing, voice)
    several = given.pop("images") if isinstance(given.get("images"), tuple) else None
    places = target.places(several=several is not None and len(several) > 1)
    if several is None:
        job.one(given, places)
    for number, image in enumerate(several or (), 1):
        if len(several or ()) > 1:
            voice.detail(f"{number} of {len(several or ())}: {printable(image)}")
        try:
            job.one({**given, "images": image}, places)
        except TriscopeError as error:
            voice.failure(printable(image), error)
    voice.close(command=method.command, network=job.network_name)


@dataclass(frozen=True)
class Drawing:
    """How results are drawn and written: a heatmap's style, a file for frames, and the forms that are asked for."""

    style: Style | None
    frames: str | None
    forms: Sequence[str]


def _asked(
    method: Method[Any], given: dict[str, Any], chosen: Chosen | None, said: Said, voice: Voice
) -> Network | list[Network] | Store:
    """The network or the store that is asked; a unit that it does not have is refused once, before anything else."""
    if chosen is None:
        store = Store.open(given.pop("store"))
        if said:
            store.ask(said)
        return store
    network = chosen.load(voice)
    if method.takes("objective") and given.get("objective") is not None:
        question(given["objective"]).bind(network)
    beside = given.pop("beside", ())
    return [network, *(chosen.beside(name).load(voice) for name in beside)] if beside else network


@dataclass
class _Job:
    """What all results of one command have in common."""

    method: Method[Any]
    asked: Network | list[Network] | Store
    drawing: Drawing
    voice: Voice

    @property
    def network_name(self) -> str:
        """The networks that were asked."""
        if isinstance(self.asked, Store):
            return self.asked.about.network
        return "-".join(one.name for one in (self.asked if isinstance(self.asked, list) else [self.asked]))

    def one(self, given: Mapping[str, Any], places: Places) -> None:
        """One call: from words to what is written and told."""
        name = "store" if isinstance(self.asked, Store) else "network"
        paths = self._paths(given, places)
        moving = Frames(self.drawing.frames) if self.drawing.frames else None
        arguments = {key: _read(self.method, key, value) for key, value in given.items()}
        start = time.perf_counter()
        last: Step[Any] | None = None
        stored = in_words(self.asked) if isinstance(self.asked, Store) else nullcontext()
        try:
            with stored:
                for step in watched(self.method.steps(**{name: self.asked}, **arguments), self.voice):
                    last = step
                    if moving:
                        moving.add(step.index, step.total, step.result)
        finally:  # what there is by then is the result, also where the job was interrupted
            if last is not None:
                self._give(last, paths, moving, given, time.perf_counter() - start)

    def _paths(self, given: Mapping[str, Any], places: Places) -> list[Path | None]:
        """Where the result goes, once for each form; None is stdout, and nothing where a table on stdout is all."""
        if places.to_stdout:
            return [None]
        kind = self.method.returns
        if places.out is None and not kind.written:
            return []
        out = None if places.out is None else Path(places.out)
        forms = [f".{form}" for form in self.drawing.forms]
        parts = name_parts(self.method, self.asked, given)
        if out is None or places.several or out.is_dir() or not out.suffix:
            return [places.find(parts, form) for form in forms or [kind.usual_form]]
        return [places.at(path) for path in dict.fromkeys([out, *(out.with_suffix(form) for form in forms)])]

    def _give(
        self,
        step: Step[Any],
        paths: Sequence[Path | None],
        moving: Frames | None,
        given: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """Write a result, and tell of it."""
        result, voice = step.result, self.voice
        for note in result.notes:
            voice.note(f"note: {note}")
        written = [path for path in paths if result.drawable]
        for path in written:
            put(self._styled(result, path), path)
        animation = moving.save() if moving else None
        voice.detail(f"{self.method.command} took {seconds:.2f} s")
        for line in result.details:
            voice.detail(line)
        facts = {
            "image": printable(given["images"]) if isinstance(given.get("images"), str) else None,
            **result.summary(),
            "frames": None if animation is None else printable(animation),
            "steps": step.index if self.method.long else None,
            "of": step.total if self.method.long else None,
        }
        facts = {name: value for name, value in facts.items() if value is not None}
        text = result.text()
        if text is not None and (result.written or not written):
            path = next(iter(written), None)
            voice.result(facts | {"out": None if path is None else printable(path)}, None if paths == [None] else text)
            if path is not None:
                voice.note(f"images in {printable(path)}")
            return
        for path in written:
            voice.result(facts | {"out": None if path is None else printable(path)}, path)

    def _styled(self, result: Result, path: Path | None) -> Result:
        raw = path is not None and path.suffix.lower() == ".npy"
        style = self.drawing.style
        return (
            result.styled(style) if isinstance(result, Heatmap) and style not in (None, "heat") and not raw else result
        )


def name_parts(method: Method[Any], asked: Network | list[Network] | Store, given: Mapping[str, Any]) -> list[str]:
    """What a result's file is named after: what was asked, by which command, about what."""
    unit = given.get("objective")
    layer = given.get("layer")
    told = [str(text) for text in (unit, layer) if text]
    pictures = [_stem(value) for name, value in given.items() if name in ("images", "content", "query")]
    style = [_stem(one) for one in given.get("style", ())]
    if pictures:
        return [*pictures, method.command, *told, *style]
    if isinstance(asked, Store):
        return [*(told[:1] if unit else [_folder(asked)]), method.command, *told[bool(unit) :]]
    if method.takes("objective"):
        return [method.command, *told]
    names = "-".join(one.name for one in (asked if isinstance(asked, list) else [asked]))
    return [names, method.command, *told]


def watched(steps: Iterator[Step[Any]], voice: Voice) -> Iterator[Step[Any]]:
    """The steps, with a line of progress on stderr where somebody watches."""
    seen = sys.stderr.isatty() and not voice.quiet
    start = shown = time.perf_counter()
    first = 0
    try:
        for step in steps:
            now = time.perf_counter()
            first = first or step.index - 1
            if seen and step.total > 1 and (now - shown > 0.2 or step.index == step.total):
                click.echo(f"\r\x1b[K{progress(step, now - start, first)}", err=True, nl=False)
                shown = now
            yield step
    finally:
        if seen and shown != start:
            with suppress(OSError):
                click.echo(err=True)


def progress(step: Step[Any], seconds: float, first: int = 0) -> str:
    """Where a job that began after step `first` stands after `seconds`: step, score, rate, time left."""
    rate = (step.index - first) / max(seconds, 1e-9)
    left = (step.total - step.index) / max(rate, 1e-9)
    return f"step {step.index} of {step.total}   score {step.score:.4g}   {rate:.1f} steps/s   {_time(left)} left"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _read(method: Method[Any], name: str, value: Any) -> Any:
    """An argument's value; - as an image is what stands on stdin."""
    declared = method.inputs.get(name)
    return read_stdin() if declared and isinstance(declared.input, ImageInput) and value == STREAM else value


def _stem(value: Any) -> str:
    return "stdin" if value == STREAM else printable(Path(value).stem)


def _folder(store: Store) -> str:
    return (store.path.parent if store.path.name.startswith(".") else store.path).absolute().name
