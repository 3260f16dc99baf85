"""Checkpoints: an ascent is saved and resumed, with the same final image.

A file holds the state of an ascent, its identity (all that shapes the image, see `identity`), the caller's options, and
its number of steps. Only the same job may be resumed from it, with as many steps or with more.
"""

import io
import pickle
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from triscope.errors import OptionError, TriscopeWarning
from triscope.images import printable
from triscope.results import write_file
from triscope.what.optimisation.identity import Part

_LARGE = 100 * 2**20  # bytes
#: The suffixes of a checkpoint's name where a job has several: of octaves and stages, photos, and noises.
_BESIDE = re.compile(r"(\.(\d+|picture\d+|start\d+))+")
#: Options that may change when a job is resumed.
_FREE = ("steps", "checkpoint")
_NOTHING = "left out"


@dataclass(frozen=True)
class Saved:
    """An ascent as a checkpoint holds it. `options` are the caller's, as words; `steps` is the total."""

    identity: Mapping[str, Part]
    options: Mapping[str, str]
    steps: int
    state: Mapping[str, Any]


def beside(checkpoint: str | Path | None, name: str | int) -> Path | None:
    """The file of one part of a job that is saved at `checkpoint`."""
    return None if checkpoint is None else Path(f"{checkpoint}.{name}")


def saved_steps(path: Path | None) -> int | None:
    """How many steps the ascent at `path` was to make; None where nothing is there."""
    saved = None if path is None else _read(path, mapped=True)
    return None if saved is None else saved.steps


def write_checkpoint(path: Path, saved: Saved) -> None:
    """Write an ascent; whole or not at all. Warns (TriscopeWarning) where the first file of a job is large."""
    buffer = io.BytesIO()
    identity = {name: astuple(part) for name, part in saved.identity.items()}
    torch.save({"identity": identity, "options": saved.options, "steps": saved.steps, "state": saved.state}, buffer)
    size = buffer.tell()
    if size > _LARGE and not path.exists():
        warnings.warn(f"The checkpoint {printable(path)} takes {size / 2**20:,.0f} MB.", TriscopeWarning, stacklevel=2)
    write_file(path, buffer.getvalue())


def read_checkpoint(path: Path, identity: Mapping[str, Part], options: Mapping[str, Any], steps: int) -> Saved | None:
    """The ascent saved at `path`, or None where nothing is there. Nothing in the file is run.

    Raises OptionError where it is no checkpoint, or that of another job: it says which options differ, and how.
    """
    saved = _read(path)
    if saved is None:
        return None
    name = printable(path)
    if saved.steps > steps:
        before, now = saved.options.get("steps", str(saved.steps)), worded(options).get("steps", str(steps))
        raise OptionError(
            f"{name} is the checkpoint of a job of more steps: steps was {before}, and is {now}. A job can be "
            "continued with more steps, not with fewer; name another file, or delete it."
        )
    known = saved.identity
    other = [key for key, part in identity.items() if key not in known or not part.agrees(known[key])]
    if other:
        told = _differing(saved.options, worded(options)) or _said(other[0], identity, known)
        raise OptionError(f"{name} is the checkpoint of another job: {told}. Name another file, or delete it.")
    return saved


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The options that differ, in words."""
    values = {name: (before.get(name, _NOTHING), now.get(name, _NOTHING)) for name in (*now, *before)}
    told = (
        f"{name} was {old}, and is {new}" for name, (old, new) in values.items() if name not in _FREE and old != new
    )
    return "; ".join(told)


def _said(name: str, now: Mapping[str, Part], before: Mapping[str, Part]) -> str:
    """What else differs, in words."""
    old, new = before[name].shown if name in before else _NOTHING, now[name].shown
    return f"{name} was {old}, and is {new}" if old != new else f"{name}, {new}, is not the same in every number"


def remove_checkpoints(checkpoint: str | Path) -> list[Path]:
    """Delete the files of a job that is saved at `checkpoint`, and nothing else; returns those that there were."""
    first = Path(checkpoint)
    names = sorted(one for one in first.parent.glob(f"{_literal(first.name)}*") if one.is_file())
    found = [one for one in names if one == first or _BESIDE.fullmatch(one.name.removeprefix(first.name))]
    removed = []
    for one in found:
        if _is_checkpoint(one):
            with suppress(OSError):  # a folder that takes no changes keeps its files
                one.unlink()
                removed.append(one)
    return removed


def worded(options: Mapping[str, Any]) -> dict[str, str]:
    """Options as text."""
    return {name: _word(value) for name, value in options.items()}


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_word, value))
    return _NOTHING if value is None else str(value)


def _literal(name: str) -> str:
    """A file's name as `glob` finds it and nothing else."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _is_checkpoint(path: Path) -> bool:
    try:
        return _read(path, mapped=True) is not None
    except OptionError:
        return False


def _read(path: Path, *, mapped: bool = False) -> Saved | None:
    """What is saved at `path`, where something is; `mapped` reads no tensor before it is used."""
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
        identity = {
            name: Part(text, tuple(numbers), shown) for name, (text, numbers, shown) in saved["identity"].items()
        }
        return Saved(identity, saved["options"], int(saved["steps"]), saved["state"])
    except (
        OSError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise OptionError(
            f"{printable(path)} is not a checkpoint that can be read; name a file that does not exist yet."
        ) from error
