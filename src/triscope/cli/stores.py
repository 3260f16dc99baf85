"""Stores in the words of the command line: what a store does not keep is told with the command that adds it."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from triscope.errors import LayerNotKept, StoreError
from triscope.images import printable
from triscope.which.database.location import DEFAULT_NAME
from triscope.which.store import Store


@contextmanager
def in_words() -> Iterator[None]:
    """What is not kept is said with the command that adds it, and not with a call."""
    try:
        yield
    except LayerNotKept as error:
        command = [*index_command(error.store), "--maps" if error.whole else "--layer", error.layer]
        raise StoreError(f"{error.said} To add it: {printable(shlex.join(command))}") from error


def index_command(store: Store) -> list[str]:
    """The command that goes on with a store."""
    if store.path.name == DEFAULT_NAME:
        return ["triscope", "index", str(store.path.parent)]
    images = "IMAGES" if store.root is None else str(store.root / store.about.within)
    return ["triscope", "index", images, "--store", str(store.path)]
