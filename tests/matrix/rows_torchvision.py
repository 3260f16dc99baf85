"""Networks of torchvision: classification, segmentation, detection, optical flow and videos."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.matrix.columns import Known
from tests.network import families
from triscope.network.loading._torchvision import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: name: (size of the image, what else is said to torchvision)
CLASSIFIERS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "alexnet": (64, {}),
    "convnext_tiny": (64, {}),
    "densenet121": (64, {}),
    "efficientnet_b0": (64, {}),
    "efficientnet_v2_s": (64, {}),
    "googlenet": (128, {"aux_logits": True, "init_weights": False}),
    "inception_v3": (96, {"aux_logits": True, "init_weights": False}),
    "maxvit_t": (224, {}),
    "mnasnet0_5": (64, {}),
    "mobilenet_v2": (64, {}),
    "mobilenet_v3_small": (64, {}),
    "regnet_x_400mf": (64, {}),
    "regnet_y_400mf": (64, {}),
    "resnet18": (64, {}),
    "resnext50_32x4d": (64, {}),
    "shufflenet_v2_x0_5": (64, {}),
    "squeezenet1_1": (64, {}),
    "swin_t": (96, {}),
    "swin_v2_t": (64, {}),
    "vgg11": (64, {}),
    "vit_b_32": (96, {"image_size": 96}),
}  # fmt: skip

_NONE: dict[str, Any] = {"weights": None, "weights_backbone": None}
SEGMENTERS = ("fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")
DETECTORS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn", "ssdlite320_mobilenet_v3_large",
    "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn",
)  # fmt: skip


def _classifier(name: str, size: int, options: Mapping[str, Any]) -> Callable[[], Known]:
    def make() -> Known:
        module = import_torchvision().models.get_model(name, weights=None, **options)
        return _known(families.settle(module, torch.randn(4, 3, size, size)) if "efficient" in name else module, size)

    return make


def _segmenter(name: str) -> Callable[[], Known]:
    return lambda: _known(import_torchvision().models.get_model(name, **_NONE), 64)


def _detector(name: str) -> Callable[[], Known]:
    def make() -> Known:
        torchvision = import_torchvision()
        _non_maximum_suppression()
        few = {"min_size": 96, "max_size": 96} if "ssd" not in name else {}
        few |= {"box_detections_per_img": 3} if "keypoint" in name or "mask" in name else {}  # large heads, for each
        return Known(torchvision.models.get_model(name, **_NONE, **few).eval(), {"size": 96})

    return make


def _known(module: torch.nn.Module, size: int, **settings: Any) -> Known:
    return Known(module, {"size": size, "mean": MEAN, "std": STD, **settings})


def _flow() -> Known:
    model = import_torchvision().models.optical_flow.raft_small(weights=None)
    return Known(model, {"size": 128, "call": lambda m, x: m(x, x.flip(3), num_flow_updates=1)[-1]})


def _video() -> Known:
    model = import_torchvision().models.video.r3d_18(weights=None)
    return Known(model, {"size": 32, "call": lambda m, x: m(x[:, :, None].expand(-1, -1, 4, -1, -1))})


def _extractor() -> Known:
    torchvision = import_torchvision()
    from torchvision.models.feature_extraction import create_feature_extractor

    return _known(create_feature_extractor(torchvision.models.resnet18(), ["layer2", "layer4"]), 64)


def _non_maximum_suppression() -> None:
    """torchvision's own where its compiled half is loaded; else the same, slowly."""
    try:
        torch.ops.torchvision.nms(torch.rand(1, 4), torch.rand(1), 0.5)
    except (NotImplementedError, RuntimeError):
        _LIBRARY.append(torch.library.Library("torchvision", "IMPL"))
        _LIBRARY[-1].impl("nms", _suppressed, "CPU")
        boxes: Any = importlib.import_module("torchvision.ops.boxes")
        boxes._assert_has_ops = lambda: None  # it is there now


_LIBRARY: list[torch.library.Library] = []


def _suppressed(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    from torchvision.ops import box_iou

    order, kept = scores.argsort(descending=True, stable=True)[:200], []
    overlaps = box_iou(boxes, boxes[order]) if len(order) else boxes.new_zeros(0, 0)
    left = torch.ones(len(order), dtype=torch.bool)
    for place, box in enumerate(order.tolist()):
        if left[place]:
            kept.append(box)
            left &= overlaps[box] <= threshold
    return torch.tensor(kept, dtype=torch.long)


ROWS: Mapping[str, Callable[[], Known]] = {
    **{f"torchvision {name}": _classifier(name, *said) for name, said in CLASSIFIERS.items()},
    **{f"torchvision {name}": _segmenter(name) for name in SEGMENTERS},
    **{f"torchvision {name}": _detector(name) for name in DETECTORS},
    "torchvision raft_small": _flow,
    "torchvision r3d_18": _video,
    "torchvision feature_extractor": _extractor,
}
