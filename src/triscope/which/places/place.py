"""Places: where the bytes of one image are; values that can be sent to another process.

    LocalFile     a file of this machine                        place
    RemoteFile    an object of S3, or of any fsspec address      remote
    TarMember     a member of a tar file, local or remote        shards
    TableRow      a cell of a Parquet or Arrow file              tables

The bytes are not decoded here.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from triscope.errors import ImageError
from triscope.images import open_regular, printable
from triscope.images.photo import MAX_BYTES


class Place(ABC):
    """Where the bytes of an image are."""

    @abstractmethod
    def read(self) -> bytes:
        """The encoded file. Raises ImageError, with one sentence, where it cannot be read."""


@dataclass(frozen=True)
class LocalFile(Place):
    """A file of this machine, by its path."""

    path: str

    def read(self) -> bytes:
        """The whole file."""
        label = printable(self.path)
        with open_regular(self.path, ImageError) as file:
            check_length(os.fstat(file.fileno()).st_size, label)
            try:
                return file.read()
            except OSError as problem:
                raise ImageError(f"{label} cannot be read: {problem.strerror}.") from problem


@dataclass(frozen=True)
class Found:
    """One image of a collection before it is read: its path from the collection's root, where its bytes are, its size
    in bytes and its time in nanoseconds, its metadata, and a version, where size and time do not suffice.
    """

    path: str
    place: Place
    size: int
    mtime: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""


def check_length(length: int, label: str) -> None:
    """Raise ImageError where a file is too long to be read."""
    if length > MAX_BYTES:
        raise ImageError(f"{label} is larger than {MAX_BYTES >> 20} MB and is not read.")
