"""The command that makes an image of every channel of some layers in a folder: units."""

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from triscope.cli.build import help_of, option_of
from triscope.cli.common import Console, NetworkChoice, network_options, saying_options, with_shared_options
from triscope.cli.plain import PlainOption
from triscope.cli.ray_words import ray_on_stderr, ray_options, read_ray
from triscope.cli.shards import read_shard, shard_option
from triscope.cli.stores import in_words
from triscope.errors import StoreError
from triscope.images import printable
from triscope.images.writing import require_folder
from triscope.unit_folder import UnitFolder
from triscope.unit_folder.making import UnitProgress, make_units
from triscope.watching import ProgressDisplay
from triscope.what.units import units
from triscope.which.store import Store


def command(name: str) -> click.Command:
    """The command."""
    params: list[click.Parameter] = [
        click.Argument(["layers"], nargs=-1, required=True, metavar="LAYER..."),
        click.Option(
            ["-o", "--out", "out"], metavar="DIR", default="units", show_default=True,
            help="the folder to write; existing work in it is resumed",
        ),
    ]  # fmt: skip
    params += [option_of(option) for option in units.options if option.name != "seed"]
    params += [
        click.Option(
            ["--store"], metavar="STORE",
            help="a store, or its folder of images: also save the patches that activate each unit most",
        ),
        PlainOption(["-k"], type=click.IntRange(1, 100), default=9, show_default=True, help="patches per unit"),
        click.Option(
            ["--form"], type=click.Choice(["webp", "png"]), default="webp", show_default=True,
            help="file format of the images",
        ),
        shard_option(),
        *ray_options(),
        *network_options(["size"]),
        *saying_options(),
    ]  # fmt: skip
    text = f"""{help_of(units)}

    \b
    triscope units features.9 -o units/
    triscope units features.4 features.9 -o units/ --store photos/ --size 96 --steps 128

    Finished images are kept: after an interruption, the same command resumes. `triscope layers` lists the layers.
    """
    return click.Command(name, callback=with_shared_options(_run), params=params, help=text.replace("\n    ", "\n"))


def _run(
    *,
    layers: tuple[str, ...],
    out: str,
    store: str | None,
    k: int,
    form: str,
    shard: str,
    ray: str | None,
    ray_cpus: float,
    ray_gpus: float,
    chosen: NetworkChoice,
    console: Console,
    **options: Any,
) -> None:
    """Progress on stderr, the folder on stdout."""
    part, cluster = read_shard(shard), read_ray(ray, ray_cpus, ray_gpus)
    require_folder(Path(out))
    network = chosen.load(console)
    opened = None if store is None else Store.open(store, network)
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    steps = make_units(
        network, layers, out, store=opened, k=k, shard=part, form=f".{form}", workers=cluster, seed=chosen.seed,
        **given,
    )  # fmt: skip
    with in_words(), ray_on_stderr(cluster), closing(steps):
        last = told(steps, out, console)
    folder = UnitFolder.open(out)
    silent = sum(one.score is None for one in folder.units)
    facts: dict[str, Any] = {
        "folder": printable(out),
        "units": len(folder),
        "silent": silent,
        "seconds": round(last.seconds, 2),
    }
    facts |= {"nodes": list(last.nodes)} if last.nodes else {}
    for node in last.nodes:
        console.note(node)
    if silent:
        console.note(f"{silent} had no gradient and have no image; units.json says which")
    console.result(facts, f"{len(folder)} units in {printable(out)}")
    console.close(command="units", network=network.name)


def told(steps: Iterable[UnitProgress], out: str, console: Console) -> UnitProgress:
    """Run the steps, showing progress; after an interruption, report what is kept."""
    display, last = ProgressDisplay(quiet=console.quiet), UnitProgress(0, 0, 0, "images")
    noted: set[str] = set()
    try:
        for last in steps:
            display.update(str(last), last.part)
            for note in last.notes:
                if note not in noted:
                    noted.add(note)
                    console.note(f"note: {note}")
    finally:
        display.close()
        _keep(out, console)
    return last


def _keep(out: str, console: Console) -> None:
    """Record what is kept, for the message after an interruption."""
    try:
        count = len(UnitFolder.open(out))
    except StoreError:
        return
    if count:
        console.keep(f"{count} units in {printable(out)}; the same command resumes from there")
