"""Places by the names that a store keeps: `photos/cat.jpg`, `000.tar/cat.jpg`, `train.parquet/12`, at an address."""

import re
from pathlib import Path

from triscope.errors import ImageError
from triscope.images import printable
from triscope.which.places.place import LocalFile, Place
from triscope.which.places.remote import RemoteFile, is_url
from triscope.which.places.shards import member
from triscope.which.places.tables import row_of

_INSIDE = re.compile(r"\.(tar|parquet|arrow)/")


def place_of(path: str) -> Place:
    """Where the image of this path is. Raises ImageError where a file that it lies in does not hold it any more."""
    for found in _INSIDE.finditer(path):
        container, inner = path[: found.end() - 1], path[found.end() :]
        if not is_url(path) and not Path(container).is_file():
            continue
        if found[1] == "tar":
            return member(container, inner)
        if not inner.isdecimal():
            raise ImageError(f"{printable(path)} is not a row of {printable(container)}.")
        return row_of(container, int(inner))
    return RemoteFile(path) if is_url(path) else LocalFile(path)
