"""The complete table of methods; imports all modules of the catalogue."""

import importlib

from triscope import catalog
from triscope.methods import METHODS, Method

for entry in catalog.METHODS:
    importlib.import_module(entry.module)
    METHODS[entry.name] = METHODS.pop(entry.name)  # in the order of the catalogue

__all__ = ["Method", "METHODS"]
