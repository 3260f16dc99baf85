"""Methods: functions with declared inputs and options, registered in one table.

inputs      networks, stores, images, objectives, layers: declared in a signature, converted before the function runs
options     keyword arguments: types, ranges, choices, help; groups of them as frozen dataclasses
steps       the steps of a long method
table       the decorator, and the table of methods
spelling    the command line and the line of Python of a call
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
