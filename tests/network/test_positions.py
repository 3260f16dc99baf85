"""Positions of activations in the image, in whatever order a network stores them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from tests.network import families
from triscope.errors import NetworkError

SIZE = (24, 32)  # 6 x 8 positions


class Arranged(nn.Module):
    """Maps of 8 channels, put into another arrangement by `arrange`, where `inside` mixes the last dimension."""

    def __init__(self, arrange, width=8):
        super().__init__()
        self.patches, self.inside, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(width, 5), nn.Linear(8, 4)
        self.extra, self.arrange = nn.Parameter(torch.ones(1, 3, 8)), arrange

    def forward(self, x):
        y = self.patches(x)
        self.inside(self.arrange(y, self.extra))
        return self.head(y.mean((2, 3)))


def windows(y, side=2, shift=0):
    """Windows in the batch, rolled before and filled up to whole windows, as Swin does."""
    y = y.permute(0, 2, 3, 1)
    y = torch.roll(y, (-shift, -shift), (1, 2))
    y = F.pad(y, (0, 0, 0, -y.shape[2] % side, 0, -y.shape[1] % side))
    count, rows, cols, channels = y.shape
    y = y.view(count, rows // side, side, cols // side, side, channels)
    return y.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, side, side, channels)


def units(y):
    """Tokens unit by unit, of 2 x 2 units of 3 x 4 positions, as Hiera keeps them."""
    y = y.flatten(2).transpose(1, 2).view(len(y), 2, 3, 2, 4, 8)
    return y.permute(0, 2, 4, 1, 3, 5).reshape(len(y), -1, 8)


def unfolded(y):
    """Every 2 x 2 positions apart in the batch, as MobileViT does."""
    count, channels, rows, cols = y.shape
    y = y.reshape(count * channels * rows // 2, 2, cols // 2, 2).transpose(1, 2)
    y = y.reshape(count, channels, rows * cols // 4, 4).transpose(1, 3)
    return y.reshape(count * 4, -1, channels)


def tokens(y):
    return y.flatten(2).transpose(1, 2)


def written(y):
    """Written into a larger tensor of zeros, as batches of images of several sizes are."""
    out = y.new_zeros(len(y), 8, 10, 8)
    out[:, : y.shape[2], 1 : y.shape[3] + 1] = y.permute(0, 2, 3, 1)
    return out


class Unknown(torch.autograd.Function):
    """A function of somebody else's."""

    @staticmethod
    def forward(ctx, x):
        return torch.positive(x) * 0

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 0


