"""Stores in the words of the command line: what a store does not keep is told with the command that adds it."""

from collections.abc import Iterator
from contextlib import contextmanager

from triscope.errors import LayerNotKept, StoreError
from triscope.which.advice import with_command


@contextmanager
def in_words() -> Iterator[None]:
    """What is not kept is said with the command that adds it, and not with a call."""
    try:
        yield
    except LayerNotKept as error:
        raise StoreError(with_command(error)) from error
