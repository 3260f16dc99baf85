"""The journal of a judgement: its checkpoint file, to which numbers are appended as soon as they are computed.

One JSON object per line. The first describes the job; each other line holds the numbers of one map of one image. An
incomplete last line, as a killed job leaves it, is dropped. Images are identified by a hash of the preprocessed pixels,
so files may be renamed and photos added between runs.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from triscope.errors import OptionError
from triscope.images import printable
from triscope.metrics.judgement import Number

Key = tuple[str, str, str]


class Journal:
    """The numbers computed so far, by image, objective and map.

    `path` is the file, created if it does not exist; None keeps the numbers in memory only. `job` are the settings that
    must be the same when a job is resumed. Raises OptionError if the file is not a journal, belongs to another job, or
    cannot be written.
    """

    def __init__(self, path: Path | None, job: Mapping[str, str]) -> None:
        self._path = path
        self._known: dict[Key, dict[Number, float]] = {}
        if path is not None:
            self._open(path, {"triscope": "judgement", **job})

    def known(self, key: Key, numbers: Sequence[Number]) -> list[float] | None:
        """The numbers of a map, in order; None unless all of them are known."""
        found = self._known.get(key, {})
        return [found[number] for number in numbers] if all(number in found for number in numbers) else None

    def missing(self, key: Key, numbers: Sequence[Number]) -> list[Number]:
        """The numbers of a map that are not known yet."""
        return [number for number in numbers if number not in self._known.get(key, {})]

    def add(self, key: Key, name: str, found: Mapping[Number, float]) -> None:
        """Add the numbers of a map of the image called `name`; they are on disk when this returns."""
        self._known.setdefault(key, {}).update(found)
        if self._path is not None:
            image, objective, row = key
            values = {number: None if math.isnan(value) else value for number, value in found.items()}
            self._write({"image": name, "digest": image, "asked": objective, "map": row, "numbers": values})

    def _open(self, path: Path, job: Mapping[str, str]) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise OptionError(f"{printable(path)} cannot be read: {error.strerror}.") from error
        whole = data[: data.rfind(b"\n") + 1]  # without an incomplete last line
        if not whole.strip():
            if data and not data.startswith(b'{"triscope"'):
                raise _not_a_journal(path)
            self._put(path, json.dumps(job).encode() + b"\n", "wb")
            return
        lines = whole.splitlines()
        self._check(path, lines[0], job)
        for line in lines[1:]:
            self._read(path, line)
        if len(whole) < len(data):
            os.truncate(path, len(whole))

    @staticmethod
    def _check(path: Path, line: bytes, job: Mapping[str, str]) -> None:
        try:
            before = json.loads(line)
        except ValueError as error:
            raise _not_a_journal(path) from error
        if not isinstance(before, dict) or before.get("triscope") != "judgement":
            raise _not_a_journal(path)
        for name, value in job.items():
            if before.get(name) != value:
                raise OptionError(
                    f"{printable(path)} is the checkpoint of another judgement: its {name} was "
                    f"{printable(str(before.get(name)))}, and is {value} now. Name another file, or delete this one."
                )

    def _read(self, path: Path, line: bytes) -> None:
        try:
            found = json.loads(line)
            key = (str(found["digest"]), str(found["asked"]), str(found["map"]))
            values = {number: math.nan if one is None else float(one) for number, one in found["numbers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(f"{printable(path)} is damaged; name another file, or delete this one.") from error
        self._known.setdefault(key, {}).update(values)

    def _write(self, found: Mapping[str, Any]) -> None:
        assert self._path is not None
        self._put(self._path, json.dumps(found).encode() + b"\n", "ab")

    @staticmethod
    def _put(path: Path, data: bytes, mode: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OptionError(f"{printable(path)} cannot be written: {error.strerror}.") from error


def _not_a_journal(path: Path) -> OptionError:
    return OptionError(
        f"{printable(path)} cannot be read as the checkpoint of a judgement; name a file that does not exist yet."
    )


def digest(*tensors: Tensor | None) -> str:
    """A hash of the shapes and values of tensors; None is left out."""
    found = hashlib.blake2b(digest_size=12)
    for tensor in tensors:
        if tensor is not None:
            found.update(str(tuple(tensor.shape)).encode())
            found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
