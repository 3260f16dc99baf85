"""Return memory that a long job has freed to the system.

What is freed stays with the process, which asks for it again more quickly so. After a job that took hundreds of
megabytes for a while, in many threads with a store of free memory each, that is much of what the process holds.
"""

import ctypes
import sys
from functools import cache
from typing import Any


def give_back() -> None:
    """Return the free memory of Arrow's pool, and of malloc where that is glibc's."""
    if (arrow := sys.modules.get("pyarrow")) is not None:
        arrow.default_memory_pool().release_unused()
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
