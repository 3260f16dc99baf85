"""Attention rollout and gradient-weighted attention against their papers, written slowly with einsum and loops."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import triscope as ts
from tests import nets
from triscope.network.loading._torchvision import import_torchvision


def maps_of(module, inputs):
    """What a `nets.ViT` attends to in each block, (B, heads, T, T), and its scores; with gradients."""
    x = module.patches(inputs).flatten(2).transpose(1, 2)
    x = torch.cat([module.token.expand(len(x), -1, -1), x], 1) + module.place
    found = []
    for block in module.blocks:
        attention, normed = block["attention"], block["norm1"](x)
        q, k, v = attention.qkv(normed).reshape(*x.shape[:2], 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.einsum("bhld,bhsd->bhls", q, k).div(q.shape[-1] ** 0.5).softmax(-1)
        found.append(weights)
        mixed = torch.einsum("bhls,bhsd->blhd", weights, v)
        x = x + attention.proj(mixed.reshape(x.shape))
        x = x + block["mlp"](block["norm2"](x))
    return found, module.head(module.norm(x)[:, 0])


def as_picture(row):
    return F.interpolate(row.reshape(1, 1, 3, 4), (12, 16), mode="bilinear", align_corners=False)


def rollout_slowly(module, inputs, heads):
    maps, _ = maps_of(module, inputs)
    pictures = []
    for image in range(len(inputs)):
        flow = torch.eye(13, dtype=torch.float64)
        for weights in maps:
            each = weights[image]
            one = {"mean": each.mean(0), "max": each.max(0).values, "min": each.min(0).values}[heads]
            mixed = 0.5 * one + 0.5 * torch.eye(13)
            flow = mixed / mixed.sum(1, keepdim=True) @ flow
        pictures.append(as_picture(flow[0, 1:]))
    return torch.cat(pictures)


def gradient_attention_slowly(module, inputs, classes):
    pictures = []
    for image, asked in zip(inputs, classes, strict=True):
        maps, scores = maps_of(module, image[None])
        slopes = torch.autograd.grad(scores[0, asked], maps)
        relations = torch.eye(13, dtype=torch.float64)
        for weights, slope in zip(maps, slopes, strict=True):
            raising = (weights * slope)[0].clamp(min=0).mean(0)
            relations = relations + raising @ relations
        pictures.append(as_picture(relations[0, 1:]))
    return torch.cat(pictures)


def vit(form="fused"):
    return nets.fill(nets.ViT(form)).double().eval()


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
@pytest.mark.parametrize("form", ["fused", "eager", "module"])
def test_rollout_follows_the_paper(form, heads):
    module, images = vit(form), torch.rand(2, 3, 12, 16, dtype=torch.float64)
    found = ts.attention_rollout(nets.network(module, size=(12, 16)), images, heads=heads)
    torch.testing.assert_close(found.values, rollout_slowly(module, nets.Normalise()(images), heads).detach())
    assert found.notes == ()


@pytest.mark.parametrize("form", ["fused", "eager", "module"])
def test_gradient_attention_follows_the_paper(form):
    module, images = vit(form), torch.rand(2, 3, 12, 16, dtype=torch.float64)
    found = ts.gradient_attention(nets.network(module, size=(12, 16)), images, ts.Logit([1, 3]))
    wanted = gradient_attention_slowly(module, nets.Normalise()(images), [1, 3])
    assert wanted.max() > 0
    torch.testing.assert_close(found.values, wanted.detach())


def test_rollout_is_the_same_for_every_class_and_gradient_attention_is_not():
    network, image = nets.network(vit(), size=(12, 16)), torch.rand(1, 3, 12, 16, dtype=torch.float64)
    one, other = (ts.attention_rollout(network, image, asked).values for asked in (0, 1))
    assert torch.equal(one, other)
    one, other = (ts.gradient_attention(network, image, asked).values for asked in (0, 1))
    assert not torch.allclose(one, other)


def test_an_inner_unit_is_followed_up_to_its_layer():
    module, image = vit(), torch.rand(1, 3, 12, 16, dtype=torch.float64)
    found = ts.attention_rollout(nets.network(module, size=(12, 16)), image, ts.Channel("blocks.0.mlp.2", 3))
    module.blocks = module.blocks[:1]
    torch.testing.assert_close(found.values, rollout_slowly(module, nets.Normalise()(image), "mean").detach())


def test_shares_of_rollout_are_shares():
    """Interpolation aside, a row of R sums to 1; a part of it is the class token's own."""
    network = nets.network(vit(), size=(12, 16))
    values = ts.attention_rollout(network, torch.rand(2, 3, 12, 16, dtype=torch.float64)).values
    assert values.min() > 0
    assert (values.mean((1, 2, 3)) * 12 < 1).all()


