"""The one door to torchvision, open also where its compiled half does not load.

torchvision's operators for detection live in a compiled library that must match torch's build. Where it does not (an
ordinary torchvision beside a CPU-only torch) the library is skipped, but the import still stops, because the shapes of
two operators, `nms` and `qnms`, are described without asking whether they exist. Classification networks need neither:
declaring the two is enough, and calling one of them still fails with a clear error of torch's own.
"""

import importlib
from types import ModuleType

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_UNDECLARED = ("torchvision::nms", "torchvision::qnms")


def import_torchvision() -> ModuleType:
    """The torchvision package, imported; raises what the import raises for any other reason."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _UNDECLARED[0] not in str(error):
            raise
    for operator in _UNDECLARED:
        torch.library.define(operator, _SCHEMA)
    return importlib.import_module("torchvision")
