"""The command that makes and updates a store: index."""

from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from triscope.cli.common import (
    Console,
    NetworkChoice,
    network_options,
    saying_options,
    with_shared_options,
)
from triscope.cli.plain import PlainOption
from triscope.cli.ray_words import ray_on_stderr, ray_options, read_ray
from triscope.cli.shards import read_shard, shard_option
from triscope.cli.stores import in_words
from triscope.images import printable
from triscope.images.foreign import RAW_ENDINGS
from triscope.network import Network
from triscope.network.loading.recorded import Said
from triscope.watching import ProgressDisplay
from triscope.which.collection import Collection
from triscope.which.database.location import store_for
from triscope.which.indexing.index import Pace, Progress
from triscope.which.indexing.index import index as index_steps
from triscope.which.store import Store


def command(name: str) -> click.Command:
    """The command."""
    params: list[click.Parameter] = [
        click.Argument(["source"], metavar="DIR"),
        click.Option(
            ["--layer", "layers"], multiple=True, metavar="LAYER",
            help="a layer to store, also in an existing store; may be repeated  "
            "[default: those kept before, or a few from the first to the last, and the classes]",
        ),
        click.Option(
            ["--maps"], multiple=True, metavar="LAYER",
            help="a layer whose full activation maps are stored as well; may be repeated",
        ),
        click.Option(["--store", "path"], metavar="PATH", help="the store's folder  [default: DIR/.triscope]"),
        shard_option(),
        click.Option(
            ["--precision"], type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True,
            help="number format: float32, bfloat16, or auto (bfloat16 if the processor supports it natively)",
        ),
        click.Option(
            ["--exact-preprocess"], is_flag=True, help="torchvision's published transform, exact to the bit; slower",
        ),
        PlainOption(
            ["--batch"], type=click.IntRange(1, 4096), default=64, show_default=True,
            help="number of images per forward pass",
        ),
        click.Option(["--refit"], is_flag=True, help="fit the principal components used by searches again"),
        click.Option(
            ["--ivf"], multiple=True, metavar="LAYER",
            help="build an IVF index, for fast neighbour searches in this layer among millions; may be repeated",
        ),
        *ray_options(),
        click.Option(["--list-errors"], is_flag=True, help="list the images that cannot be used, with the reasons"),
    ]  # fmt: skip
    params += [*network_options(), *saying_options()]
    text = """Compute and store a network's features for every image in a folder.

    \b
    triscope index photos/ -m alexnet
    triscope neighbors cat.jpg photos/

    DIR is a folder, a pattern ('photos/**/*.jpg'), or a CSV file with one image per row, whose other columns are kept
    as metadata. Images that are already stored are skipped, so indexing can be interrupted and resumed.
    """
    return click.Command(
        name, callback=with_shared_options(_run_index), params=params, help=text.replace("\n    ", "\n")
    )


def _run_index(
    *,
    source: str,
    layers: tuple[str, ...],
    maps: tuple[str, ...],
    path: str | None,
    shard: str,
    ivf: tuple[str, ...],
    list_errors: bool,
    batch: int,
    ray: str | None,
    ray_cpus: float,
    ray_gpus: float,
    chosen: NetworkChoice,
    console: Console,
    **options: Any,
) -> None:
    """Progress on stderr, what is stored on stdout."""
    collection = Collection(source)
    place = store_for(source, path)
    network = _network(place, chosen, console)
    cluster = read_ray(ray, ray_cpus, ray_gpus)
    steps = index_steps(
        network, collection, place, layers=layers, maps=maps, shard=read_shard(shard), pace=Pace(batch, cluster),
        **options,
    )  # fmt: skip
    with ray_on_stderr(cluster):
        last = _tell(steps, place, console)
    store = Store.open(place)
    with in_words():
        for layer in ivf:
            store.add_index(layer)
    good, errors = len(store), store.errors()
    facts: dict[str, Any] = {
        "store": printable(place),
        "pictures": good,
        "unusable": len(errors),
        "seconds": round(last.seconds, 2),
    }
    facts |= {"nodes": list(last.nodes)} if last.nodes else {}
    facts |= {"removed": last.removed, "left_out": dict(collection.left_out)}
    if list_errors or console.as_json:
        facts["errors"] = [{"name": name, "error": error} for name, error in errors]
    if list_errors and not console.as_json:
        for name, error in errors:
            click.echo(f"{name}\t{error}")
    elif errors:
        console.note(f"{len(errors)} cannot be used; --list-errors lists them with the reasons")
    if collection.left_out:
        console.note(_left_out(collection.left_out))
    for node in last.nodes:
        console.note(node)
    if last.removed:
        console.note(f"{last.removed} removed, because their files are gone")
    console.result(facts, None if list_errors else f"{good} images in {printable(place)}")
    console.close(command="index", network=network.name)


def _left_out(endings: Mapping[str, int]) -> str:
    """How many files of a folder were no images, by their endings."""
    total = sum(endings.values())
    told = ", ".join(f"{ending or 'no ending'} {count}" for ending, count in endings.items())
    raw = any(ending in RAW_ENDINGS for ending in endings)
    hint = "; raw photos are read with rawpy: pip install 'triscope[raw]'" if raw else ""
    return f"{total} other file{' was' if total == 1 else 's were'} left out: {told}{hint}"


def _network(place: Path, chosen: NetworkChoice, console: Console) -> Network:
    """The network that is named; or where none is, that of the existing store."""
    source = click.get_current_context().get_parameter_source("model")
    named = source is not ParameterSource.DEFAULT or chosen.arch is not None
    if named or not (place / "rows.lance").is_dir():
        return chosen.load(console)
    store = Store.open(place)
    store.ask(Said(weights=chosen.weights, device=chosen.device))
    return store.network


def _tell(steps: Generator[Progress], place: Path, console: Console) -> Progress:
    """Run the steps, showing progress; after an interruption, report what is stored."""
    display, last = ProgressDisplay(quiet=console.quiet), Progress()
    try:
        with closing(steps):
            for last in steps:
                display.update(str(last), last.done / max(1, last.total))
    finally:
        display.close()
        if (place / "rows.lance").is_dir() and (stored := len(Store.open(place))):
            console.keep(f"{stored} images in {printable(place)}; the same command resumes from there")
    return last
