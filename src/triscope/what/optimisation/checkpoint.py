"""Checkpoints: a climb put down and taken up again, to the same picture."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from triscope.errors import OptionError
from triscope.images import printable
from triscope.results import write_file


def write_checkpoint(path: Path, identity: str, state: dict[str, Any]) -> None:
    """Write the state of the climb that `identity` describes; whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"identity": identity, "state": state}, buffer)
    write_file(path, buffer.getvalue())


def read_checkpoint(path: Path, identity: str) -> dict[str, Any] | None:
    """The state saved at `path`, or None where nothing is there. Nothing in the file is run.

    Raises OptionError where it is no checkpoint, or that of another climb.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        known, state = saved["identity"], saved["state"]
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError) as error:
        raise OptionError(
            f"{printable(path)} is no checkpoint that can be read; name a file that does not exist yet."
        ) from error
    if known != identity:
        raise OptionError(
            f"{printable(path)} is the checkpoint of another job: network, question, options and seed must be the "
            "same. Name another file, or delete it."
        )
    found: dict[str, Any] = state
    return found
