"""The whole table of methods: every module that holds a verb, imported."""

from triscope import views
from triscope.methods import METHODS, Method
from triscope.where import gradient, rectified

__all__ = ["gradient", "Method", "METHODS", "rectified", "views"]
