"""WebDataset shards: tar files of images, each with what is known of it in a .json (or .cls, .txt) beside it.

Members whose path is the same up to the first dot of their name are one sample, as the WebDataset format has it
(https://github.com/webdataset/webdataset). Only headers are read to list them, and small members of metadata; an image
is read by its place in the tar when it is needed. What was listed is kept, compressed, so that each shard is gone
through once, and again only when it has changed.
"""

import glob
import json
import os
import re
import tarfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any

from triscope.errors import ImageError, StoreError, TriscopeWarning
from triscope.images import printable
from triscope.which.folders import PICTURES
from triscope.which.places.fields import Types, as_type, kept_names
from triscope.which.places.place import Found, Place, check_length
from triscope.which.places.remote import State, asked, common_address, filesystem, is_url, listed, opened, state_of

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LOOKED_AT = 1000  # samples by which the types of their metadata are known
_MOST_METADATA = 1 << 20  # bytes of one member
_MOST_SHARDS = 1_000_000


@dataclass(frozen=True)
class TarMember(Place):
    """A member of a tar file that is not compressed, by where it begins and how long it is."""

    container: str
    offset: int
    length: int

    def read(self) -> bytes:
        """The bytes of the member."""
        label = printable(self.container)
        check_length(self.length, f"A member of {label}")
        if is_url(self.container):
            with asked(label, ImageError):
                files, inner = filesystem(self.container)
                data: bytes = files.cat_file(inner, start=self.offset, end=self.offset + self.length)
        else:
            with opened(self.container) as file:
                file.seek(self.offset)
                data = file.read(self.length)
        if len(data) < self.length:
            raise ImageError(f"{label} is cut short: part of it is missing; download or copy it again.")
        return data


@dataclass(frozen=True)
class _Sample:
    """An image of a shard: its member, where that lies, and what stands beside it."""

    name: str
    offset: int
    length: int
    known: Mapping[str, Any]


class Shards:
    """The images of tar files, in the order in which they stand there.

    `source` is one tar file, a pattern (`shards/*.tar`), or a range (`shards/{000..999}.tar`), here or at an address.
    Raises StoreError where there is none.
    """

    kind = "tar shards"

    def __init__(self, source: str) -> None:
        self._asked = source if is_url(source) else str(Path(source).absolute())
        self.passed: Counter[str] = Counter()
        self._listed: dict[str, tuple[State, list[bytes]]] = {}
        shards = [shard for shard, _ in self._shards()]
        parents = {shard.rpartition("/")[0] for shard in shards}
        self.root = os.path.commonpath(parents) if not is_url(source) else common_address(parents)
        self.within = _relative(self._asked, self.root)
        types = Types()
        for sample in islice(self._samples(), _LOOKED_AT):
            types.see(sample[1].known)
        self._names = kept_names(types.found)
        self.fields: Mapping[str, str] = {self._names[name]: kind for name, kind in types.found.items()}

    def __iter__(self) -> Iterator[Found]:
        misfits: dict[str, int] = {}
        for shard, sample, state in self._samples():
            known = {}
            for name, kept in self._names.items():
                value = sample.known.get(name)
                known[kept] = as_type(value, self.fields[kept])
                if known[kept] is None and value is not None:
                    misfits[kept] = misfits.get(kept, 0) + 1
            version = f"{state.version or state.mtime} {state.size} {sample.offset}"
            place = TarMember(shard, sample.offset, sample.length)
            path = f"{_relative(shard, self.root)}/{sample.name}"
            yield Found(path, place, sample.length, state.mtime, known, version)
        if misfits:
            told = ", ".join(f"{name} ({count})" for name, count in misfits.items())
            warnings.warn(
                f"Metadata of another type than in the first shards are left out, as null: {told}.",
                TriscopeWarning, stacklevel=2,
            )  # fmt: skip

    def _samples(self) -> Iterator[tuple[str, _Sample, State]]:
        for shard, state in self._shards():
            if shard not in self._listed or self._listed[shard][0] != state:
                blocks: list[bytes] = []
                waiting: list[_Sample] = []
                for sample in samples(shard):
                    waiting.append(sample)
                    if len(waiting) == _LOOKED_AT:
                        blocks.append(_packed(waiting))
                        waiting = []
                self._listed[shard] = state, [*blocks, _packed(waiting)]
            for block in self._listed[shard][1]:
                for sample in json.loads(zlib.decompress(block)):
                    yield shard, _Sample(*sample), state

    def _shards(self) -> Iterator[tuple[str, State]]:
        """The tar files that there are now, and their states."""
        missing = []
        for name in _expanded(self._asked):
            try:
                yield from listed(name) if is_url(name) else _local(name)
            except StoreError:
                if not _BRACES.search(self._asked):
                    raise
                missing.append(name)
        if missing:
            raise StoreError(
                f"{len(missing)} shards of {printable(self._asked)} are missing, {printable(missing[0])} for one; name "
                "those that are there."
            )


