"""Raw attention of each head, against a transformer written slowly, and fused against explicit kernels."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from tests.where.test_attention import maps_of
from triscope.errors import NetworkError, OptionError

IMAGE = torch.rand(1, 3, 12, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def module():
    return nets.fill(nets.ViT()).double().eval()


@pytest.fixture
def network(module):
    return nets.network(module, size=(12, 16), mean=None, std=None)


def test_each_head_is_what_the_definition_says(module, network):
    maps, _ = maps_of(module, IMAGE)
    last = ts.attention_maps(network, IMAGE)
    torch.testing.assert_close(last.values.double(), maps[-1][0].detach(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(last.values.sum(-1), torch.ones(2, 13, dtype=torch.float64))
    first = ts.attention_maps(network, IMAGE, "blocks.0.attention")
    torch.testing.assert_close(first.values.double(), maps[0][0].detach(), atol=1e-6, rtol=1e-5)
    assert "Attention 1 of the pass, on the way to blocks.0.attention: what the class token attends to" in first.note
    assert first.titles == ("head 0", "head 1")
    one = ts.attention_maps(network, IMAGE, "blocks.0.attention", head=1)
    assert torch.equal(one.values[0], first.values[1])
    assert one.titles == ("head 1",)


def test_fused_attention_of_torch_is_opened():
    module = nets.fill(nets.Tokens(extra=2)).double().eval()
    network = ts.Network(module, size=(12, 16))
    kept = []
    with module.block.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0])):
        module(IMAGE)
    _, wanted = module.block.self_attn(*kept * 3, need_weights=True, average_attn_weights=False)
    found = ts.attention_maps(network, IMAGE, "block")
    torch.testing.assert_close(found.values.double(), wanted[0].detach(), atol=1e-6, rtol=1e-5)


def test_the_token_drawn_can_be_chosen(network):
    whole = ts.attention_maps(network, IMAGE, token="all")
    assert whole.pictures[0].shape[1:] == (117, 117)  # 13 x 13, nine pixels each
    for token, row in (("class", 0), ("2,3", 12), ("0,1", 2)):
        found = ts.attention_maps(network, IMAGE, token=token)
        assert torch.equal(found.values, whole.values)
        drawn = found.pictures[0]
        brightest = int(found.values[0, row, 1:].argmax())
        light = drawn.sum(0)[drawn.shape[1] // 6 :: drawn.shape[1] // 3, drawn.shape[2] // 8 :: drawn.shape[2] // 4]
        assert int(light.flatten().argmax()) == brightest
    for wrong in ("3,0", "0,4", "cls", "1"):
        with pytest.raises(OptionError, match="ROW,COLUMN with rows 0 to 2 and columns 0 to 3"):
            ts.attention_maps(network, IMAGE, token=wrong)


def test_without_a_class_token_the_mean_is_drawn():
    network = ts.Network(nets.fill(nets.Tokens(extra=0)), size=(12, 16))
    assert "what the mean token attends to" in ts.attention_maps(network, IMAGE.float()).note


def test_what_has_no_such_attention_is_refused(network):
    with pytest.raises(NetworkError, match="no attention of tokens to each other"):
        ts.attention_maps(nets.network(), torch.rand(1, 3, 5, 7))
    with pytest.raises(NetworkError, match="one image at a time; 2 were given"):
        ts.attention_maps(network, IMAGE.expand(2, -1, -1, -1))
    with pytest.raises(NetworkError, match="has heads 0 to 1; there is no 5"):
        ts.attention_maps(network, IMAGE, head=5)


class Windows(nn.Module):
    """Tokens that attend to each other within two windows."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        parts = tokens.reshape(len(x) * 2, 1, 6, 8)
        seen = nn.functional.scaled_dot_product_attention(parts, parts, parts)
        return self.head(seen.reshape(len(x), 12, 8).mean(1))


def test_windows_are_refused():
    network = ts.Network(nets.fill(Windows()), size=(12, 16))
    with pytest.raises(NetworkError, match="within 2 windows there"):
        ts.attention_maps(network, IMAGE.float())
