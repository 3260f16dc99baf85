"""The commands that are not methods: layers, redo, report, doctor."""

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from triscope._version import __version__
from triscope.cli.beside import beside_options, said_beside
from triscope.cli.common import (
    Callback,
    Console,
    NetworkChoice,
    network_options,
    out_options,
    read_stdin,
    recorded_options,
    saying_options,
    with_shared_options,
)
from triscope.cli.output import STREAM, Target
from triscope.errors import StoreError, TriscopeError
from triscope.images import printable
from triscope.network.loading.recorded import Said
from triscope.results import Recipe

if TYPE_CHECKING:
    from triscope.network import Network
    from triscope.reporting.blocks import Section

COMMANDS: dict[str, click.Command] = {}


def command(name: str) -> click.Command:
    """The command of this name."""
    return COMMANDS[name]


def _command(*params: click.Parameter) -> Callable[[Callback], click.Command]:
    """Make a function the callback of the command of its name, and enter that in the table."""

    def enter(callback: Callback) -> click.Command:
        name = callback.__name__
        COMMANDS[name] = click.Command(
            name, callback=with_shared_options(callback), params=list(params), help=callback.__doc__
        )
        return COMMANDS[name]

    return enter


@_command(*network_options(), *saying_options())
def layers(
    *,
    chosen: NetworkChoice,
    console: Console,
) -> None:
    """The network's layers, in the order of the forward pass: name, type, output shape, parameters, and receptive
    field.
    """
    network = chosen.load(console)
    if not console.as_json:
        click.echo(repr(network.layers))
        return
    for layer in network.layers.values():
        facts = {"name": layer.name, "type": layer.type, "shape": list(layer.shape), "parameters": layer.parameters}
        console.result(facts | {"receptive_field": str(layer.receptive_field)}, None)
    console.close(command="layers", network=network.name)


@_command(
    click.Argument(["picture"], metavar="FILE"),
    click.Option(
        ["--image", "images"],
        multiple=True,
        metavar="PATH",
        help="an input image, or the folder that holds it; may be repeated, in the order of the recipe",
    ),
    click.Option(["--store"], metavar="STORE", help="the store that was used, or its folder of images"),
    *recorded_options(),
    *beside_options(),
    *out_options(),
    *saying_options(),
)
def redo(
    *,
    picture: str,
    images: tuple[str, ...],
    store: str | None,
    beside: tuple[str, ...],
    beside_weights: tuple[str, ...],
    said: Said,
    target: Target,
    console: Console,
) -> None:
    """Recompute a saved result from the recipe in its file: byte for byte the same on the same machine.

    A recipe names files without their folders. They are searched for next to the image, in the current folder, and at
    the paths given by --image and --store. A recipe alone cannot load a Python file, a weights file or a download: name
    it with -m or --weights as well (with --beside or --beside-weights for the second of two networks).
    """
    from triscope.redoing import redo as make_again
    from triscope.results import Drawn
    from triscope.verbs import METHODS

    recipe = Recipe.of_file(picture)
    made_by = METHODS.get(recipe.method)
    places = target.places((made_by.returns if made_by else Drawn).require_ending)
    place = places.find([Path(picture).stem, "redo"], Path(picture).suffix.lower())
    start = time.perf_counter()
    with _threads(recipe.threads):
        result = make_again(picture, images=images, store=store, said=said_beside(said, beside, beside_weights))
    place.save(result)
    console.keep(place.name)
    console.detail(f"{result.recipe.method} took {time.perf_counter() - start:.2f} s")
    console.result({"from": picture, "method": result.recipe.method, "out": place.name}, place.path)
    console.close(command="redo")


