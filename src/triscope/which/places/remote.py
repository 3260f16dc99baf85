"""Images at an address: objects of S3, and whatever else fsspec opens (gs://, az://, hf://, memory://, file://).

Credentials come from where the libraries look for them, such as AWS_ACCESS_KEY_ID or ~/.aws. An address that holds a
password is refused, so that none is kept in a store, a recipe or a message; and what a library says of an error is not
passed on, but for its kind.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from triscope.errors import ImageError, StoreError, TriscopeError
from triscope.images import open_regular, printable
from triscope.which.folders import PICTURES
from triscope.which.places.place import Found, Place, check_length

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_MAGIC = re.compile(r"[*?\[]")
_VERSIONS = ("ETag", "etag", "md5Hash", "content_md5")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


def is_url(text: str) -> bool:
    """Whether it is an address and no path of this machine."""
    return _URL.match(text) is not None


def check_url(url: str) -> None:
    """Raise StoreError where an address holds a password, or a key in its query; it is not repeated."""
    parts = urlsplit(url)
    if parts.password or (parts.username and parts.scheme in ("s3", "s3a", "gs", "gcs", "az", "abfs")):
        raise StoreError(
            f"The {parts.scheme}:// address holds credentials. They belong in the environment (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, a profile in ~/.aws); give the address without them."
        )
    if re.search(r"(?i)[?&][^=]*(key|token|secret|sig|signature|credential|password)[^=]*=", url):
        raise StoreError(
            f"The {parts.scheme}:// address holds a signature or a key in its query, which would be kept in the store; "
            "give an address without it, and the credentials in the environment."
        )


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises StoreError where there is none."""
    check_url(url)
    try:
        import fsspec
    except ImportError as error:
        raise StoreError("Addresses need fsspec, which is not installed: pip install 'triscope[remote]'.") from error
    scheme = url.partition("://")[0].lower()
    try:
        found = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
        raise StoreError(
            f"{scheme}:// needs {package.get(scheme, 'another package')}, which is not installed: "
            f"pip install {package.get(scheme, 'it')}, or 'triscope[remote]' for S3."
        ) from error
    except ValueError as error:
        raise StoreError(
            f"{scheme}:// is not a kind of address that fsspec knows; s3://, gs://, az://, hf:// and https:// are some."
        ) from error
    return cast("tuple[Any, str]", found)


def canonical(url: str) -> str:
    """An address as its file system writes it, without a slash at its end. Raises StoreError."""
    files, inner = filesystem(url)
    return str(files.unstrip_protocol(inner)).rstrip("/")


@contextmanager
def asked(label: str, error: type[TriscopeError]) -> Iterator[None]:
    """Turn errors of a remote file system into one sentence, without its own message."""
    try:
        yield
    except TriscopeError:
        raise
    except FileNotFoundError as problem:
        raise error(f"{label} does not exist.") from problem
    except PermissionError as problem:
        raise error(
            f"{label} may not be read: permission denied; check the credentials in the environment."
        ) from problem
    except Exception as problem:  # noqa: BLE001 - each file system has errors of its own
        kind = type(problem).__name__
        if "Credentials" in kind:
            raise error(
                f"{label} cannot be read: no credentials were found in the environment (AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws)."
            ) from None
        why = (
            "is the address right, and the network there?" if is_url(label) else "is it whole, and of the kind it says?"
        )
        raise error(f"{label} cannot be read: {kind}; {why}") from None


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file of this machine or at an address, open for reading at any place. Raises ImageError."""
    label = printable(path)
    if not is_url(path):
        with open_regular(path, ImageError) as local:
            yield local
        return
    with asked(label, ImageError):
        files, inner = filesystem(path)
        with files.open(inner, "rb") as file:
            yield cast("BinaryIO", file)


@dataclass(frozen=True)
class RemoteFile(Place):
    """A file at an address."""

    url: str

    def read(self) -> bytes:
        """The whole file."""
        label = printable(self.url)
        with asked(label, ImageError):
            files, inner = filesystem(self.url)
            data: bytes = files.cat_file(inner)
        check_length(len(data), label)
        return data


@dataclass(frozen=True)
class State:
    """A file before it is read: its size in bytes, its time in nanoseconds, and its digest, if known."""

    size: int
    mtime: int
    version: str


def state_of(info: Mapping[str, Any]) -> State:
    """The state of a file."""
    version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    when: Any = next((info[name] for name in _TIMES if info.get(name)), 0)
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            version, when = version or when, 0
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    return State(int(info.get("size") or 0), int(seconds * 1e9), version)


def listed(url: str) -> Iterator[tuple[str, State]]:
    """The files below an address, or that meet a pattern, sorted: each one's address, and what is known of it.

    Raises StoreError where there is none.
    """
    label = printable(url)
    with asked(label, StoreError):
        files, inner = filesystem(url)
        files.invalidate_cache()
        found = files.glob(inner, detail=True) if _MAGIC.search(inner) else files.find(inner, detail=True)
    if not found:
        raise StoreError(f"{label} holds nothing, or does not exist.")
    for path in sorted(found):
        if found[path].get("type", "file") == "file":
            yield files.unstrip_protocol(path), state_of(found[path])


def common_address(parents: set[str]) -> str:
    """The address that all of these lie below."""
    first, *others = [parent.split("/") for parent in sorted(parents)]
    same = len(first)
    for other in others:
        same = min(same, next((at for at, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), len(other)))
    return "/".join(first[:same])


class RemoteFolder:
    """The images below an address, or those that meet a pattern there, by their endings."""

    kind = "remote folder"

    def __init__(self, url: str) -> None:
        check_url(url)
        magic = _MAGIC.search(url)
        fixed = url[: magic.start()].rpartition("/")[0] if magic else url.rstrip("/")
        self._asked = url
        self.root = canonical(fixed)
        self.within = url[len(fixed) :].lstrip("/") if magic else ""
        self.fields: Mapping[str, str] = {}
        self.passed: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Found]:
        passed = Counter[str]()
        for url, state in listed(self._asked):
            path = url.removeprefix(self.root).lstrip("/")
            ending = PurePosixPath(path).suffix.lower()
            if any(part.startswith(".") for part in path.split("/")):
                continue
            if ending in PICTURES:
                yield Found(path, RemoteFile(url), state.size, state.mtime, version=state.version)
            else:
                passed[printable(ending)] += 1
        self.passed = passed
