"""The page of a network's units as a static site: `triscope app --export`."""

from contextlib import closing
from pathlib import Path

from triscope.cli.common import Console, NetworkChoice
from triscope.cli.stores import in_words
from triscope.cli.units import told
from triscope.errors import OptionError
from triscope.images import printable
from triscope.unit_folder.making import make_units
from triscope.web.frozen.export import export_app
from triscope.which.store import Store

_SIZE, _STEPS = 128, 128  # of units that are made for a site


def export_site(
    site: str,
    units: str | None,
    layers: tuple[str, ...],
    source: str | None,
    chosen: NetworkChoice,
    console: Console,
) -> None:
    """Write the site; the units of `layers` are made first, into a folder in it, unless there are `units`."""
    if (units is None) == (not layers):
        raise OptionError(
            "A site shows units: name the folder that `triscope units LAYER -o DIR` made with --units DIR, or the "
            "layers whose units are to be made now with --layer."
        )
    if units is None:
        units = str(Path(site) / "units")
        network = chosen.load(console)
        store = None if source is None else Store.open(source, network)
        with (
            in_words(),
            closing(
                make_units(network, layers, units, store=store, size=_SIZE, steps=_STEPS, seed=chosen.seed)
            ) as steps,
        ):
            told(steps, units, console)
    first = export_app(units, site)
    console.result({"site": printable(first)}, first)
    console.close(command="app")