@_command(
    click.Argument(["images"], nargs=-1, metavar="[IMAGE]..."),
    click.Option(
        ["--sample"],
        type=click.Choice(["cat", "coffee", "astronaut", "rocket"]),
        default="cat",
        show_default=True,
        help="the sample photo to use if no IMAGE is given",
    ),
    click.Option(
        ["--collection"],
        metavar="DIR",
        help="folder of images in which to search for neighbours and top patches; it is indexed  "
        "[default: crops of the sample photos, if no IMAGE is given]",
    ),
    *network_options(),
    *out_options(),
    *saying_options(),
)
def report(
    *,
    images: tuple[str, ...],
    sample: str,
    collection: str | None,
    chosen: NetworkChoice,
    target: Target,
    console: Console,
) -> None:
    """A report on one image, as one self-contained HTML file: predictions, filters, heatmaps, generated images,
    neighbours.

    Several images make one file each. A folder, a pattern or a store stands for all its images.
    """
    import torch

    from triscope.cli.image_words import expanded
    from triscope.images.samples import sample_photo
    from triscope.reporting import Report
    from triscope.reporting import report as make
    from triscope.reporting.sections import SECTIONS

    asked: list[str | Path] = [*expanded(images)] or [sample_photo(sample)]
    names = [printable(image) for image in asked] if images else [sample]
    places = target.places(Report.require_ending, several=len(asked) > 1)
    found = [places.find(["stdin" if name == STREAM else Path(name).stem, "report"], ".html") for name in names]
    network = chosen.load(console)
    workers = min(2, os.cpu_count() or 1)  # small steps keep more than one processor busy only so
    with tempfile.TemporaryDirectory() as scratch, _threads(max(1, torch.get_num_threads() // workers)):
        sections = (*SECTIONS, *_on_a_collection(network, collection, None if images else Path(scratch), console))
        for image, name, place in zip(asked, names, found, strict=True):
            with console.attempt(name, alone=len(asked) == 1):
                made = make(
                    network,
                    read_stdin() if image == STREAM else image,
                    sections=sections,
                    workers=workers,
                    progress=lambda title, done, total: console.note(f"{done} of {total}: {title}"),
                )
                place.save_bytes(made.html.encode(), ".html")
                console.keep(place.name)
                console.result({"image": name, "out": place.name, "seconds": made.timings}, place.path)
    console.close(command="report", network=network.name)


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """So many threads, or as many as there are processors; the process is the command's own, a library's is not."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(wanted, max(before, os.cpu_count() or 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _on_a_collection(network: "Network", folder: str | None, scratch: Path | None, console: Console) -> "list[Section]":
    """The section on a folder of images, or on parts of the samples made in `scratch`; none without either."""
    from triscope.reporting import collection

    if folder is not None:
        return [collection.section(collection.collected(network, Path(folder)), Path(folder))]
    if scratch is None:
        return []
    try:
        return [collection.section(collection.variations(network, scratch), None)]
    except TriscopeError as error:
        console.note(f"note: the section on a collection is left out: {error}")
        return []


@_command(click.Argument(["store"], metavar="STORE"), *saying_options())
def check(*, store: str, console: Console) -> None:
    """Compare every file of a store with its recorded checksum, and read every row.

    It detects files that a disk or a copy has damaged. STORE is a folder that `triscope index` made, or the folder of
    images that contains it.
    """
    from triscope.which.checking import check as look

    found = look(store)
    place = printable(found.folder)
    facts = {"store": place, "pictures": found.pictures, "same": len(found.same), "unknown": list(found.unknown)}
    told = "\n".join(f"{printable(name)}: {what}" for name, what in found.wrong.items())
    if not found.wrong:
        told = f"{found.pictures:,} images in {place}; {len(found.same)} files are as they were written"
    console.result(facts | {"wrong": found.wrong}, told)
    if found.unknown:
        console.note(f"{len(found.unknown)} files have no checksum: an older version made them, or indexing was killed")
    console.close(command="check")
    if found.wrong:
        raise StoreError(f"{place} is damaged; if there is no copy of these files, delete it and index again.")


@_command(*saying_options())
def doctor(*, console: Console) -> None:
    """What triscope finds on this machine: versions, devices, precision, and where weights are stored."""
    import torch

    from triscope.cli.threads import quickest_threads
    from triscope.network.loading._torchvision import import_torchvision
    from triscope.network.loading.pocket import weights_path
    from triscope.network.loading.zoo import cache
    from triscope.network.variants.precision import native_bfloat16

    kept = cache()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = {
        "triscope": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": torch.__version__,
        "torchvision": getattr(import_torchvision(), "__version__", "?"),
        "timm": _version("timm"),
        "devices": ", ".join(_devices()),
        "threads": f"{torch.get_num_threads()}, which wait {_waiting()}; {quickest_threads()}",
        "bfloat16": "native" if native_bfloat16(device) else "not native: float32 is used",
        "pocket": str(weights_path()) if weights_path().exists() else "missing: install triscope again",
        "published weights": f"{kept} ({len(list(kept.glob('*'))) if kept.is_dir() else 0} files)",
    }
    width = max(map(len, facts))
    console.result(facts, "\n".join(f"{key:<{width}}  {value}" for key, value in facts.items()))
    console.close(command="doctor")


def _waiting() -> str:
    """How OpenMP's threads wait for each other; asleep unless the environment says otherwise (see `__main__`)."""
    policy = os.environ.get("OMP_WAIT_POLICY", "").casefold()
    return {"passive": "asleep", "active": "spinning"}.get(policy, "as OpenMP chooses")


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    found += [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    return found + (["mps"] if torch.backends.mps.is_available() else [])


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
