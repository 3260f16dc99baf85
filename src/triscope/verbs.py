"""The whole table of methods: every module that holds a verb, imported."""

from triscope import views
from triscope.methods import METHODS, Method
from triscope.what import ascend, compare, dream, fool, invert
from triscope.what.style import stylize, texture
from triscope.where import gradient
from triscope.where import modified_backprop as rectified
from triscope.which.maps import pca as components
from triscope.which.maps import tsne
from triscope.which.search import duplicates, neighbors, patches, top

__all__ = [
    "ascend",
    "compare",
    "components",
    "dream",
    "duplicates",
    "fool",
    "gradient",
    "invert",
    "Method",
    "METHODS",
    "neighbors",
    "patches",
    "rectified",
    "stylize",
    "texture",
    "top",
    "tsne",
    "views",
]