ARRANGEMENTS = {
    "channels last": lambda y, extra: y.permute(0, 2, 3, 1),
    "tokens": lambda y, extra: tokens(y),
    "a class token": lambda y, extra: torch.cat([extra[:, :1].expand(len(y), -1, -1), tokens(y)], 1),
    "registers": lambda y, extra: torch.cat([extra.repeat(len(y), 1, 1), tokens(y)], 1) + 1,
    "tokens at the end": lambda y, extra: torch.cat([tokens(y), extra.expand(len(y), -1, -1)], dim=1),
    "tokens on both sides": lambda y, extra: torch.cat(
        [extra[:, :1].expand(len(y), -1, -1), tokens(y), extra[:, 1:].expand(len(y), -1, -1)], 1
    ),
    "tokens first": lambda y, extra: y.flatten(2).permute(2, 0, 1),
    "flat": lambda y, extra: tokens(y).flatten(0, 1),
    "rows in the batch": lambda y, extra: y.permute(0, 2, 3, 1).flatten(0, 1),
    "columns first": lambda y, extra: y.permute(3, 2, 0, 1),
    "windows": lambda y, extra: windows(y),
    "flat windows": lambda y, extra: windows(y).view(-1, 4, 8),
    "shifted windows": lambda y, extra: windows(y, 2, 1),
    "padded windows": lambda y, extra: windows(y, 5),
    "padded shifted windows": lambda y, extra: windows(y, 5, 2),
    "maps filled up, then windows": lambda y, extra: windows(F.pad(y, (1, 1, 2, 2)), 5),
    "blocks": lambda y, extra: F.unfold(y, 2, stride=2).view(len(y), 8, 4, -1).permute(0, 2, 3, 1),
    "blocks and back": lambda y, extra: F.fold(F.unfold(y, 2, stride=2), y.shape[2:], kernel_size=2, stride=2).permute(
        0, 2, 3, 1
    ),
    "blocks of maps filled up": lambda y, extra: (
        F.unfold(y, (3, 4), padding=(0, 2), stride=(3, 4)).view(len(y), 8, 12, -1).permute(0, 3, 2, 1)
    ),
    "a residual around maps in disorder": lambda y, extra: (y + 0 * tokens(y).reshape(y.shape)).permute(0, 2, 3, 1),
    "windows beside the batch": lambda y, extra: windows(y).view(len(y), -1, 4, 8),
    "windows and a token in each": lambda y, extra: torch.cat(
        [extra[:, :1].expand(len(y) * 12, -1, -1), windows(y).flatten(1, 2)], 1
    ),
    "windows and back": lambda y, extra: (
        windows(y).view(-1, 3, 4, 2, 2, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 6, 8, 8)
    ),
    "units": lambda y, extra: units(y),
    "unfolded": lambda y, extra: unfolded(y),
    "turned": lambda y, extra: y.transpose(2, 3).permute(0, 2, 3, 1),
    "mirrored": lambda y, extra: y.flip(3).permute(0, 2, 3, 1),
    "stacked and split": lambda y, extra: torch.stack([tokens(y), tokens(y) * 2], 2).unbind(2)[0],
    "cut out": lambda y, extra: torch.cat([extra.expand(len(y), -1, -1), tokens(y)], 1)[:, 3:],
    "heads": lambda y, extra: tokens(y).view(len(y), -1, 2, 4).transpose(1, 2).transpose(1, 2).reshape(len(y), -1, 8),
    "written into zeros": lambda y, extra: written(y),
    "a residual around what is not followed": lambda y, extra: units(y) + Unknown.apply(units(y)),
    "attention to oneself": lambda y, extra: (
        (1e4 * tokens(y) @ tokens(y).transpose(1, 2) - 1e9 * (1 - torch.eye(y[0, 0].numel()))).softmax(-1) @ tokens(y)
    ),
    "mixed by einsum": lambda y, extra: torch.einsum("bchw,cd->bhwd", y, torch.eye(8)),
    "turned by einsum, unsaid": lambda y, extra: torch.einsum("bahw", y.permute(0, 2, 3, 1)).permute(0, 2, 1, 3),
    "two alike by einsum": lambda y, extra: torch.einsum("bcn, bcn -> bnc", y.flatten(2), 0 * y.flatten(2) + 1),
    "heads by einsum": lambda y, extra: (
        torch.einsum("...nd,de->...ne", tokens(y).view(len(y), -1, 2, 4).transpose(1, 2), torch.eye(4))
        .transpose(1, 2)
        .flatten(2)
    ),
    "attention by einsum": lambda y, extra: torch.einsum(
        "bqk,bkc->bqc",
        (1e4 * torch.einsum("bqc,bkc->bqk", tokens(y), tokens(y)) - 1e9 * (1 - torch.eye(y[0, 0].numel()))).softmax(-1),
        tokens(y),
    ),
    "attention by a function": lambda y, extra: F.scaled_dot_product_attention(
        tokens(y), tokens(y), tokens(y), attn_mask=-1e9 * (1 - torch.eye(y[0, 0].numel()))
    ),
}


