"""Networks of transformers, tiny and untrained."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.matrix.columns import Known
from tests.network import families
from triscope.network.loading._torchvision import import_torchvision

_SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64,
    "patch_size": 8,
}  # fmt: skip
_SWIN: dict[str, Any] = {"patch_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)}
_FOUR: dict[str, Any] = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32]}
_RESNET: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4}
_DETR: dict[str, Any] = {
    "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None, "d_model": 32, "encoder_layers": 1,
    "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "num_queries": 20,
}  # fmt: skip
_TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100,
    "max_position_embeddings": 16, "projection_dim": 16,
}  # fmt: skip

#: name: (model, config, size of the image, what the config says)
MODELS: Mapping[str, tuple[str, str, int, dict[str, Any]]] = {
    "vit": ("ViTForImageClassification", "ViTConfig", 64, _SMALL),
    "vit model": ("ViTModel", "ViTConfig", 64, _SMALL),
    "vit msn": ("ViTMSNForImageClassification", "ViTMSNConfig", 64, _SMALL),
    "vit mae": ("ViTMAEForPreTraining", "ViTMAEConfig", 64, {
        **_SMALL, "decoder_hidden_size": 32, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 32,
    }),
    "deit": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", 64, _SMALL),
    "beit": ("BeitForImageClassification", "BeitConfig", 64, _SMALL | {"use_relative_position_bias": True}),
    "data2vec": ("Data2VecVisionForImageClassification", "Data2VecVisionConfig", 64, _SMALL),
    "dinov2": ("Dinov2ForImageClassification", "Dinov2Config", 64, _SMALL),
    "dinov2 model": ("Dinov2Model", "Dinov2Config", 64, _SMALL),
    "dinov2 with registers": ("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", 64, _SMALL),
    "dinov3": ("DINOv3ViTModel", "DINOv3ViTConfig", 64, _SMALL | {"num_register_tokens": 4}),
    "dinov3 convnext": ("DINOv3ConvNextModel", "DINOv3ConvNextConfig", 64, _FOUR),
    "ijepa": ("IJepaForImageClassification", "IJepaConfig", 64, _SMALL),
    "hiera": ("HieraForImageClassification", "HieraConfig", 128, {
        "embed_dim": 16, "image_size": [128, 128], "depths": [1, 1, 2], "num_heads": [1, 1, 2], "num_query_pool": 2,
    }),
    "swin": ("SwinForImageClassification", "SwinConfig", 56, _SWIN | {"image_size": 56, "window_size": 7}),
    "swinv2": ("Swinv2ForImageClassification", "Swinv2Config", 64, _SWIN | {"image_size": 64, "window_size": 8}),
    "donut swin": ("DonutSwinModel", "DonutSwinConfig", 56, _SWIN | {"image_size": 56, "window_size": 7}),
    "maskformer swin": ("MaskFormerSwinModel", "MaskFormerSwinConfig", 56, _SWIN | {"image_size": 56, "window_size": 7}),
    "swin2sr": ("Swin2SRForImageSuperResolution", "Swin2SRConfig", 32, {
        "image_size": 32, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2), "window_size": 4,
    }),
    "segformer": ("SegformerForImageClassification", "SegformerConfig", 64, {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32]}),
    "segformer maps": ("SegformerForSemanticSegmentation", "SegformerConfig", 64, {
        "depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 16, "num_labels": 5,
    }),
    "beit maps": ("BeitForSemanticSegmentation", "BeitConfig", 64, _SMALL | {
        "use_relative_position_bias": True, "num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "num_labels": 5,
    }),
    "dpt": ("DPTForDepthEstimation", "DPTConfig", 64, _SMALL | {
        "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16,
    }),
    "glpn": ("GLPNForDepthEstimation", "GLPNConfig", 64, _FOUR | {"decoder_hidden_size": 16, "num_attention_heads": [1, 2, 3, 4]}),
    "mobilevit": ("MobileViTForImageClassification", "MobileViTConfig", 128, {
        "image_size": 128, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32],
    }),
    "mobilevitv2": ("MobileViTV2ForImageClassification", "MobileViTV2Config", 192, {"image_size": 192, "width_multiplier": 0.25}),
    "mobilenet_v1": ("MobileNetV1ForImageClassification", "MobileNetV1Config", 64, {"depth_multiplier": 0.25, "image_size": 64}),
    "mobilenet_v2": ("MobileNetV2ForImageClassification", "MobileNetV2Config", 64, {"depth_multiplier": 0.35, "image_size": 64}),
    "efficientnet": ("EfficientNetForImageClassification", "EfficientNetConfig", 64, {"width_coefficient": 0.3, "depth_coefficient": 0.3, "image_size": 64, "hidden_dim": 384}),
    "convnext": ("ConvNextForImageClassification", "ConvNextConfig", 64, _FOUR),
    "convnextv2": ("ConvNextV2ForImageClassification", "ConvNextV2Config", 64, _FOUR),
    "resnet": ("ResNetForImageClassification", "ResNetConfig", 64, _RESNET),
    "regnet": ("RegNetForImageClassification", "RegNetConfig", 64, _RESNET | {"groups_width": 8}),
    "bit": ("BitForImageClassification", "BitConfig", 64, {"embedding_size": 32, "hidden_sizes": [128] * 4, "depths": [1] * 4}),
    "cvt": ("CvtForImageClassification", "CvtConfig", 64, {"embed_dim": [16, 24, 32], "depth": [1, 2, 3], "num_heads": [1, 1, 2], "cls_token": [False, False, True]}),
    "levit": ("LevitForImageClassification", "LevitConfig", 64, {"image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4], "depths": [1, 1, 1]}),
    "poolformer": ("PoolFormerForImageClassification", "PoolFormerConfig", 64, {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4}),
    "pvt": ("PvtForImageClassification", "PvtConfig", 64, _FOUR | {"image_size": 64, "num_attention_heads": [1, 2, 3, 4]}),
    "pvt_v2": ("PvtV2ForImageClassification", "PvtV2Config", 64, _FOUR | {"image_size": 64, "num_attention_heads": [1, 2, 3, 4]}),
    "focalnet": ("FocalNetForImageClassification", "FocalNetConfig", 64, {"image_size": 64, "embed_dim": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "focal_levels": [1, 1], "focal_windows": [3, 3]}),
    "swiftformer": ("SwiftFormerForImageClassification", "SwiftFormerConfig", 64, {"image_size": 64, "depths": [1] * 4, "embed_dims": [8, 16, 24, 32]}),
    "textnet": ("TextNetForImageClassification", "TextNetConfig", 64, {"image_size": [64, 64]}),
    "hgnet": ("HGNetV2ForImageClassification", "HGNetV2Config", 64, {}),
    "perceiver": ("PerceiverForImageClassificationConvProcessing", "PerceiverConfig", 64, {"num_latents": 8, "d_latents": 32, "num_blocks": 1, "num_self_attends_per_block": 1, "num_self_attention_heads": 2, "num_cross_attention_heads": 2}),
    "clip vision": ("CLIPVisionModel", "CLIPVisionConfig", 64, _SMALL),
    "clip vision projection": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", 64, _SMALL | {"projection_dim": 16}),
    "siglip vision": ("SiglipVisionModel", "SiglipVisionConfig", 64, _SMALL),
    "siglip2 classifier": ("SiglipForImageClassification", "SiglipConfig", 64, {"vision_config": _SMALL, "text_config": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100}}),
    "blip vision": ("BlipVisionModel", "BlipVisionConfig", 64, _SMALL),
    "yolos": ("YolosForObjectDetection", "YolosConfig", 64, _SMALL | {"image_size": [64, 64], "num_detection_tokens": 20}),
    "superpoint": ("SuperPointForKeypointDetection", "SuperPointConfig", 64, {}),
    "vitmatte": ("VitDetModel", "VitDetConfig", 64, {"image_size": 64, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "window_size": 4, "window_block_indices": [0], "pretrain_image_size": 64}),
}  # fmt: skip


def _classes(model: str, config: str, options: Mapping[str, Any]) -> torch.nn.Module:
    import_torchvision()  # transformers imports it
    import transformers

    return families.wake(getattr(transformers, model)(getattr(transformers, config)(**options))).eval()


def _made(model: str, config: str, size: int, options: Mapping[str, Any], **settings: Any) -> Callable[[], Known]:
    def make() -> Known:
        module = families.settle(_classes(model, config, options), torch.randn(4, 3, size, size))
        return Known(module, {"size": size, "mean": [0.5] * 3, "std": [0.5] * 3, **settings})

    return make


def _clip() -> Known:
    vision = _SMALL | {"projection_dim": 16}
    model = _classes("CLIPModel", "CLIPConfig", {"text_config": _TEXT, "vision_config": vision, "projection_dim": 16})
    words = torch.tensor([[1, 5, 9, 99], [1, 7, 3, 99], [1, 2, 8, 99]])
    return Known(model, {"size": 64, "call": lambda m, x: m(input_ids=words, pixel_values=x).logits_per_image})


def _detr() -> Known:
    import_torchvision()
    import transformers

    backbone = transformers.ResNetConfig(**_RESNET, out_features=["stage4"])
    model = transformers.DetrForObjectDetection(
        transformers.DetrConfig(**_DETR, backbone_config=backbone, num_labels=7)
    )
    return Known(families.wake(model).eval(), {"size": 128, "output": lambda y: y.logits[..., :-1].amax(1)})


def _upernet() -> Known:
    import_torchvision()
    import transformers

    backbone = transformers.ConvNextConfig(**_FOUR, out_features=["stage1", "stage2", "stage3", "stage4"])
    config = transformers.UperNetConfig(
        backbone_config=backbone, use_auxiliary_head=False, hidden_size=16, num_labels=5, backbone=None
    )
    return Known(families.wake(transformers.UperNetForSemanticSegmentation(config)).eval(), {"size": 64})


ROWS: Mapping[str, Callable[[], Known]] = {
    **{f"transformers {name}": _made(*said) for name, said in MODELS.items()},
    "transformers yolos best": _made(*MODELS["yolos"], output=lambda y: y.logits[..., :-1].amax(1)),
    "transformers clip": _clip,
    "transformers detr": _detr,
    "transformers upernet": _upernet,
}
