"""What a method is: a function with declared inputs and options, entered in one table.

inputs      networks, stores, images, questions, layers: declared in a signature, bound before the function runs
options     its keyword arguments: types, ranges, choices, help; groups of them as frozen dataclasses
steps       how a job tells how far it is
table       the decorator, and the table of methods
"""

from triscope.methods.inputs import (
    ImageInput,
    ImagesArg,
    Input,
    LayerArg,
    LayerInput,
    LayersArg,
    NetworkArg,
    NetworkInput,
    ObjectiveArg,
    ObjectiveInput,
    QueryInput,
    StoreInput,
    StoreLike,
    WholeImagesArg,
)
from triscope.methods.options import (
    BatchSize,
    Bytes,
    Checkpoint,
    Formerly,
    Group,
    Help,
    Offered,
    Option,
    Range,
    Rate,
    RunOnly,
    Seed,
    Spelled,
    Steps,
)
from triscope.methods.steps import Step
from triscope.methods.table import METHODS, Method, method, methods_of

__all__ = [
    "BatchSize", "Bytes", "Checkpoint", "Formerly", "Group", "Help", "ImageInput", "ImagesArg", "Input", "LayerArg",
    "LayerInput", "LayersArg", "Method", "method", "METHODS", "methods_of", "NetworkArg", "NetworkInput",
    "ObjectiveArg", "ObjectiveInput", "Offered", "Option", "QueryInput", "Range", "Rate", "RunOnly", "Seed", "Spelled",
    "Step", "Steps", "StoreInput", "StoreLike", "WholeImagesArg",
]  # fmt: skip
