"""Importing torchvision, also if its compiled library cannot be loaded.

torchvision's operators for detection are in a compiled library that must match the build of torch. If it does not (an
ordinary torchvision with a CPU-only torch), the library is skipped, but the import still fails, because torchvision
registers shape functions for two operators, `nms` and `qnms`, that do not exist then. Classification networks need
neither. So the two are declared here; calling one of them fails with an error of torch.
"""

import importlib
from types import ModuleType

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_UNDECLARED = ("torchvision::nms", "torchvision::qnms")


def import_torchvision() -> ModuleType:
    """The package torchvision. Raises what its import raises, except for the missing operators."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _UNDECLARED[0] not in str(error):
            raise
    for operator in _UNDECLARED:
        torch.library.define(operator, _SCHEMA)
    return importlib.import_module("torchvision")
