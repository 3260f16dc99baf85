"""Errors about stores on the command line: what a store does not keep comes with the command that adds it."""

from collections.abc import Iterator
from contextlib import contextmanager

from triscope.errors import LayerNotKept, StoreError
from triscope.which.advice import with_command


@contextmanager
def in_words() -> Iterator[None]:
    """Errors about a layer that is not kept name the shell command that adds it."""
    try:
        yield
    except LayerNotKept as error:
        raise StoreError(with_command(error)) from error
