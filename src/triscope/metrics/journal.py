"""A journal: the numbers of a judgement on disk as soon as they are known, so that a job that was killed goes on.

One JSON object a line. The first says of which job it is; each other holds the numbers of one map of one image. A line
that was cut off is dropped. Images are known by what the network saw of them, so files may be moved and photos added.
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
    """The numbers known so far, by image, question and map.

    `path` is the file, made where there is none; without one nothing is kept. `job` is what must not change while a job
    goes on. Raises OptionError where the file is something else, of another job, or cannot be written.
    """

    def __init__(self, path: Path | None, job: Mapping[str, str]) -> None:
        self._path = path
        self._known: dict[Key, dict[Number, float]] = {}
        if path is not None:
            self._open(path, {"triscope": "judgement", **job})

    def known(self, key: Key, numbers: Sequence[Number]) -> list[float] | None:
        """The numbers of a map, where all of them are known."""
        found = self._known.get(key, {})
        return [found[number] for number in numbers] if all(number in found for number in numbers) else None

    def missing(self, key: Key, numbers: Sequence[Number]) -> list[Number]:
        """Those that are not known yet."""
        return [number for number in numbers if number not in self._known.get(key, {})]

    def add(self, key: Key, name: str, found: Mapping[Number, float]) -> None:
        """Note the numbers of a map of the image of that name; they are on disk when this returns."""
        self._known.setdefault(key, {}).update(found)
        if self._path is not None:
            image, asked, row = key
            values = {number: None if math.isnan(value) else value for number, value in found.items()}
            self._write({"image": name, "digest": image, "asked": asked, "map": row, "numbers": values})

    def _open(self, path: Path, job: Mapping[str, str]) -> None:
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise OptionError(f"{printable(path)} cannot be read: {error.strerror}.") from error
        whole = data[: data.rfind(b"\n") + 1]  # a line that was cut off when the job was killed is left out
        if not whole.strip():
            if data and not data.startswith(b'{"triscope"'):
                raise _no_journal(path)
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
            raise _no_journal(path) from error
        if not isinstance(before, dict) or before.get("triscope") != "judgement":
            raise _no_journal(path)
        for name, value in job.items():
            if before.get(name) != value:
                raise OptionError(
                    f"{printable(path)} holds another judgement: its {name} was {printable(str(before.get(name)))}, "
                    f"and is {value} now. Name another file, or delete it."
                )

    def _read(self, path: Path, line: bytes) -> None:
        try:
            found = json.loads(line)
            key = (str(found["digest"]), str(found["asked"]), str(found["map"]))
            values = {number: math.nan if one is None else float(one) for number, one in found["numbers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(f"{printable(path)} is damaged; name another file, or delete it.") from error
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


def _no_journal(path: Path) -> OptionError:
    return OptionError(
        f"{printable(path)} is not a checkpoint of a judgement that can be read; name a file that does not exist yet."
    )


def digest(*tensors: Tensor | None) -> str:
    """What an image, and what goes with it, is known by."""
    found = hashlib.blake2b(digest_size=12)
    for tensor in tensors:
        if tensor is not None:
            found.update(str(tuple(tensor.shape)).encode())
            found.update(tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
