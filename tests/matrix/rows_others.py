"""Networks of segmentation-models-pytorch, MONAI, open_clip and Ultralytics."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tests.matrix.columns import Known
from tests.network import families
from triscope.network.loading._torchvision import import_torchvision

_SEGMENTERS = (
    "Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus", "UPerNet", "Segformer",
)  # fmt: skip


def _segmenter(name: str, encoder: str = "resnet18", **options: Any) -> Callable[[], Known]:
    def make() -> Known:
        import_torchvision()
        import segmentation_models_pytorch as smp

        module = getattr(smp, name)(encoder_name=encoder, encoder_weights=None, classes=3, **options)
        return Known(module.eval(), {"size": 64, "mean": (0.5,) * options.get("in_channels", 3)})

    return make


def _monai(name: str, **options: Any) -> Callable[[], Known]:
    def make() -> Known:
        import monai.networks.nets as found

        return Known(getattr(found, name)(**options).eval(), {"size": 64, "mean": (0.5,)})

    return make


def _volume() -> Known:
    import monai.networks.nets as found

    module = found.UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8, 16), strides=(2, 2))
    return Known(module.eval(), {"size": 32, "mean": (0.5,)})


def _clip(name: str, visual: bool, **options: Any) -> Callable[[], Known]:
    def make() -> Known:
        import_torchvision()
        import open_clip

        module: nn.Module = open_clip.create_model(name, pretrained=None, **options).eval()
        module = module.visual if visual else module
        size = module.image_size if visual else module.visual.image_size
        return Known(module, {"size": size if isinstance(size, tuple) else (size, size)})

    return make


def _yolo(config: str, **settings: Any) -> Callable[[], Known]:
    def make() -> Known:
        import_torchvision()
        from ultralytics.nn import tasks

        kind = {"cls": "ClassificationModel", "seg": "SegmentationModel", "pose": "PoseModel", "obb": "OBBModel"}
        name = kind.get(config.rpartition("-")[2].removesuffix(".yaml"), "DetectionModel")
        module = families.settle(getattr(tasks, name)(config, verbose=False), torch.randn(4, 3, 64, 64))
        return Known(module, {"size": 64, **settings})

    return make


_STEPS: dict[str, Any] = {"channels": (4, 8, 16), "strides": (2, 2)}
ROWS: Mapping[str, Callable[[], Known]] = {
    **{f"smp {name}": _segmenter(name) for name in _SEGMENTERS},
    "smp Unet grey": _segmenter("Unet", in_channels=1),
    "smp Unet with a head of classes": _segmenter("Unet", aux_params={"classes": 4}),
    "smp Unet mit": _segmenter("Unet", "mit_b0"),
    "smp DPT": _segmenter("DPT", "tu-vit_tiny_patch16_224", dynamic_img_size=True),
    "monai UNet": _monai("UNet", spatial_dims=2, in_channels=1, out_channels=2, **_STEPS),
    "monai AttentionUnet": _monai("AttentionUnet", spatial_dims=2, in_channels=1, out_channels=2, **_STEPS),
    "monai SegResNet": _monai("SegResNet", spatial_dims=2, in_channels=1, out_channels=2, init_filters=8),
    "monai UNETR": _monai("UNETR", in_channels=1, out_channels=2, img_size=(64, 64), spatial_dims=2, hidden_size=48, mlp_dim=64, num_heads=4),
    "monai SwinUNETR": _monai("SwinUNETR", in_channels=1, out_channels=2, spatial_dims=2, feature_size=12),
    "monai ViT": _monai("ViT", in_channels=1, img_size=(64, 64), patch_size=(8, 8), hidden_size=32, mlp_dim=64, num_layers=2, num_heads=2, classification=True, spatial_dims=2),
    "monai DenseNet121": _monai("DenseNet121", spatial_dims=2, in_channels=1, out_channels=2),
    "monai UNet of volumes": _volume,
    "open_clip ViT-S-32 visual": _clip("ViT-S-32-alt", True),
    "open_clip RN50 visual": _clip("RN50", True, force_image_size=96),
    "open_clip convnext visual": _clip("convnext_base_w", True, force_image_size=96),
    "open_clip ViT-S-32": _clip("ViT-S-32-alt", False),
    "ultralytics yolov8n": _yolo("yolov8n.yaml"),
    "ultralytics yolo11n": _yolo("yolo11n.yaml"),
    "ultralytics yolo11n best": _yolo("yolo11n.yaml", output=lambda y: y[0][:, 4:].amax(2)),
    "ultralytics yolo11n-cls": _yolo("yolo11n-cls.yaml"),
    "ultralytics yolo11n-seg": _yolo("yolo11n-seg.yaml"),
    "ultralytics yolo11n-pose": _yolo("yolo11n-pose.yaml"),
    "ultralytics yolov5n": _yolo("yolov5n.yaml"),
    "ultralytics yolov10n": _yolo("yolov10n.yaml"),
    "ultralytics yolo12n": _yolo("yolo12n.yaml"),
}  # fmt: skip
