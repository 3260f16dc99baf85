"""Networks of timm, one or more of each family, at small sizes and with random weights."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from tests.matrix.columns import Known
from triscope.network.loading._torchvision import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_FEW: dict[str, Any] = {"depths": (1, 1, 2, 1), "embed_dim": (16, 24, 32, 48)}
_SWIN: dict[str, Any] = {"embed_dim": 12, "depths": (2, 2), "num_heads": (2, 2)}
_VIT: dict[str, Any] = {"embed_dim": 32, "depth": 3, "num_heads": 2}

#: name of a row: (name of the model, size of the image, what else is said to timm)
MODELS: Mapping[str, tuple[str, int, dict[str, Any]]] = {
    "swin": ("swin_tiny_patch4_window7_224", 56, {"img_size": 56, **_SWIN}),
    "swinv2": ("swinv2_tiny_window8_256", 64, {"img_size": 64, "window_size": 4, **_SWIN}),
    "swinv2_cr": ("swinv2_cr_tiny_224", 64, {"img_size": 64, "window_size": (4, 4), **_SWIN}),
    "mobilevit": ("mobilevit_xxs", 128, {}),
    "levit": ("levit_128s", 224, {}),
    "tiny_vit": ("tiny_vit_5m_224", 224, {}),
    "davit": ("davit_tiny", 112, {"embed_dims": (16, 24, 32, 48), "depths": (1, 1, 2, 1), "num_heads": (2, 2, 2, 2)}),
    "maxvit": ("maxvit_rmlp_pico_rw_256", 128, {"img_size": 128}),
    "maxxvit": ("maxxvit_rmlp_nano_rw_256", 128, {"img_size": 128}),
    "coatnet": ("coatnet_pico_rw_224", 64, {"img_size": 64}),
    "hiera": ("hiera_tiny_224", 128, {"img_size": (128, 128), "embed_dim": 16, "stages": (1, 1, 2), "q_pool": 2}),
    "sam2_hiera": ("sam2_hiera_tiny", 256, {"embed_dim": 16, "num_heads": 1, "stages": (1, 2, 3, 1)}),
    "pvt_v2": ("pvt_v2_b0", 64, {}),
    "xcit": ("xcit_nano_12_p16_224", 96, {}),
    "twins_svt": ("twins_svt_small", 112, {}),
    "vit": ("vit_tiny_patch16_224", 64, {"img_size": 64, **_VIT}),
    "vit non-square": ("vit_tiny_patch16_224", 64, {"img_size": (64, 96), **_VIT}),
    "vit avgpool": ("vit_small_patch16_224", 64, {"img_size": 64, "global_pool": "avg", "class_token": False, **_VIT}),
    "vit relpos": ("vit_relpos_small_patch16_224", 64, {"img_size": 64, **_VIT}),
    "vit dinov2 reg4": (
        "vit_small_patch14_reg4_dinov2", 70, {"img_size": 70, "num_classes": 10, **_VIT}
    ),
    "vit siglip": ("vit_base_patch16_siglip_224", 64, {"img_size": 64, "num_classes": 10, **_VIT}),
    "vit sam": ("samvit_base_patch16", 128, {"img_size": 128, "global_attn_indexes": (1,), "window_size": 4, **_VIT}),
    "vit hybrid": ("vit_tiny_r_s16_p8_224", 64, {"img_size": 64, **_VIT}),
    "dinov3": ("vit_small_patch16_dinov3", 64, {"img_size": 64, "num_classes": 10, **_VIT}),
    "deit distilled": ("deit_tiny_distilled_patch16_224", 64, {"img_size": 64, **_VIT}),
    "beit": ("beit_base_patch16_224", 64, {"img_size": 64, **_VIT}),
    "eva02": ("eva02_tiny_patch14_224", 70, {"img_size": 70, "num_classes": 10, **_VIT}),
    "flexivit": ("flexivit_small", 64, {"img_size": 64, **_VIT}),
    "cait": ("cait_xxs24_224", 64, {"img_size": 64, **_VIT}),
    "crossvit": ("crossvit_9_240", 240, {}),
    "tnt": ("tnt_s_legacy_patch16_224", 64, {"img_size": 64, "depth": 2}),
    "pit": ("pit_ti_224", 64, {"img_size": 64}),
    "convit": ("convit_tiny", 64, {"img_size": 64, "depth": 3, "local_up_to_layer": 2}),
    "coat": ("coat_lite_tiny", 64, {"img_size": 64}),
    "mvitv2": ("mvitv2_tiny", 64, {"img_size": 64}),
    "poolformer": ("poolformer_s12", 64, {}),
    "efficientformer": ("efficientformer_l1", 224, {}),
    "efficientformerv2": ("efficientformerv2_s0", 224, {}),
    "fastvit": ("fastvit_t8", 64, {}),
    "edgenext": ("edgenext_xx_small", 64, {}),
    "visformer": ("visformer_tiny", 64, {"img_size": 64}),
    "mixer": ("mixer_s32_224", 96, {"img_size": 96}),
    "resmlp": ("resmlp_12_224", 64, {"img_size": 64}),
    "gmlp": ("gmixer_12_224", 64, {"img_size": 64}),
    "sequencer2d": ("sequencer2d_s", 64, {"img_size": 64, "layers": (1, 1, 2, 1)}),
    "mambaout": ("mambaout_femto", 64, {}),
    "naflexvit": ("naflexvit_base_patch16_gap", 64, {"img_size": 64, **_VIT}),
    "efficientvit b0": ("efficientvit_b0", 64, {}),
    "efficientvit m0": ("efficientvit_m0", 128, {"img_size": 128}),
    "swiftformer": ("swiftformer_xs", 64, {}),
    "shvit": ("shvit_s1", 64, {}),
    "repvit": ("repvit_m0_9", 64, {}),
    "nextvit": ("nextvit_small", 64, {}),
    "starnet": ("starnet_s1", 64, {}),
    "convnext": ("convnext_atto", 64, {}),
    "inception_next": ("inception_next_atto", 64, {}),
    "resnet grey": ("resnet18", 64, {"in_chans": 1}),
    "resnet 4 bands": ("resnet18", 64, {"in_chans": 4}),
    "resnet embedding": ("resnet18", 64, {"num_classes": 0}),
    "resnet features_only": ("resnet18", 64, {"features_only": True}),
    "lambda_resnet": ("lambda_resnet26t", 64, {"img_size": 64}),
    "ghostnetv2": ("ghostnetv2_100", 64, {}),
    "dla": ("dla34", 64, {}),
    "mobilenetv4": ("mobilenetv4_conv_small_035", 64, {}),
    "csatv2": ("csatv2", 128, {}),
}  # fmt: skip


def _made(model: str, size: int, options: Mapping[str, Any]) -> Callable[[], Known]:
    def make() -> Known:
        import_torchvision()  # timm imports it
        import timm

        module = timm.create_model(model, pretrained=False, **options)
        sides = options.get("img_size", size)
        channels = options.get("in_chans", 3)
        mean, std = (
            [MEAN[channel % 3] for channel in range(channels)],
            [STD[channel % 3] for channel in range(channels)],
        )
        return Known(module, {"size": sides if isinstance(sides, tuple) else (sides, sides), "mean": mean, "std": std})

    return make


def _built(module: str, name: str, size: int, **options: Any) -> Callable[[], Known]:
    """Of a class of timm's, where `create_model` lets less be said."""

    def make() -> Known:
        import_torchvision()
        made = getattr(importlib.import_module(f"timm.models.{module}"), name)(num_classes=5, **options)
        return Known(made, {"size": size, "mean": MEAN, "std": STD})

    return make


