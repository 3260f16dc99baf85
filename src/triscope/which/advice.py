"""Errors about layers that a store does not keep, with the command that adds them."""

import shlex

from triscope.errors import LayerNotKept
from triscope.images import printable
from triscope.which.database.location import DEFAULT_NAME
from triscope.which.store import Store


def with_command(error: LayerNotKept) -> str:
    """The message of an error, with a shell command instead of a Python call."""
    command = [*index_command(error.store), "--maps" if error.whole else "--layer", error.layer]
    return f"{error.said} To add it: {printable(shlex.join(command))}"


def index_command(store: Store) -> list[str]:
    """The command that updates a store."""
    if store.path.name == DEFAULT_NAME:
        return ["triscope", "index", str(store.path.parent)]
    images = "IMAGES" if store.root is None else str(store.root / store.about.within)
    return ["triscope", "index", images, "--store", str(store.path)]
