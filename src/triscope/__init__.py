"""triscope shows what a vision network has learned: where in this image, what image would, which images do.

Public names are imported on first use, so that `import triscope` does not import PyTorch; `catalog.py` has the
module of each. Type checkers read `__init__.pyi`, which `make derived` writes.
"""

import importlib
import warnings
from typing import Any

from triscope._version import __version__ as __version__
from triscope.catalog import RENAMED, homes

_HOMES = homes()

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        new = RENAMED[name]
        warnings.warn(f"triscope.{name} is deprecated; use triscope.{new}.", DeprecationWarning, stacklevel=2)
        return __getattr__(new)
    if name not in _HOMES:
        raise AttributeError(f"module 'triscope' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
