"""Detectors and segmenters of transformers, tiny and untrained, against autograd on what they return."""

from importlib.util import find_spec

import pytest
import torch

import triscope as ts
from tests import nets

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not find_spec("transformers"), reason="needs transformers")]


@pytest.fixture
def transformers():
    nets.import_torchvision()  # transformers imports it
    return pytest.importorskip("transformers")


def compared(network, images, asked, scores, leaf):
    """Saliency of what was asked, beside the gradient of scores that were made of `leaf`, the images."""
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    found = ts.gradient(network, images, asked)
    torch.testing.assert_close(found.scores, scores.detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.values, gradient, atol=1e-6, rtol=1e-4)
    assert found.values.any()


def test_detr(transformers):
    eyes = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        backbone_config=eyes, use_timm_backbone=False, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=64, decoder_ffn_dim=64, encoder_attention_heads=2, decoder_attention_heads=2, num_queries=9,
        num_labels=2,
    )  # fmt: skip
    module = transformers.DetrForObjectDetection(config).eval()
    network = ts.Network(
        module,
        size=(64, 96),
        task="boxes",
        call=lambda m, x: (m(pixel_values=x), x.shape[-2:]),
        output=lambda y: ts.detections(y[0].pred_boxes, y[0].logits.softmax(-1)[..., :-1], form="cxcywh", size=y[1]),
    )
    images = torch.rand(2, 3, 64, 96)
    leaf = images.clone().requires_grad_()
    answer = module(pixel_values=leaf)
    scores = answer.logits.softmax(-1)
    boxes = []
    for x, y, width, height in answer.pred_boxes[:, 4].tolist():
        corners = (y - height / 2) * 64, (x - width / 2) * 96, (y + height / 2) * 64, (x + width / 2) * 96
        boxes.append(corners)
    compared(network, images, ts.Box(1, boxes), scores[:, 4, 1], leaf)
    told = ts.predict(network, images, k=1)
    torch.testing.assert_close(told.values[:, 0], scores[..., :2].amax((1, 2)).detach())


def test_segformer(transformers):
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 24, 32], decoder_hidden_size=16, depths=[1, 1, 1, 1], num_labels=4
    )
    module = transformers.SegformerForSemanticSegmentation(config).eval()
    network = ts.Network(module, size=64)
    images = torch.rand(2, 3, 64, 64)
    leaf = images.clone().requires_grad_()
    logits = module(pixel_values=leaf).logits
    best = logits.argmax(1)
    most = [int(one.flatten().bincount().argmax()) for one in best]
    inside = [best[row] == index for row, index in enumerate(most)]
    scores = torch.stack([logits[row, index][inside[row]].mean() for row, index in enumerate(most)])
    compared(network, images, None, scores, leaf)
    compared(network, images, "output:2", module(pixel_values=leaf).logits[:, 2].mean((1, 2)), leaf)


def test_the_class_token_of_dinov2(transformers, tmp_path):
    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14
    )
    module = transformers.Dinov2Model(config).eval()
    network = ts.Network(module, size=56, output="pooler_output", task="embedding")
    images = torch.rand(3, 3, 56, 56)
    leaf = images.clone().requires_grad_()
    token = module(pixel_values=leaf).last_hidden_state[:, 0]
    compared(network, images, "layernorm:5@class", token[:, 5], leaf)
    with torch.no_grad():
        eager = transformers.Dinov2Model(
            transformers.Dinov2Config(**{**config.to_dict(), "attn_implementation": "eager"})
        )
        eager.load_state_dict(module.state_dict())
        wanted = eager.eval()(pixel_values=images[:1], output_attentions=True).attentions
    found = ts.attention_maps(network, images[:1], "layernorm")
    torch.testing.assert_close(found.values, wanted[-1][0], atol=1e-5, rtol=1e-4)
    from PIL import Image

    for index, one in enumerate(images):
        Image.fromarray((one.permute(1, 2, 0) * 255).byte().numpy()).save(tmp_path / f"{index}.png")
    store = ts.Store.build(network, tmp_path, layers=["layernorm@class"], precision="float32")
    files = sorted(tmp_path.glob("*.png"))
    with torch.no_grad():
        live = module(pixel_values=network.prepare(files).images).last_hidden_state[:, 0]
    torch.testing.assert_close(store.vectors(store.find("layernorm@class"), range(3)), live, atol=3e-3, rtol=3e-3)
    for file in files:
        assert ts.neighbors(store, file, layer="layernorm@class", k=1).names == (file.name,)