def expected(module, images):
    """What `inside` gives at each position, wherever it is kept: a convolution of 1 x 1."""
    y = module.patches(nets.Normalise()(images))
    return F.conv2d(y, module.inside.weight[:, :, None, None], module.inside.bias)


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_positions_are_put_back_in_their_places(name):
    module = nets.fill(Arranged(ARRANGEMENTS[name])).eval()
    network, layer = nets.network(module, size=SIZE), "inside"
    assert network.layer(layer).grid == (6, 8)
    assert network.layer(layer).channels == 5
    assert network.layer(layer).note is None
    for count in (1, 2, 5):
        images = torch.rand(count, 3, *SIZE)
        wanted = expected(module, images)
        wanted = wanted + 0 * (name == "registers")
        got = network.look(images, [layer])[layer]
        if name == "registers":  # they are moved by one, in all channels
            wanted = F.conv2d(
                module.patches(nets.Normalise()(images)) + 1, module.inside.weight[:, :, None, None], module.inside.bias
            )
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
    images = torch.rand(2, 3, *SIZE)
    found = ts.gradient(network, images, ts.Neuron(layer, 3, 4, 1), at=layer)
    assert found.values.nonzero().tolist() == [[0, 3, 4, 1], [1, 3, 4, 1]]
    heat = ts.saliency(network, images, ts.Neuron(layer, 3, 4, 1)).values
    assert {tuple(place) for place in (heat[0, 0] > 0).nonzero().tolist()} <= {
        (row, col) for row in range(16, 20) for col in range(4, 8)
    }


@pytest.mark.parametrize("size", [(16, 16), (27, 39), (40, 24)])
@pytest.mark.parametrize("name", ["tokens", "registers", "tokens on both sides", "tokens first", "flat", "windows"])
def test_positions_at_another_size(name, size):
    """The patch embedding cuts off what is left over, and tokens do as it does."""
    module = nets.fill(Arranged(ARRANGEMENTS["padded windows" if name == "windows" else name])).eval()
    network, images = nets.network(module, size=SIZE), torch.rand(3, 3, *size)
    wanted = expected(module, images)
    if name == "registers":
        wanted = wanted + module.inside.weight.sum(1)[:, None, None]
    torch.testing.assert_close(network.look(images, ["inside"])["inside"], wanted, rtol=1e-4, atol=1e-4)


