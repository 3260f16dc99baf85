"""Writing to stdout, which may be a full disk."""

import contextlib
import os
import sys

from triscope.errors import OptionError


def write_stdout(data: bytes) -> None:
    """Write bytes to stdout, all of them. Raises OptionError where it does not take them."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        forget_stdout()
        raise OptionError(f"stdout cannot be written: {error.strerror}.") from error


def forget_stdout() -> None:
    """Discard what stdout has not taken, so that Python does not try again, and fail, when it exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
