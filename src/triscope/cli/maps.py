"""The commands that make maps of a store: pca and tsne."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from triscope.cli.common import Target, Voice, gathered, out_options, put, saying_options
from triscope.cli.imagine import watched
from triscope.cli.stores import in_words
from triscope.cli.verbs import help_of, option_of
from triscope.images import printable
from triscope.methods import LongMethod
from triscope.verbs import METHODS, Method
from triscope.which.maps.map import Map
from triscope.which.store import Store

_KINDS = {
    "html": "a page with the pictures on it, to zoom, search and point at  [default]",
    "png": "a picture",
    "csv": "a table: row, name, x, y, metadata",
    "parquet": "the same with the pictures in it, for embedding-atlas and others",
}


def command(name: str) -> click.Command:
    """The command of this name."""
    verb = METHODS[name]
    params: list[click.Parameter] = [click.Argument(["store"], metavar="STORE")]
    text = "one that the store keeps, or `input` for pixel space  [default: the last kept]"
    params.append(click.Option(["--layer"], metavar="LAYER", help=text))
    params += [click.Option([f"--{kind}"], is_flag=True, help=text) for kind, text in _KINDS.items()]
    params += [option_of(option) for option in verb.options]
    params += [*out_options(), *saying_options()]
    epilog = "STORE is a folder that `triscope index` made, or the folder of pictures that it stands in."
    run = gathered(partial(_map, verb))
    return click.Command(name, callback=run, params=params, help=help_of(verb), epilog=epilog)


def _map(verb: Method[Any, Map], *, store: str, target: Target, voice: Voice, **options: Any) -> None:
    """One map, in each of the forms asked for; what there is when it is interrupted."""
    kinds = [kind for kind in _KINDS if options.pop(kind)]
    opened = Store.open(store)
    paths = _paths(verb, opened, options.get("layer"), kinds, target)
    made: Map | None = None
    try:
        with in_words(opened):
            for step in _made(verb, opened, options, voice):
                made = step
    finally:
        if made is not None:
            _give(verb, made, paths, voice)
    voice.close(command=verb.command, network=opened.about.network)


def _paths(
    verb: Method[Any, Map], store: Store, layer: str | None, kinds: list[str], target: Target
) -> list[Path | None]:
    """Where the forms go; None is stdout. With --out FILE the other forms stand beside it."""
    places = target.places()
    if places.to_stdout:
        return [None]
    out = Path(target.out) if target.out else None
    if out is not None and out.suffix and not out.is_dir():
        others = [out.with_suffix(f".{kind}") for kind in kinds]
        return [Target(str(path), target.force).places().find([path.stem]) for path in dict.fromkeys([out, *others])]
    folder = store.path.parent if store.path.name.startswith(".") else store.path
    parts = [folder.absolute().name, verb.command, *([layer] if layer else [])]
    return [places.find(parts, f".{kind}") for kind in kinds or ["html"]]


def _made(verb: Method[Any, Map], store: Store, options: dict[str, Any], voice: Voice) -> Iterator[Map]:
    if not isinstance(verb, LongMethod):
        yield verb(store, **options)
        return
    for step in watched(verb.steps(store, **options), voice):
        yield step.result


def _give(verb: Method[Any, Map], made: Map, paths: list[Path | None], voice: Voice) -> None:
    for note in made.notes:
        voice.note(f"note: {note}")
    for path in paths:
        put(made, path)
        facts = {"out": None if path is None else printable(path), "pictures": len(made), "captions": made.captions}
        voice.result({**facts, **made.facts, "method": verb.name}, path)
    for caption in made.captions:
        voice.detail(caption)
