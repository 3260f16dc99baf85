"""Networks: the user's module, run as a copy with shared weights (the twin), and never changed."""

from triscope.network.layers import Layer, Layers
from triscope.network.loading.zoo import load
from triscope.network.look import Look
from triscope.network.network import Network
from triscope.network.preprocess import Box, Fit, ImageBatch, Images, Preprocess, Source

__all__ = ["Box", "Fit", "ImageBatch", "Images", "Layer", "Layers", "load", "Look", "Network", "Preprocess", "Source"]