class Pooled(nn.Module):
    """Tokens without a class token, of which the mean is classified; an attention within or across windows."""

    def __init__(self, windows=1, fewer=False):
        super().__init__()
        self.patches, self.first, self.second = (
            nn.Conv2d(3, 8, 4, 4),
            nets.Attention(8, "fused"),
            nets.Attention(8, "eager"),
        )
        self.head = nn.Linear(8, 5)
        self.windows, self.fewer = windows, fewer

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        batch, _, width = x.shape
        x = self.first(x.reshape(batch * self.windows, -1, width)).reshape(batch, -1, width) + x
        x = x[:, ::2] if self.fewer else x
        return self.head((self.second(x) + x).mean(1))


def test_without_a_class_token_the_mean_is_read():
    image = torch.rand(1, 3, 12, 16)
    heat = ts.attention_rollout(nets.network(nets.fill(Pooled()), size=(12, 16)), image)
    assert heat.notes == ("There is no class token, so the mean of all tokens was used.",)
    torch.testing.assert_close(heat.values.mean() * 12, torch.tensor(1.0), rtol=0.2, atol=0)


@pytest.mark.parametrize("method", [ts.attention_rollout, ts.gradient_attention])
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nets.cnn(), "has no attention of tokens to each other on the way to this unit. Use relevance"),
        (Pooled(windows=3), r"within windows \(3 for 1 images\)"),
        (Pooled(fewer=True), "has 6, 12 of them in turn"),
    ],
)
def test_what_cannot_be_followed_is_refused(method, module, message):
    with pytest.raises(ts.TriscopeError, match=message):
        method(nets.network(nets.fill(module), size=(12, 16)), torch.rand(1, 3, 12, 16), 0)


class Checkpointed(nets.ViT):
    """The blocks are computed again on the way back."""

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        for block in self.blocks:
            x = checkpoint(self.through, block, x, use_reentrant=False)
        return self.head(self.norm(x)[:, 0])

    def through(self, block, x):
        x = x + block["attention"](block["norm1"](x))
        return x + block["mlp"](block["norm2"](x))


@pytest.mark.parametrize("method", [ts.relevance, ts.gradient_attention, ts.attention_rollout])
def test_checkpoints(method):
    images = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    found, wanted = (
        method(nets.network(nets.fill(kind()).double().eval(), size=(12, 16)), images, 1).values
        for kind in (Checkpointed, nets.ViT)
    )
    torch.testing.assert_close(found, wanted)


PUBLISHED = {
    "torchvision": lambda: import_torchvision().models.VisionTransformer(32, 8, 2, 2, 24, 48, num_classes=5),
    "timm": lambda: timm_vit("vit_tiny_patch16_224"),
    "timm eager": lambda: eager(timm_vit("vit_tiny_patch16_224")),
    "timm with two class tokens": lambda: timm_vit("deit_tiny_distilled_patch16_224"),
}


def timm_vit(name):
    import_torchvision()
    timm = pytest.importorskip("timm")
    small = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 2, "num_classes": 5}
    return timm.create_model(name, pretrained=False, **small)


def eager(module):
    for part in module.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False
    return module


@pytest.mark.parametrize("method", [ts.attention_rollout, ts.gradient_attention, ts.relevance])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_vision_transformers(name, method):
    network = nets.network(nets.fill(PUBLISHED[name]()).eval(), size=(32, 32))
    heat = method(network, torch.rand(2, 3, 32, 32), ts.Logit([1, 3]))
    assert heat.values.shape == (2, 1, 32, 32)
    assert heat.values.isfinite().all()
    assert heat.values.any()
    assert heat.notes == ()


def test_the_two_ways_of_timm_agree():
    images = torch.rand(2, 3, 32, 32)
    for method in (ts.attention_rollout, ts.gradient_attention, ts.relevance):
        one, other = (
            method(nets.network(nets.fill(PUBLISHED[name]()).eval(), size=(32, 32)), images, 1).values
            for name in ("timm", "timm eager")
        )
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_transformers_vit(implementation):
    import_torchvision()
    import transformers

    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8
    )
    config._attn_implementation = implementation
    network = nets.network(nets.fill(transformers.ViTModel(config, add_pooling_layer=False)).eval(), size=(32, 32))
    unit = ts.Channel("layernorm", 3)
    for method in (ts.attention_rollout, ts.gradient_attention, ts.relevance):
        heat = method(network, torch.rand(1, 3, 32, 32), unit)
        assert heat.values.any()
        assert heat.notes == ()
