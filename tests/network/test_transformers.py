"""Networks of transformers, tiny and untrained: their layers answer where the image changes, and for the image."""

import math
from importlib.util import find_spec

import pytest
import torch
from torch import nn

import triscope as ts
from tests.network import families
from triscope.network.loading._torchvision import import_torchvision

if not find_spec("transformers"):
    pytest.skip("needs transformers", allow_module_level=True)
import_torchvision()  # transformers imports it
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.slow

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64,
    "patch_size": 8,
}  # fmt: skip
SWIN = {"patch_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)}


def made(model, config, size=64, **options):
    """What makes a network, and its usual size."""
    return lambda: (getattr(transformers, model)(getattr(transformers, config)(**options)), size)


NETWORKS = {
    "vit": made("ViTForImageClassification", "ViTConfig", **SMALL),
    "deit": made("DeiTForImageClassificationWithTeacher", "DeiTConfig", **SMALL),
    "beit": made("BeitForImageClassification", "BeitConfig", **SMALL, use_relative_position_bias=True),
    "dinov2": made("Dinov2ForImageClassification", "Dinov2Config", **SMALL),
    "dinov2 with registers": made("Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", **SMALL),
    "dinov3": made("DINOv3ViTModel", "DINOv3ViTConfig", **SMALL, num_register_tokens=4),
    "clip": made("CLIPVisionModel", "CLIPVisionConfig", **SMALL),
    "siglip": made("SiglipVisionModel", "SiglipVisionConfig", **SMALL),
    "swin": made("SwinForImageClassification", "SwinConfig", 56, **SWIN, image_size=56, window_size=7),
    "swin v2": made("Swinv2ForImageClassification", "Swinv2Config", 64, **SWIN, image_size=64, window_size=8),
    "hiera": made(
        "HieraForImageClassification", "HieraConfig", 128, embed_dim=16, image_size=[128, 128], depths=[1, 1, 2],
        num_heads=[1, 1, 2], num_query_pool=2,
    ),
    "segformer": made(
        "SegformerForImageClassification", "SegformerConfig", 64, depths=[1] * 4, hidden_sizes=[8, 16, 24, 32]
    ),
    "yolos": made("YolosModel", "YolosConfig", **SMALL | {"image_size": [64, 64]}, num_detection_tokens=20),
    "mobilevit": made(
        "MobileViTForImageClassification", "MobileViTConfig", 128, image_size=128, hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 32],
    ),
}  # fmt: skip

#: Layers in which attention answers fewer queries than there are keys, so that none of them has a key of its own.
FROM_AFAR = ("attn.proj", "drop_path~1", "o_proj", "hidden_dropout")


class Plain(nn.Module):
    """Called with the image alone, and gives one tensor."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        found = self.inner(pixel_values=x)
        return found.logits if "logits" in found else found.last_hidden_state.flatten(2).mean(1)


def network(name):
    torch.manual_seed(0)
    module, size = NETWORKS[name]()
    return families.network(Plain(module), size)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_tokens_answers_where_the_picture_changes(name):
    net = network(name)
    layers = [
        layer.name
        for layer in net.layers.values()
        if layer.layout.kind in ("tokens", "windows", "maps-last")
        and min(layer.grid) > 3
        and layer.note is None
        and not (name in ("hiera", "segformer") and layer.name.endswith(FROM_AFAR))
    ]
    assert len(layers) > 20
    missed = families.places_missed(net, layers)
    assert {name: count for name, count in missed.items() if count} == {}


@pytest.mark.parametrize(
    ("name", "prefix", "suffix", "grid"),
    [
        ("dinov2", 1, 0, (8, 8)),
        ("dinov2 with registers", 5, 0, (8, 8)),
        ("dinov3", 5, 0, (8, 8)),
        ("deit", 2, 0, (8, 8)),
        ("siglip", 0, 0, (8, 8)),
        ("yolos", 1, 20, (8, 8)),
    ],
)
def test_tokens_before_and_after_the_grid_are_found(name, prefix, suffix, grid):
    net = network(name)
    layout = next(layer.layout for layer in reversed(list(net.layers.values())) if layer.layout.kind == "tokens")
    assert (layout.prefix, layout.suffix, layout.grid) == (prefix, suffix, grid)


@pytest.mark.parametrize("size", [(64, 64), (61, 75), (40, 103)])
@pytest.mark.parametrize("name", ["dinov2", "dinov2 with registers", "dinov3"])
def test_any_size_has_as_many_tokens_as_whole_patches(name, size):
    net = network(name)
    layer = next(layer for layer in reversed(list(net.layers.values())) if layer.layout.kind == "tokens")
    found = net.look(torch.rand(2, 3, *size), [layer.name])[layer.name]
    assert found.shape == (2, 32, size[0] // 8, size[1] // 8)
    assert ts.ascend(net, f"{layer.name}:3", steps=2).values.isfinite().all()


@pytest.mark.parametrize("name", ["swin", "swin v2", "hiera", "dinov2"])
def test_each_picture_has_its_own_answer_in_every_layer(name):
    net = network(name)
    layers = [layer.name for layer in net.layers.values() if layer.layout.kind != "other" and layer.name != "output"]
    images = torch.rand(5, 3, *net.size)
    with torch.no_grad():
        together, alone = net.look(images, layers), [net.look(image[None], layers) for image in images]
    for layer in layers:
        for place, look in enumerate(alone):
            worst = (together[layer][place] - look[layer][0]).abs().max()
            assert worst <= 1e-4 * look[layer].abs().max() + 1e-5, layer


def test_queries_and_masked_tokens_have_no_positions():
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, d_model=32, encoder_layers=1,
        backbone_config=transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, out_features=["stage4"]
        ),
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    detr = families.network(Plain(transformers.DetrModel(config)), 128)
    queries = [layer for layer in detr.layers.values() if layer.shape[:1] == (100,)]
    assert len(queries) > 5
    assert {layer.name: layer.layout.kind for layer in queries if layer.layout.kind not in ("roi", "other")} == {}
    tokens = [layer for layer in detr.layers.values() if layer.shape == (16, 32)]
    assert {layer.grid for layer in tokens} == {(4, 4)}
    masked = families.network(Plain(transformers.ViTMAEModel(transformers.ViTMAEConfig(**SMALL))), 64)
    kept = math.ceil(64 * 0.25) + 1
    assert {layer.name for layer in masked.layers.values() if layer.shape == (kept, 32) and layer.grid} == set()
