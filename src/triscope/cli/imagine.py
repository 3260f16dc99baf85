"""The commands of WHAT: long jobs, with a line of progress, frames, and what there is when they are interrupted."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from triscope.cli.common import (
    STREAM,
    Chosen,
    Places,
    Target,
    Voice,
    gathered,
    network_options,
    out_options,
    put,
    read_stdin,
    saying_options,
)
from triscope.cli.verbs import help_of, option_of
from triscope.errors import TriscopeError
from triscope.images import printable
from triscope.methods import LongMethod, Step
from triscope.network import Network
from triscope.objectives.parsing import question
from triscope.results.animation import Frames
from triscope.verbs import METHODS

_UNIT = "what is raised: a class, LAYER:CHANNEL, or LAYER:CHANNEL@ROW,COLUMN"


def command(name: str) -> click.Command:
    """The command of the long method of this name."""
    verb = next(method for method in METHODS.values() if method.command == name)
    assert isinstance(verb, LongMethod)
    params: list[click.Parameter] = []
    if verb.takes("images"):
        several = not verb.requires("objective")
        params.append(
            click.Argument(
                ["images"], nargs=-1 if several else 1, required=True, metavar="IMAGE..." if several else "IMAGE"
            )
        )
    if verb.takes("content"):
        params.append(click.Argument(["content"], metavar="CONTENT"))
        params.append(click.Argument(["style"], nargs=-1, required=True, metavar="STYLE..."))
    if verb.takes("masks"):
        text = "where a style goes: white there, black elsewhere; once for each style, in their order"
        params.append(click.Option(["--mask", "masks"], multiple=True, metavar="FILE", help=text))
    if verb.requires("objective"):
        params.append(click.Argument(["objective"], metavar="CLASS" if verb.takes("images") else "UNIT"))
    elif verb.takes("objective"):
        params.append(click.Option(["-u", "--unit", "objective"], metavar="UNIT", help=_UNIT))
    if verb.takes("layer"):
        params.append(click.Option(["--layer"], metavar="LAYER", help="one of those that `triscope layers` lists"))
    params += [option_of(option) for option in verb.options if option.name != "seed"]
    params.append(click.Option(["--frames"], metavar="FILE", help="the way there as a moving .webp, .gif or .mp4"))
    params += [*network_options(), *out_options(), *saying_options()]
    return click.Command(name, callback=gathered(partial(_run, verb)), params=params, help=help_of(verb))


def _run(
    verb: LongMethod[Any, Any],
    *,
    chosen: Chosen,
    target: Target,
    voice: Voice,
    frames: str | None,
    images: str | tuple[str, ...] | None = None,
    **options: Any,
) -> None:
    """One job, or one for each picture; one that fails does not stop the others."""
    network = chosen.load(voice)
    images = options.pop("content", images)
    several: list[str | None] = [images] if isinstance(images, str) else list(images or [])
    places = target.places(several=len(several) > 1)
    if options.get("objective") is not None:
        question(options["objective"]).bind(network)
    if any(option.name == "seed" for option in verb.options):
        options["seed"] = chosen.seed
    for image in several or [None]:
        try:
            _one(verb, network, image, options, frames, places, voice)
        except TriscopeError as error:
            if image is None or "style" in options:
                raise
            voice.failure(printable(image), error)
    voice.close(command=verb.command, network=network.name)


def _one(
    verb: LongMethod[Any, Any],
    network: Network,
    image: str | None,
    options: dict[str, Any],
    frames: str | None,
    places: Places,
    voice: Voice,
) -> None:
    stem = [] if image is None else ["stdin" if image == STREAM else printable(Path(image).stem)]
    told = [text for text in (options.get("objective"), options.get("layer")) if text]
    told += [printable(Path(one).stem) for one in options.get("style", ())]
    path = None if places.to_stdout else places.find([*stem, verb.command, *told])
    moving = Frames(frames) if frames else None
    subject = "content" if verb.takes("content") else "images"
    given = {} if image is None else {subject: read_stdin() if image == STREAM else image}
    last: Step[Any] | None = None
    try:
        for step in watched(verb.steps(network, **given, **options), voice):
            last = step
            if moving:
                moving.add(step.index, step.total, step.result)
    finally:  # the picture so far is the result, also where the job was interrupted
        if last is not None:
            _give(last, path, moving, voice, printable(image) if image else None)


def watched(steps: Iterator[Step[Any]], voice: Voice) -> Iterator[Step[Any]]:
    """The steps, with a line of progress on stderr where somebody watches."""
    seen = sys.stderr.isatty() and not voice.quiet
    start = shown = time.perf_counter()
    first = 0
    try:
        for step in steps:
            now = time.perf_counter()
            first = first or step.index - 1
            if seen and (now - shown > 0.2 or step.index == step.total):
                click.echo(f"\r\x1b[K{progress(step, now - start, first)}", err=True, nl=False)
                shown = now
            yield step
    finally:
        if seen and shown != start:
            click.echo(err=True)


def progress(step: Step[Any], seconds: float, first: int = 0) -> str:
    """Where a job that began after step `first` stands after `seconds`: step, score, rate, time left."""
    rate = (step.index - first) / max(seconds, 1e-9)
    left = (step.total - step.index) / max(rate, 1e-9)
    return f"step {step.index} of {step.total}   score {step.score:.4g}   {rate:.1f} steps/s   {_time(left)} left"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _give(step: Step[Any], path: Path | None, moving: Frames | None, voice: Voice, image: str | None) -> None:
    result = step.result
    put(result, path)
    animation = moving.save() if moving else None
    facts = {
        "image": image,
        "out": None if path is None else printable(path),
        "frames": None if animation is None else printable(animation),
        "steps": step.index,
        "of": step.total,
        "scores": result.scores.tolist(),
        "notes": list(result.notes),
    }
    if hasattr(result, "errors"):
        facts["errors"] = result.errors.tolist()
    for note in result.notes:
        voice.note(f"note: {note}")
    voice.detail(f"score {', '.join(f'{score:.4g}' for score in result.scores.tolist())} after {step.index} steps")
    voice.result({name: value for name, value in facts.items() if value is not None}, path)
