"""The commands of the methods, made from the table: the verb with dashes, and the options of its signature."""

import re
import time
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from triscope.cli.common import (
    STREAM,
    Chosen,
    Target,
    Voice,
    gathered,
    network_options,
    out_options,
    put,
    read_stdin,
    saying_options,
)
from triscope.errors import TriscopeError
from triscope.images import printable
from triscope.network import Network
from triscope.objectives.parsing import question
from triscope.results import Grid, Heatmap, Ranking, Result, Style
from triscope.verbs import METHODS, Method

_STYLES = get_args(Style)


def command(name: str) -> click.Command:
    """The command of the method of this name."""
    verb = next(method for method in METHODS.values() if method.command == name)
    params: list[click.Parameter] = []
    if verb.takes("images"):
        params.append(click.Argument(["images"], nargs=-1, required=True, metavar="IMAGE..."))
    if verb.takes("objective"):
        params.append(
            click.Option(
                ["-u", "--unit", "objective"],
                metavar="UNIT",
                help="what is asked: a class, LAYER:CHANNEL, or LAYER:CHANNEL@ROW,COLUMN  [default: the top class]",
            )
        )
    if verb.takes("layer"):
        params.append(
            click.Option(
                ["--layer"],
                metavar="LAYER",
                required=verb.requires("layer"),
                help="one of those that `triscope layers` lists",
            )
        )
    params += [option_of(option) for option in verb.options]
    if verb.returns is Heatmap:
        params.append(
            click.Option(
                ["--style"],
                type=click.Choice(_STYLES),
                default="heat",
                show_default=True,
                help="the map by itself, over the picture, or beside it",
            )
        )
    if not verb.takes("images"):
        params.append(
            click.Option(
                ["--beside"], multiple=True, metavar="NAME", help="another network, shown beside; may be repeated"
            )
        )
    params += [*network_options(), *out_options(), *saying_options()]
    run = _ask_pictures if verb.takes("images") else _ask_networks
    return click.Command(
        name, callback=gathered(partial(run, verb)), params=params, help=help_of(verb), epilog="- as IMAGE reads stdin."
    )


def _ask_pictures(
    verb: Method[Any, Any],
    *,
    images: tuple[str, ...],
    chosen: Chosen,
    target: Target,
    voice: Voice,
    style: Style | None = None,
    **options: Any,
) -> None:
    """One result for each picture; one that fails does not stop the others."""
    writes = verb.returns is not Ranking or target.out is not None
    places = target.places(several=len(images) > 1)
    network = chosen.load(voice)
    unit = options.get("objective")
    if "objective" in options:
        question(unit).bind(network)  # a unit that does not exist is said once, not for every picture
    told = [text for text in (unit, options.get("layer")) if text]
    for number, image in enumerate(images, 1):
        name = "stdin" if image == STREAM else printable(Path(image).stem)
        if len(images) > 1:
            voice.detail(f"{number} of {len(images)}: {printable(image)}")
        try:
            path = places.find([name, verb.command, *told], _suffix(verb)) if writes and not places.to_stdout else None
            start = time.perf_counter()
            result = verb(network, read_stdin() if image == STREAM else image, **options)
            voice.detail(f"{verb.command} took {time.perf_counter() - start:.2f} s")
            _give(result, path, style, voice, {"image": printable(image)}, writes=writes)
        except TriscopeError as error:
            voice.failure(printable(image), error)
    voice.close(command=verb.command, network=network.name)


def _ask_networks(
    verb: Method[Any, Any],
    *,
    beside: tuple[str, ...],
    chosen: Chosen,
    target: Target,
    voice: Voice,
    **options: Any,
) -> None:
    """One result for one network, or for several side by side."""
    networks = [chosen.load(voice)]
    networks += [chosen.beside(name).load(voice) for name in beside]
    places = target.places()
    told = [text for text in (options.get("layer"),) if text]
    names = [network.name for network in networks]
    path = None if places.to_stdout else places.find(["-".join(names), verb.command, *told])
    asked: Network | list[Network] = networks[0] if len(networks) == 1 else networks
    _give(verb(asked, **options), path, None, voice, {"networks": names}, writes=True)
    voice.close(command=verb.command)


def _give(
    result: Result, path: Path | None, style: Style | None, voice: Voice, facts: dict[str, Any], *, writes: bool
) -> None:
    """Save a result, and tell of it."""
    if isinstance(result, Heatmap):
        facts |= {
            "asked": list(result.asked),
            "unit": str(result.objective),
            "score": result.scores.tolist(),
            "scale": result.scale,
            "notes": list(result.notes),
        }
        for note in result.notes:
            voice.note(f"note: {note}")
        if path is None or path.suffix.lower() != ".npy":
            voice.detail(f"{result.asked[0]}: score {result.scores[0]:.4g}, full colour at {result.scale:.3g}")
    if isinstance(result, Grid):
        facts["note"] = result.note
    text: Path | str | None = path
    if isinstance(result, Ranking):
        facts["classes"] = result.rows()[0]
        text = str(result) if not writes else path
    if writes:
        raw = path is not None and path.suffix.lower() == ".npy"
        put(
            result.styled(style) if isinstance(result, Heatmap) and style and style != "heat" and not raw else result,
            path,
        )
        facts["out"] = None if path is None else printable(path)
    voice.result(facts, text)


def _suffix(verb: Method[Any, Any]) -> str:
    return ".json" if verb.returns is Ranking else ".png"


def option_of(option: Any) -> click.Option:
    """A method's option as click's."""
    name = f"--{option.name.replace('_', '-')}"
    kind: click.ParamType[Any] | type = option.type
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.range is not None:
        span = click.IntRange if option.type is int else click.FloatRange
        kind = span(option.range.least, option.range.most)
    declared = f"{name}/--no-{name.removeprefix('--')}" if option.type is bool else name
    return click.Option(
        [declared, option.name],
        type=None if option.type is bool else kind,
        default=option.default,
        show_default=option.default is not None,
        help=option.help,
    )


def help_of(verb: Method[Any, Any]) -> str:
    """The docstring without its lines on options, which click shows in its own place."""
    return re.sub(r"(?m)^\w+ {3,}\S.*\n?(^ {4,}.*\n?)*", "", (verb.__doc__ and _dedent(verb.__doc__)) or "").strip()


def _dedent(text: str) -> str:
    first, _, rest = text.partition("\n")
    return first + "\n" + "\n".join(line.removeprefix("    ") for line in rest.splitlines())
