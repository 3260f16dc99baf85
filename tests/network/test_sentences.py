"""Messages for a forward pass that raises or has no gradient: the reason, the line of user code, and what to do."""

import sys

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn
from torch.utils.checkpoint import checkpoint

import triscope as ts
from tests import nets
from triscope.cli import main
from triscope.errors import NetworkError

IMAGES = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def body(self, x):
        return F.relu(self.two(F.relu(self.one(x))))

    def middle(self, x):
        return self.body(x)

    def forward(self, x):
        return self.head(self.middle(x).mean((2, 3)))


class NoGrad(Base):
    @torch.no_grad()
    def middle(self, x):
        return self.body(x)


class Inference(Base):
    def middle(self, x):
        with torch.inference_mode():
            return self.body(x).clone()


class Detached(Base):
    def middle(self, x):
        return self.body(x).detach()


class Reentrant(Base):
    def middle(self, x):
        return checkpoint(self.body, x, use_reentrant=True)


class Checkpointed(Base):
    def middle(self, x):
        return checkpoint(self.body, x, use_reentrant=False)


CUT = {
    NoGrad: r"computes without gradients \(torch.no_grad or inference_mode\), line \d+ of test_sentences.py; take that",
    Detached: r"detaches a tensor, line \d+ of test_sentences.py; take that out",
    Reentrant: r"runs a part by a checkpoint with use_reentrant=True, line \d+ of .*; set use_reentrant=False",
}
WAYS = {
    "saliency": lambda net: ts.saliency(net, IMAGES, 1),
    "guided": lambda net: ts.guided_backprop(net, IMAGES, 1),
    "deconvnet": lambda net: ts.deconvnet(net, IMAGES, 1),
    "integrated": lambda net: ts.integrated_gradients(net, IMAGES, 1, steps=2),
    "grad_cam": lambda net: ts.grad_cam(net, IMAGES, 1, layer="two"),
    "ascend": lambda net: ts.ascend(net, 1, steps=1, size=32, regulariser="none"),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", CUT, ids=lambda kind: kind.__name__)
def test_what_stops_a_gradient_is_named_with_its_line(kind, way):
    with pytest.raises(NetworkError, match=f"has no gradient at .* of {kind.__name__}: its forward {CUT[kind]}"):
        WAYS[way](ts.Network(kind(), size=32))


def test_inner_units_before_the_stop_can_be_asked():
    assert ts.saliency(ts.Network(Detached(), size=32), IMAGES, ts.unit("one:1")).values.any()
    with pytest.raises(NetworkError, match="choose a layer that comes before it"):
        ts.grad_cam(ts.Network(Detached(), size=32), IMAGES, ts.unit("one:1"), layer="two")


@pytest.mark.parametrize("way", ["saliency", "guided", "deconvnet", "ascend"])
def test_checkpoints_that_are_not_reentrant_are_asked(way):
    plain, checked = Base(), Checkpointed()
    checked.load_state_dict(plain.state_dict())
    one, other = (WAYS[way](ts.Network(module, size=32)).values for module in (plain, checked))
    torch.testing.assert_close(one, other)


def test_a_layer_inside_a_checkpoint_has_a_sentence():
    with pytest.raises(NetworkError, match=r"runs in a gradient checkpoint, .* Switch checkpointing off"):
        WAYS["grad_cam"](ts.Network(Checkpointed(), size=32))


@pytest.mark.filterwarnings("ignore")
class TestQuantised:
    @pytest.fixture
    def network(self):
        made = torch.ao.quantization.quantize_dynamic(Base().eval(), {nn.Linear}, dtype=torch.qint8)
        return ts.Network(made, size=32)

    @pytest.mark.parametrize("way", WAYS)
    def test_it_has_no_gradient(self, network, way):
        with pytest.raises(NetworkError, match="layer head is quantised, and has none; give the float network"):
            WAYS[way](network)

    def test_what_comes_before_has_one(self, network):
        assert ts.saliency(network, IMAGES, ts.unit("two:1")).values.any()

    def test_its_hash_and_its_store(self, network, tmp_path):
        again = ts.Network(network.module, size=32)
        assert network.sha256 == again.sha256
        other = torch.ao.quantization.quantize_dynamic(Base().eval(), {nn.Linear}, dtype=torch.qint8)
        assert ts.Network(other, size=32).sha256 != network.sha256
        (tmp_path / "photos").mkdir()
        for number in range(3):
            picture = ts.ascend(ts.Network(Base(), size=32), number, steps=1, size=32)
            picture.save(tmp_path / "photos" / f"{number}.png")
        store = ts.Store.build(network, ts.Collection(tmp_path / "photos"), layers=["output"], path=tmp_path / "store")
        assert len(store) == 3
        assert ts.neighbors(store, tmp_path / "photos" / "1.png", layer="output", k=1).names == ("1.png",)


class Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


class Handmade(Base):
    def body(self, x):
        return Clamped.apply(self.two(Clamped.apply(self.one(x))))


@pytest.mark.parametrize("way", ["guided", "deconvnet"])
def test_a_relu_of_the_users_own_is_never_the_plain_gradient_silently(way):
    with pytest.raises(NetworkError, match=r"has none before this unit \(it has 2 Clamped"):
        WAYS[way](ts.Network(Handmade(), size=32))


class Fixed(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.one, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4 * (side - 2) ** 2, 5)

    def forward(self, x):
        return self.head(self.one(x).flatten(1))


def said(module, **known):
    with pytest.raises(NetworkError) as caught:
        ts.saliency(ts.Network(module, **known), IMAGES[:, : known.get("channels", 3)], 1)
    return str(caught.value)


def test_size_is_blamed_only_where_another_size_works():
    assert "It runs on 64 x 64: state its size, Network(..., size=64)" in said(Fixed(64), size=32)
    network = ts.Network(Fixed(32), size=32)
    with pytest.raises(NetworkError, match=r"40 x 40 pixels .* It runs on its usual size, 32 x 32\."):
        ts.saliency(network, torch.rand(1, 3, 40, 40), 1)


class Moon(Base):
    def middle(self, x):
        raise RuntimeError("the moon is full")


class Keys(Base):
    def middle(self, x):
        return {"x": x}["y"]


class Types(Base):
    def middle(self, x):
        return x + "1"


class Attributes(Base):
    def middle(self, x):
        return x.nothing


@pytest.mark.parametrize("kind", [Moon, Keys, Types, Attributes])
def test_what_a_forward_raises_is_a_sentence_with_its_own_line(kind):
    told = said(kind(), size=32)
    assert "of test_sentences.py: " in told
    assert "size=" not in told
    assert "usual size" not in told


def test_channels_are_blamed_where_others_work():
    told = said(nets.cnn(1), size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert "It reads 1 channel, and was given 3: state Network(..., channels=1)" in told


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.head = nn.Conv3d(3, 4, (9, 3, 3)), nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.one(x).mean((2, 3, 4)))


def test_networks_of_videos_have_a_sentence_of_their_own_and_its_call_works():
    told = said(Video(), size=32)
    assert "It reads videos or volumes (B, C, frames, H, W)" in told
    call = told.partition("call=")[2].removesuffix(").")
    network = ts.Network(Video(), size=32, call=eval(call))
    assert ts.saliency(network, IMAGES, 1).values.any()


FILES = {
    "import": (
        "import torch\nimport nothing_like_it\n",
        "ModuleNotFoundError",
        ["line 2 of net.py: import nothing_like_it"],
    ),
    "syntax": ("import torch\ndef make(:\n", "SyntaxError", ["line 2 of net.py: def make(:"]),
    "factory": (
        "from parts import build\n\ndef make():\n    return build(3)\n",
        "ZeroDivisionError",
        ["line 4 of net.py: return build(3)", "line 2 of parts.py: return number / 0"],
    ),
    "arguments": ("def make(classes):\n    return classes\n", "TypeError", []),
}


@pytest.mark.parametrize("case", FILES)
def test_an_error_in_the_users_file_is_said_with_the_lines_of_that_file(case, tmp_path, monkeypatch):
    text, error, lines = FILES[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    (tmp_path / "net.py").write_text(text)
    (tmp_path / "parts.py").write_text("def build(number):\n    return number / 0\n")
    told = CliRunner().invoke(main, ["layers", "-m", "net.py:make"])
    assert told.exit_code == 1
    assert told.stderr.startswith(f"triscope: net.py:make stopped with {error}: ")
    for line in lines:
        assert line in told.stderr
    assert "Traceback" not in told.stderr
    assert "triscope/" not in told.stderr
