"""Class tokens and single tokens: against autograd on the module, as text, and in stores."""

import pytest
import torch
from PIL import Image
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError, ObjectiveError, StoreError

SIZE = (12, 16)
TINY = 1e-6


@pytest.fixture
def module():
    return nets.fill(nets.Tokens(extra=2)).double().eval()


@pytest.fixture
def network(module):
    return ts.Network(module, size=SIZE)


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def tokens_of(module, images):
    """What `norm` gives, (B, T, C)."""
    kept = []
    with module.norm.register_forward_hook(lambda *call: kept.append(call[2])):
        module(images)
    return kept[0]


@pytest.mark.parametrize(
    ("text", "value", "place"),
    [
        ("norm:3@class", ts.Token("norm", "class", 3), 0),
        ("norm:3@token0", ts.Token("norm", 0, 3), 0),
        ("norm:3@token1", ts.Token("norm", 1, 3), 1),
        ("norm:3@token13", ts.Token("norm", 13, 3), 13),
    ],
)
def test_a_token_is_what_autograd_says(module, network, images, text, value, place):
    assert ts.unit(text) == value
    assert str(value) == text
    assert eval(repr(value), {"Token": ts.Token}) == value
    leaf = images.clone().requires_grad_()
    scores = tokens_of(module, leaf)[:, place, 3]
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    found = ts.gradient(network, images, text)
    torch.testing.assert_close(found.scores, scores.detach(), atol=TINY, rtol=0)
    torch.testing.assert_close(found.values, gradient, atol=TINY, rtol=0)
    heat = ts.saliency(network, images, text)
    assert heat.recipe.objective == text
    torch.testing.assert_close(ts.saliency(network, images[1:2], text).values, heat[1].values)


def test_sums_of_tokens_have_a_text(network, images):
    asked = ts.Token("norm", "class", 3) - 0.5 * ts.Token("norm", 7, 1)
    assert ts.unit(str(asked)) == asked
    assert ts.saliency(network, images, str(asked)).recipe.objective == str(asked)
    with pytest.raises(ObjectiveError, match="a maximum is taken over a whole channel"):
        ts.unit("max:norm:3@class")


class SequenceFirst(nn.Module):
    """Tokens come before images: (T, B, C), the class token first."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.head = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8), nn.Linear(8, 5)
        self.first = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).permute(2, 0, 1)
        first = self.first + tokens.mean(0, keepdim=True)
        tokens = self.norm(torch.cat([first, tokens]))
        return self.head(tokens[0])


def test_tokens_that_come_before_pictures(images):
    module = nets.fill(SequenceFirst()).double()
    network = ts.Network(module, size=SIZE)
    wanted = tokens_of(module, images)
    torch.testing.assert_close(network.look(images, [ts.Need("norm", "class")])[ts.Need("norm", "class")], wanted[0])
    torch.testing.assert_close(ts.saliency(network, images, "norm:2@token5").scores, wanted[5, :, 2].detach())


def test_what_has_no_tokens_is_refused(network, images):
    with pytest.raises(NetworkError, match="patches gives 8 x 3 x 4 for an image, and no tokens"):
        ts.saliency(network, images, "patches:1@class")
    with pytest.raises(NetworkError, match="head gives 5 for an image, and no tokens"):
        ts.saliency(network, images, "head:1@token0")
    bare = ts.Network(nets.fill(nets.Tokens(extra=0)).double(), size=SIZE)
    with pytest.raises(NetworkError, match="norm has no class token: there are no tokens before its positions"):
        ts.saliency(bare, images, "norm:1@class")
    with pytest.raises(ObjectiveError, match="norm has tokens 0 to 13 here"):
        ts.saliency(network, images, "norm:1@token14")
    with pytest.raises(ObjectiveError, match="channels 0 to 7; there is no channel 8"):
        ts.saliency(network, images, "norm:8@class")


@pytest.fixture
def folder(tmp_path):
    noise = torch.Generator().manual_seed(5)
    for index in range(5):
        pixels = (torch.rand(*SIZE, 3, generator=noise) * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("layer", ["norm@class", ts.Need("norm", "class")])
def test_a_store_keeps_class_tokens(module, network, folder, layer):
    store = ts.Store.build(network, folder, layers=[layer, "norm"], batch=2, precision="float32")
    files = sorted(folder.glob("*.png"))
    live = tokens_of(module, network.prepare(files).images)[:, 0]
    column = store.find("norm@class")
    torch.testing.assert_close(store.vectors(column, range(5)).double(), live, atol=2e-3, rtol=2e-3)
    assert store.find("norm").pool == "mean"
    for row, file in enumerate(files):
        nearest = ts.neighbors(store, file, layer="norm@class", k=1)
        assert nearest.names == (file.name,)
        wanted = torch.nn.functional.cosine_similarity(live - live.mean(0), live[row : row + 1] - live.mean(0))
        assert float(wanted.argmax()) == row
    found = ts.top(store, "norm:3@class", k=5)
    order = live[:, 3].argsort(descending=True).tolist()
    assert found.names == tuple(files[index].name for index in order)
    torch.testing.assert_close(found.values.double(), live[order, 3], atol=2e-3, rtol=2e-3)
    asked = ts.Similarity("norm@class", files[2]).bind(network)
    assert ts.top(store, asked, k=1).names == (files[2].name,)


def test_what_a_store_does_not_keep_is_said(network, folder):
    store = ts.Store.build(network, folder, layers=["norm"])
    with pytest.raises(StoreError, match="does not keep norm@class"):
        ts.top(store, "norm:3@class")
    with pytest.raises(StoreError, match="does not keep norm@class"):
        ts.neighbors(store, 0, layer="norm@class")
    with pytest.raises(StoreError, match=r"keeps the class token of norm \(norm@class\), not all its tokens"):
        ts.Store.build(network, folder, folder / "other", layers=[ts.Need("norm", "tokens")])
    with pytest.raises(NetworkError, match="and no tokens"):
        ts.Store.build(network, folder, folder / "other", layers=["patches@class"])


FACTORY = """
from tests import nets
def make():
    import triscope as ts
    return ts.Network(nets.fill(nets.Tokens(extra=2)), size=(12, 16))
"""


def test_on_the_command_line(folder, monkeypatch):
    from click.testing import CliRunner

    from triscope.cli import main

    monkeypatch.chdir(folder)
    (folder / "net.py").write_text(FACTORY)
    run, net = CliRunner().invoke, ["-m", "net.py:make"]
    for words in (
        ["saliency", "1.png", *net, "-u", "norm:3@class", "-o", "one.jpg"],
        ["redo", "one.jpg", *net, "-o", "two.jpg"],
        ["index", ".", *net, "--layer", "norm@class"],
        ["neighbors", "2.png", ".", *net, "--layer", "norm@class", "-o", "near.jpg"],
        ["top", "norm:3@class", ".", *net, "-o", "top.jpg"],
        ["redo", "top.jpg", *net, "-o", "again.jpg"],
    ):
        done = run(main, words)
        assert done.exit_code == 0, (words, done.output)
    assert (folder / "one.jpg").read_bytes() == (folder / "two.jpg").read_bytes()
    assert (folder / "top.jpg").read_bytes() == (folder / "again.jpg").read_bytes()
