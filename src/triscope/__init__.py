"""triscope shows what a vision network has learned: where in this image, what image would, which images do."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from triscope.errors import TriscopeError, TriscopeWarning
    from triscope.images import read_image
    from triscope.network import Network, load
    from triscope.objectives.base import Need, Objective
    from triscope.objectives.distances import FeatureDistance
    from triscope.objectives.parsing import unit
    from triscope.objectives.priors import PNorm, TotalVariation
    from triscope.objectives.statistics import CovarianceDistance, GramDistance, WassersteinDistance
    from triscope.objectives.units import Channel, Direction, Energy, Logit, Neuron, TopClass
    from triscope.redoing import redo
    from triscope.reporting import report
    from triscope.results import Grid, Heatmap, Picture, Ranking, Recipe, Result
    from triscope.views import activations, filters, predict
    from triscope.what.ascend import ascend
    from triscope.what.compare import regularisers
    from triscope.what.dream import dream
    from triscope.what.fool import fool
    from triscope.what.invert import invert
    from triscope.what.picture import Imagined
    from triscope.what.style.stylize import stylize
    from triscope.what.style.texture import texture
    from triscope.where.gradient import gradient, input_x_gradient, saliency
    from triscope.where.modified_backprop import deconvnet, guided_backprop
    from triscope.which.collection import Collection
    from triscope.which.maps.map import Map
    from triscope.which.maps.pca import pca
    from triscope.which.maps.tsne import tsne
    from triscope.which.search.duplicates import duplicates
    from triscope.which.search.gallery import Gallery
    from triscope.which.search.neighbors import neighbors
    from triscope.which.search.patches import patches
    from triscope.which.search.top import top
    from triscope.which.store import Store

#: Where each public name lives. They are loaded when first used, so that `import triscope` does not wait for torch.
_HOMES = {
    "triscope.errors": ("TriscopeError", "TriscopeWarning"),
    "triscope.images": ("read_image",),
    "triscope.network": ("Network", "load"),
    "triscope.objectives.base": ("Need", "Objective"),
    "triscope.objectives.distances": ("FeatureDistance",),
    "triscope.objectives.priors": ("PNorm", "TotalVariation"),
    "triscope.objectives.parsing": ("unit",),
    "triscope.objectives.statistics": ("CovarianceDistance", "GramDistance", "WassersteinDistance"),
    "triscope.objectives.units": ("Channel", "Direction", "Energy", "Logit", "Neuron", "TopClass"),
    "triscope.redoing": ("redo",),
    "triscope.reporting": ("report",),
    "triscope.results": ("Grid", "Heatmap", "Picture", "Ranking", "Recipe", "Result"),
    "triscope.views": ("activations", "filters", "predict"),
    "triscope.what.ascend": ("ascend",),
    "triscope.what.compare": ("regularisers",),
    "triscope.what.dream": ("dream",),
    "triscope.what.fool": ("fool",),
    "triscope.what.invert": ("invert",),
    "triscope.what.picture": ("Imagined",),
    "triscope.what.style.stylize": ("stylize",),
    "triscope.what.style.texture": ("texture",),
    "triscope.where.gradient": ("gradient", "input_x_gradient", "saliency"),
    "triscope.where.modified_backprop": ("deconvnet", "guided_backprop"),
    "triscope.which.collection": ("Collection",),
    "triscope.which.maps.pca": ("pca",),
    "triscope.which.search.duplicates": ("duplicates",),
    "triscope.which.search.gallery": ("Gallery",),
    "triscope.which.maps.map": ("Map",),
    "triscope.which.search.neighbors": ("neighbors",),
    "triscope.which.search.patches": ("patches",),
    "triscope.which.store": ("Store",),
    "triscope.which.search.top": ("top",),
    "triscope.which.maps.tsne": ("tsne",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "activations",
    "ascend",
    "Channel",
    "Collection",
    "CovarianceDistance",
    "deconvnet",
    "Direction",
    "dream",
    "duplicates",
    "Energy",
    "FeatureDistance",
    "filters",
    "fool",
    "Gallery",
    "gradient",
    "GramDistance",
    "Grid",
    "guided_backprop",
    "Heatmap",
    "Imagined",
    "input_x_gradient",
    "invert",
    "load",
    "Logit",
    "Map",
    "Need",
    "neighbors",
    "Network",
    "Neuron",
    "Objective",
    "patches",
    "pca",
    "Picture",
    "PNorm",
    "predict",
    "Ranking",
    "read_image",
    "Recipe",
    "redo",
    "regularisers",
    "report",
    "Result",
    "saliency",
    "Store",
    "stylize",
    "texture",
    "top",
    "TopClass",
    "TotalVariation",
    "TriscopeError",
    "TriscopeWarning",
    "tsne",
    "unit",
    "WassersteinDistance",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'triscope' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
