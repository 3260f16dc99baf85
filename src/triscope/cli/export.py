"""The page of a network's units as a static site: `triscope app --export`."""

from contextlib import closing
from pathlib import Path

from triscope.cli.common import Console, NetworkChoice
from triscope.cli.stores import in_words
from triscope.cli.units import told
from triscope.errors import OptionError
from triscope.images import printable
from triscope.unit_folder.making import make_units
from triscope.verbs import METHODS
from triscope.web.frozen.export import export_app, page_of_map
from triscope.which.store import Store

_SIZE, _STEPS = 128, 128  # of units that are made for a site


def export_site(
    site: str,
    units: str | None,
    layers: tuple[str, ...],
    source: str | None,
    maps: tuple[str, ...],
    chosen: NetworkChoice,
    console: Console,
) -> None:
    """Write the site; the units of `layers` are made first, into a folder in it, unless there are `units`."""
    if (units is None) == (not layers):
        raise OptionError(
            "A site shows units: name the folder that `triscope units LAYER -o DIR` made with --units DIR, or the "
            "layers whose units are to be made now with --layer."
        )
    if maps and source is None:
        raise OptionError("--map draws the photos of a collection: name its folder or store, too.")
    network = None if units is not None else chosen.load(console)
    store = None if source is None else Store.open(source, network)
    if units is None:
        assert network is not None
        units = str(Path(site) / "units")
        with (
            in_words(),
            closing(
                make_units(network, layers, units, store=store, size=_SIZE, steps=_STEPS, seed=chosen.seed)
            ) as steps,
        ):
            told(steps, units, console)
    drawn = [] if store is None else [METHODS[name](store) for name in dict.fromkeys(maps or ("pca",))]
    first = export_app(units, site, maps=drawn)
    for made in drawn:
        size = (first.parent / page_of_map(made)).stat().st_size
        each = f"{size / 1e6:.1f} MB, {size / len(made.rows):,.0f} bytes per photo"
        console.note(f"{made.title}: {len(made.rows):,} photos, {each}")
    console.result({"site": printable(first)}, first)
    console.close(command="app")