class Merged(nn.Module):
    """Tokens whose neighbours are merged by fours, as Swin of transformers does; filled up where they are odd."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm, self.merge = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(32), nn.Linear(32, 6)

    def forward(self, x):
        y = self.patches(x).permute(0, 2, 3, 1)
        y = F.pad(y, (0, 0, 0, y.shape[2] % 2, 0, y.shape[1] % 2))
        y = torch.cat([y[:, 0::2, 0::2], y[:, 1::2, 0::2], y[:, 0::2, 1::2], y[:, 1::2, 1::2]], -1)
        return self.merge(self.norm(y.flatten(1, 2))).mean(1)


@pytest.mark.parametrize("size", [SIZE, (16, 16), (28, 20), (45, 39)])
def test_merged_tokens(size):
    module = nets.fill(Merged()).eval()
    network, images = nets.network(module, size=SIZE), torch.rand(2, 3, *size)
    assert network.layer("merge").grid == network.layer("norm").grid == (3, 4)
    y = module.patches(nets.Normalise()(images))
    y = F.pad(y, (0, y.shape[3] % 2, 0, y.shape[2] % 2))
    weight = module.norm.weight, module.norm.bias
    four = F.pixel_unshuffle(y, 2).unflatten(1, (8, 2, 2)).permute(0, 3, 2, 1, 4, 5).flatten(1, 3)
    four = F.layer_norm(four.permute(0, 2, 3, 1), (32,), *weight).permute(0, 3, 1, 2)
    torch.testing.assert_close(network.look(images, ["norm"])["norm"], four, rtol=1e-4, atol=1e-4)


class Twice(nn.Module):
    """One patch embedding for the image and for its left half, each made tokens."""

    def __init__(self):
        super().__init__()
        self.patches, self.left, self.whole = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 6), nn.Linear(8, 6)

    def forward(self, x):
        left = self.left(tokens(self.patches(x[..., : x.shape[-1] // 2])))
        whole = self.whole(tokens(self.patches(x)))
        return left.mean(1) + whole.mean(1)


@pytest.mark.parametrize("size", [SIZE, (18, 41)])
def test_each_call_of_a_patch_embedding_has_a_grid_of_its_own(size):
    network, images = nets.network(nets.fill(Twice()), size=SIZE), torch.rand(2, 3, *size)
    assert network.layer("left").layout.source == "patches~1"
    assert network.layer("whole").layout.source == "patches~2"
    look = network.look(images, ["left", "whole"])
    assert look["left"].shape[2:] == (size[0] // 4, size[1] // 2 // 4)
    assert look["whole"].shape[2:] == (size[0] // 4, size[1] // 4)


class Attending(nn.Module):
    """Attention maps, queries that are learned, and channels that attend to channels."""

    def __init__(self):
        super().__init__()
        self.patches, self.queries = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 16, 8))
        self.maps, self.answers, self.channels = nn.Softmax(-1), nn.Linear(8, 8), nn.Linear(8, 8)
        self.mixed, self.twice, self.head = nn.Linear(48, 7), nn.Linear(8, 8), nn.Linear(8, 4)
        self.einsum, self.added = nn.Softmax(-1), nn.Linear(8, 8)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        heads = y.view(len(y), -1, 2, 4).transpose(1, 2)
        maps = self.maps(heads @ heads.transpose(-2, -1))
        answers = F.scaled_dot_product_attention(self.queries.expand(len(y), -1, -1), y, y)
        channels = self.channels((y.transpose(1, 2) @ y @ y.transpose(1, 2)).transpose(1, 2))
        self.mixed(y.transpose(1, 2))
        self.einsum(torch.einsum("bhqd,bhkd->bhqk", heads, heads))
        self.added(torch.einsum("bnc,bnd->bcd", y, y))
        self.twice(torch.cat([y, y], 1))
        y = y + (maps @ heads).transpose(1, 2).flatten(2) + channels
        return self.head(y.mean(1) + self.answers(answers).mean(1))


def test_what_has_no_positions_is_told_from_what_has():
    network = nets.network(nets.fill(Attending()), size=SIZE)
    kinds = {name: (layer.layout.kind, layer.note) for name, layer in network.layers.items() if len(layer.shape) > 1}
    assert kinds == {
        "patches": ("maps", None),
        "maps": ("other", "relates pairs of positions"),
        "channels": ("tokens", None),
        "mixed": ("other", "has no positions"),
        "einsum": ("other", "relates pairs of positions"),
        "added": ("other", "has no positions that follow the image"),
        "twice": ("other", "has positions that make no rows and columns"),
        "answers": ("other", "has no positions that follow the image"),
    }
    for layer in ("maps", "answers", "mixed", "twice"):
        with pytest.raises(NetworkError, match=rf"{layer} gives .* for an image, which is neither maps"):
            ts.saliency(network, torch.rand(1, 3, *SIZE), f"{layer}:1")


class Unfollowed(nn.Module):
    """Tokens that were made by a function which is not followed, in order or shuffled."""

    def __init__(self, shuffled):
        super().__init__()
        self.patches, self.inside, self.head = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 5), nn.Linear(5, 4)
        self.order = torch.randperm(192) if shuffled else torch.arange(192)

    def forward(self, x):
        y = torch.positive(self.patches(x).permute(0, 2, 3, 1)).flatten(1, 2)
        return self.head(self.inside(y[:, self.order]).mean(1))


def test_a_grid_that_could_not_be_followed_has_to_prove_itself():
    straight = nets.network(nets.fill(Unfollowed(False)), size=SIZE)
    assert straight.layer("inside").layout.kind == "tokens"
    images = torch.rand(1, 3, *SIZE)
    module = straight.module
    torch.testing.assert_close(straight.look(images, ["inside"])["inside"], expected(module, images))
    shuffled = nets.network(nets.fill(Unfollowed(True)), size=SIZE)
    assert shuffled.layer("inside").note == "has no positions that follow the image"
    assert nets.network(shuffled.module, size=SIZE, tokens=(12, 16)).layer("inside").grid == (12, 16)  # as it is stated


@pytest.mark.parametrize(
    ("stated", "prefix", "suffix", "grid"),
    [({"extra_tokens": (1, 2)}, 1, 2, (6, 8)), ({"tokens": (6, 8), "extra_tokens": (0, 3)}, 0, 3, (6, 8))],
)
def test_tokens_before_and_after_the_grid_can_be_stated(stated, prefix, suffix, grid):
    module = nets.fill(Arranged(lambda y, extra: torch.cat([extra.expand(len(y), -1, -1), tokens(y)], 1)))
    network = nets.network(module, size=SIZE, **stated)
    layout = network.layer("inside").layout
    assert (layout.prefix, layout.suffix, layout.grid) == (prefix, suffix, grid)
    assert network.settings | stated == network.settings
    odd = torch.rand(1, 3, 28, 27)  # 7 x 6 patches, and a column of pixels that no patch reaches
    assert network.look(odd, ["inside"])["inside"].shape == (1, 5, 7, 6)


def test_a_stated_grid_that_makes_no_sense_at_another_size_says_so():
    network = nets.network(nets.fill(Arranged(lambda y, extra: tokens(y))), size=SIZE, tokens=(4, 12))
    assert network.look(torch.rand(1, 3, *SIZE), ["inside"])["inside"].shape == (1, 5, 4, 12)
    with pytest.raises(NetworkError, match=r"42 tokens do not make 0 and a grid of 5 x 10 for an image of 28 x 27"):
        network.look(torch.rand(1, 3, 28, 27), ["inside"])["inside"]


class OnACanvas(nn.Module):
    """Images one by one, made larger, normalised, and copied into a canvas of whole 16s, as detectors take them."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu, self.deep = nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 8, 2, 2)
        self.smooth, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x):
        pictures = [(picture - 0.4) / 0.2 for picture in x]
        pictures = [F.interpolate(picture[None], scale_factor=1.5, mode="bilinear")[0] for picture in pictures]
        rows, cols = pictures[0].shape[-2:]
        canvas = pictures[0].new_full((len(x), 3, rows + -rows % 16, cols + -cols % 16), 0)
        for place, picture in enumerate(pictures):
            canvas[place, :, :rows, :cols].copy_(picture)
        fine = self.relu(self.stem(canvas))
        coarse = self.deep(fine)
        both = self.smooth(fine + F.interpolate(coarse, size=fine.shape[-2:], mode="nearest"))
        return self.head(both.mean((2, 3)))


@pytest.mark.parametrize(
    ("size", "grid"), [((32, 32), (12, 12)), ((32, 40), (12, 15)), ((24, 32), (9, 12))], ids=["full", "wide", "both"]
)
def test_positions_behind_the_filling_of_a_canvas_are_those_of_the_picture(size, grid):
    module = nets.fill(OnACanvas())
    for net in (ts.Network(module, size=size), ts.Network(module, size=32)):  # found at this size, and at another one
        images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
        look = net.look(images, ["stem", "relu", "deep", "smooth"])
        for name in ("stem", "relu", "smooth"):
            assert look[name].shape[2:] == grid
        with torch.no_grad():
            resized = F.interpolate(images, scale_factor=1.5, mode="bilinear")
            torch.testing.assert_close(look["stem"], module.stem((resized - 0.4) / 0.2), rtol=1e-4, atol=1e-5)
    net = ts.Network(module, size=size)
    assert families.places_missed(net, ["stem", "relu", "smooth"]) == {"stem": 0, "relu": 0, "smooth": 0}
