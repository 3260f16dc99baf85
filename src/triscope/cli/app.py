"""The command that serves the live page: app."""

import logging
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from triscope.cli.beside import beside_options, networks_beside
from triscope.cli.common import (
    Console,
    NetworkChoice,
    network_options,
    saying_options,
    with_shared_options,
)
from triscope.cli.plain import PlainOption
from triscope.errors import OptionError, StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.network.loading.recorded import Said

if TYPE_CHECKING:
    from triscope.which.store import Store

_LOCAL = ("127.0.0.1", "localhost", "::1")


def command(name: str) -> click.Command:
    """The command."""
    params: list[click.Parameter] = [
        click.Argument(["source"], metavar="[FOLDER|STORE]", required=False),
        *beside_options(),
        PlainOption(["--port"], type=click.IntRange(0, 65535), default=0, help="0 picks a free one  [default: 0]"),
        click.Option(["--host"], default="127.0.0.1", show_default=True, help="the address to serve on"),
        click.Option(
            ["--allow-host"], multiple=True, metavar="NAME",
            help="another host name under which the page is reached, such as a proxy's; may be repeated",
        ),
        click.Option(
            ["--token/--no-token"], default=True, show_default=True, help="require the key in the printed address",
        ),
        click.Option(
            ["--export"], metavar="DIR", help="write the network's units as a static site, and serve nothing",
        ),
        click.Option(["--units"], metavar="DIR", help="for --export: a folder that `triscope units` made"),
        click.Option(
            ["--layer"], multiple=True, metavar="LAYER",
            help="for --export without --units: make the units of this layer first, in DIR/units; may be repeated",
        ),
        click.Option(
            ["--map", "maps"], multiple=True, type=click.Choice(["pca", "tsne"]),
            help="for --export with a collection: the maps of its photos; may be repeated  [default: pca]",
        ),
        click.Option(["--open/--no-open", "open_page"], default=True, show_default=True, help="open a browser"),
    ]  # fmt: skip
    text = """A live page in the browser: every method, interactively, on your network and photos.

    \b
    triscope app                              the bundled network and sample photos
    triscope app photos/ -m alexnet           a folder, indexed in the background
    triscope app photos/ -m my.py:net
    triscope app --export site/ --units units/

    The page is served on this machine only, to anyone who has the printed address. Ctrl-C ends it.
    """
    params += [*network_options(), *saying_options()]
    return click.Command(name, callback=with_shared_options(_run), params=params, help=text.replace("\n    ", "\n"))


def _run(
    *,
    source: str | None,
    beside: tuple[str, ...],
    beside_weights: tuple[str, ...],
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    token: bool,
    open_page: bool,
    export: str | None,
    units: str | None,
    layer: tuple[str, ...],
    maps: tuple[str, ...],
    chosen: NetworkChoice,
    console: Console,
) -> None:
    """The address on stdout; what is served until Ctrl-C. With --export, the first page of the site."""
    if export is not None:
        from triscope.cli.export import export_site

        if beside or beside_weights:
            raise OptionError("--export writes the site of one network: leave --beside out, and write one for each.")
        export_site(export, units, layer, source, maps, chosen, console)
        return
    if units is not None or layer or maps:
        raise OptionError("--units, --layer and --map say what --export DIR writes; name a folder with --export.")
    from triscope.web.microscope import Microscope, samples, some_pictures
    from triscope.web.serving import serve
    from triscope.which.database.location import store_for

    folder = Path(source) if source is not None else None
    if folder is not None and not folder.is_dir():
        raise StoreError(f"{printable(source or '')} is not a folder: give one with photos, or a store.")
    store = _store(folder, chosen)
    network = store.network if store is not None else chosen.load(console)
    networks: list[Network] = [network, *(one.load(console) for one in networks_beside(chosen, beside, beside_weights))]
    root = (store.root if store is not None else folder) or folder
    photos = some_pictures(root) if root is not None else samples()
    microscope = Microscope(networks, store, photos=photos or samples())
    if folder is not None and (store is None or store.root is not None):
        origin = store.root if store is not None else folder
        place = store.path if store is not None else store_for(folder, None)
        if origin is not None:
            microscope.index(origin, place)
    if host not in _LOCAL:
        console.note(f"note: others can reach this page at {host}; the connection is not encrypted")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a tab was closed is nothing to tell
    running = serve(microscope, host=host, port=port, token=token, hosts=allow_host)
    console.result({"url": running.url}, running.url)
    console.note("Ctrl-C ends it")
    if open_page:
        threading.Thread(target=webbrowser.open, args=(running.url,), daemon=True).start()
    try:
        running.wait()
    except KeyboardInterrupt:  # the way to end it
        console.note("closed")
    finally:
        running.close()
    console.close(command="app", network=network.name)


def _store(folder: Path | None, chosen: NetworkChoice) -> "Store | None":
    """The existing store, with the network that made it."""
    from triscope.which.database.location import existing_store
    from triscope.which.store import Store

    if folder is None:
        return None
    try:
        existing_store(folder)
    except StoreError:
        return None
    store = Store.open(folder)
    context = click.get_current_context()
    named = context.get_parameter_source("model") is not click.core.ParameterSource.DEFAULT
    store.ask(Said(model=chosen.model if named else None, weights=chosen.weights, device=chosen.device))
    return store
