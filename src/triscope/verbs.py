"""The whole table of methods: every module of the catalogue, imported."""

import importlib

from triscope import catalog
from triscope.methods import METHODS, Method

for entry in catalog.METHODS:
    importlib.import_module(entry.module)
    METHODS[entry.name] = METHODS.pop(entry.name)  # in the order of the catalogue, whatever was imported before

__all__ = ["Method", "METHODS"]