def samples(shard: str) -> Iterator[_Sample]:
    """The images of a tar file, in order. Raises StoreError where it is no tar file, or is compressed or cut short."""
    label, met = printable(shard), set[str]()
    try:
        with opened(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for _, members in groupby(tar, key=lambda member: _key(member.name)):
                for sample in _sample([member for member in members if member.isfile()], tar):
                    if sample.name not in met:  # a tar file may hold a name twice
                        met.add(sample.name)
                        yield sample
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header that it has read
    except ImageError as error:
        raise StoreError(str(error)) from error
    except (tarfile.TarError, EOFError) as error:
        raise StoreError(
            f"{label} is not a plain tar file, or is cut short ({printable(str(error))}); a compressed one has to be "
            "unpacked (gunzip), because images are read from the middle of it."
        ) from error


def member(shard: str, name: str) -> TarMember:
    """Where a member lies, by its name. Raises ImageError where there is none."""
    try:
        for sample in samples(shard):
            if sample.name == name:
                return TarMember(shard, sample.offset, sample.length)
    except StoreError as error:
        raise ImageError(str(error)) from error
    raise ImageError(f"{printable(shard)} holds no {printable(name)} any more.")


def _sample(members: Iterable[tarfile.TarInfo], tar: tarfile.TarFile) -> Iterator[_Sample]:
    """The images among members of one key, with what stands beside them."""
    known: dict[str, Any] = {}
    images = []
    for one in members:
        name = PurePosixPath(one.name).name
        ending = name.partition(".")[2].lower()
        if name.startswith("."):
            continue
        if PurePosixPath(name).suffix.lower() in PICTURES:
            images.append(one)
        elif ending in ("json", "cls", "txt") and one.size <= _MOST_METADATA:
            file = tar.extractfile(one)
            known |= _known(ending, b"" if file is None else file.read())
    for one in images:
        yield _Sample(one.name, one.offset_data, one.size, known)


def _known(ending: str, data: bytes) -> dict[str, Any]:
    """The metadata in a member."""
    text = data.decode("utf-8", "replace").strip()
    if ending == "txt":
        return {"caption": text}
    if ending == "cls":
        return {"class_index": int(text)} if text.isdecimal() else {"class": text}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): value for name, value in found.items()} if isinstance(found, dict) else {}


def _packed(found: Iterable[_Sample]) -> bytes:
    return zlib.compress(json.dumps([(one.name, one.offset, one.length, one.known) for one in found]).encode(), 1)


def _key(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _expanded(source: str) -> Iterator[str]:
    """The names that a range such as {000..999} stands for."""
    found = _BRACES.search(source)
    if found is None:
        yield source
        return
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < _MOST_SHARDS:
        raise StoreError(
            f"{printable(source)} is not a range of shards: {{000..999}} counts from the first to the last."
        )
    for number in range(first, last + 1):
        yield from _expanded(f"{source[: found.start()]}{number:0{len(found[1])}}{source[found.end() :]}")


def _local(name: str) -> Iterator[tuple[str, State]]:
    found = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else [name]  # noqa: PTH207 - any pattern
    if not found:
        raise StoreError(f"{printable(name)} fits no file.")
    for path in found:
        try:
            known = Path(path).stat()
        except OSError as error:
            raise StoreError(f"{printable(path)} does not exist.") from error
        yield path, state_of({"size": known.st_size, "mtime": known.st_mtime})


def _relative(path: str, root: str) -> str:
    return path.removeprefix(root).lstrip("/") if is_url(path) else os.path.relpath(path, root).replace(os.sep, "/")