_NARROW: dict[str, Any] = {"depths": (1, 1, 2, 1), "dims": (16, 24, 32, 48)}
_NEST: dict[str, Any] = {"embed_dims": (16, 32, 64), "depths": (1, 1, 2), "num_heads": (2, 2, 2)}
ROWS: Mapping[str, Callable[[], Known]] = {
    **{f"timm {name}": _made(*model) for name, model in MODELS.items()},
    "timm gcvit": _built(
        "gcvit", "GlobalContextVit", 112, img_size=112, window_size=7, embed_dim=8, depths=(2, 2), num_heads=(2, 2)
    ),
    "timm focalnet": _built("focalnet", "FocalNet", 64, embed_dim=16, depths=(1, 1, 2, 1)),
    "timm poolformer, narrow": _built("metaformer", "MetaFormer", 64, **_NARROW),
    "timm nest": _built("nest", "Nest", 64, img_size=64, num_levels=3, **_NEST),
    "timm resnetv2": _built("resnetv2", "ResNetV2", 64, layers=(1, 1, 1, 1), channels=(128, 128, 128, 128)),
    "timm volo": _built(
        "volo",
        "VOLO",
        64,
        layers=(1, 1, 1, 1),
        img_size=64,
        embed_dims=(32, 64, 64, 64),
        num_heads=(2, 4, 4, 4),
        mlp_ratio=2.0,
        downsamples=(True, False, False, False),
        outlook_attention=(True, False, False, False),
    ),
}
