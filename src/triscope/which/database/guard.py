"""Errors of Lance as StoreErrors: about the condition if it is the cause, else about the store."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triscope.errors import StoreError
from triscope.images import printable
from triscope.which.database.durable import damaged, raise_interruption, reason_of

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def asking(folder: Path, where: str | None = None, schema: "pa.Schema | None" = None) -> Iterator[None]:
    """Turn errors of Lance into StoreErrors: about the condition if it is the cause, else about the store."""
    try:
        yield
    except StoreError:
        raise
    except BaseException as error:
        if not isinstance(error, (OSError, ValueError, RuntimeError, MemoryError)) and not _is_panic(error):
            raise
        raise_interruption(error)
        if where is not None and _is_to_blame(where, schema, error):
            raise StoreError(f"{where!r} is not a condition on this store: {reason_of(error)}.") from error
        if isinstance(error, PermissionError) or "permission denied" in str(error).lower():
            raise StoreError(f"{printable(folder)} may not be read: permission denied.") from error
        missing = re.search(r"Not found: \S*?([^/\s]+),", str(error))
        what = f"its file {missing[1]} is missing" if missing else "what its files hold cannot be read"
        raise damaged(folder, what) from error


def _is_panic(error: BaseException) -> bool:
    """Whether an error is a panic in Rust, which is no Exception in Python."""
    return type(error).__name__ == "PanicException"


def _is_to_blame(where: str, schema: "pa.Schema", error: BaseException) -> bool:
    """Whether a condition fails on an empty table too, or on the values that it met."""
    lance, _ = import_lance()
    if "Error applying filter expression" in str(error):
        return True
    try:
        lance.write_dataset(schema.empty_table(), "memory://").count_rows(filter=where)
    except (OSError, ValueError, RuntimeError):
        return True
    return False


def import_lance() -> tuple[Any, Any]:
    """Lance and Arrow. Raises StoreError where they are not installed."""
    try:
        import lance
        import pyarrow as pa
    except ImportError as error:
        raise StoreError(
            "Collections need pylance, which is not installed: pip install 'triscope[collections]'."
        ) from error
    return lance, pa
