"""Texture and style: the papers written slowly, published numbers, and what each verb promises."""

import json
import re
from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import nn

import triscope as ts
from tests import nets
from triscope.cli import main
from triscope.errors import ImageError, LayerNotFound, NetworkError, ObjectiveError, OptionError, RecipeError
from triscope.images import open_photo, resize
from triscope.network import Network, load
from triscope.network.variants.configured import configured
from triscope.network.variants.row_tiling import RowTiled
from triscope.objectives.base import Need
from triscope.objectives.priors import TotalVariation
from triscope.redoing import redo
from triscope.what.style import memory as budget
from triscope.what.style.coarse_to_fine import asked_of, content_term, doubled, roughness_term, shares, style_terms
from triscope.what.style.color_transfer import keep_luminance, match_covariance, match_histogram
from triscope.what.style.memory import plan_memory
from triscope.what.style.presets import STYLE_PRESETS, content_layer, layer_names, style_layers

SIZE = 32


class Features(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.features = nn.Sequential(*parts)

    def forward(self, x):
        return self.features(x)


@pytest.fixture(scope="module")
def vgg():
    parts, before = [], 3
    for block, count in enumerate((2, 2, 4, 4, 4)):
        for _ in range(count):
            parts += [nn.Conv2d(before, 4 + block, 3, padding=1), nn.ReLU(inplace=True)]
            before = 4 + block
        parts.append(nn.MaxPool2d(2))
    return Network(nets.fill(Features(*parts)).double(), mean=nets.MEAN, std=nets.STD, size=SIZE, name="narrow VGG")


@pytest.fixture
def net():
    return nets.network(size=(SIZE, SIZE))


def photo(seed, size=(SIZE, 40), dtype=torch.float32):
    """An image with structure: smooth noise."""
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, 3, 8, 10, generator=generator), size, mode="bilinear").to(dtype)


# The papers, each loss as it stands there: sums over positions and channels, no convention of ours.


def sums(features):
    """G[i, j]: the sum over positions of channel i times channel j."""
    flat = features[0].flatten(1)
    return torch.einsum("ip,jp->ij", flat, flat)


def gatys(found, wanted):
    """E = 1 / (4 N^2 M^2) sum (G - A)^2."""
    channels, positions = found.shape[1], found[0, 0].numel()
    return (sums(found) - sums(wanted)).square().sum() / (4 * channels**2 * positions**2)


def johnson(found, wanted):
    """The squared Frobenius norm of the difference of Gram matrices divided by C H W."""
    return (sums(found) / found[0].numel() - sums(wanted) / wanted[0].numel()).square().sum()


def mean_of_squares(found, wanted):
    """The same matrices, their mean squared difference."""
    return F.mse_loss(sums(found) / found[0].numel(), sums(wanted) / wanted[0].numel())


def half_of_squares(found, wanted):
    return 0.5 * (found - wanted).square().sum()


FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
PAPERS = {
    "gatys2015": (("relu1_1", "pool1", "pool2", "pool3", "pool4"), gatys, (1.0,) * 5, None, None, 0.0),
    "gatys2016": (FIVE, gatys, (200.0,) * 5, "relu4_2", half_of_squares, 1.0),
    "johnson2016": (("relu1_2", "relu2_2", "relu3_3", "relu4_3"), johnson, (5.0,) * 4, "relu2_2", F.mse_loss, 1.0),
    "neural-style": (FIVE, mean_of_squares, (100.0,) * 5, "relu4_2", F.mse_loss, 5.0),
    "tutorial": (
        ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), mean_of_squares, (1e6,) * 5, "conv4_2", F.mse_loss, 1.0
    ),
}  # fmt: skip


def places(words):
    """Where a VGG-19's layers stand, counted by hand."""
    known = {
        "conv1_1": 0, "relu1_1": 1, "relu1_2": 3, "pool1": 4, "conv2_1": 5, "relu2_1": 6, "relu2_2": 8, "pool2": 9,
        "conv3_1": 10, "relu3_1": 11, "relu3_3": 15, "pool3": 18, "conv4_1": 19, "relu4_1": 20, "conv4_2": 21,
        "relu4_2": 22, "relu4_3": 24, "pool4": 27, "conv5_1": 28, "relu5_1": 29,
    }  # fmt: skip
    return [known[word] for word in words]


def by_hand(network, images, *, average):
    """Every output of the features, one after another."""
    x = nets.Normalise()(images)
    found = []
    for part in network.module.features:
        x = F.avg_pool2d(x, 2) if average and isinstance(part, nn.MaxPool2d) else part(x.clone())
        found.append(x)
    return found


@pytest.mark.parametrize("name", PAPERS)
def test_each_preset_is_the_paper(vgg, name):
    words, style, weights, kept, content, content_weight = PAPERS[name]
    preset = STYLE_PRESETS[name]
    average = name.startswith("gatys")
    assert (preset.pooling == "average") == average
    assert style_layers(vgg, preset) == [f"features.{place}" for place in places(words)]
    picture, example, scene = (photo(seed, dtype=torch.float64) for seed in range(3))
    with torch.no_grad():
        found, wanted, seen = (by_hand(vgg, one, average=average) for one in (picture, example, scene))
        by_paper = sum(
            weight * style(found[place], wanted[place]) for weight, place in zip(weights, places(words), strict=True)
        )
        asked = configured(vgg, pooling=preset.pooling)
        names = style_layers(vgg, preset)
        terms = style_terms(ts.GramDistance.from_activations(asked.look(example, names), names), preset)
        if kept:
            place = places([kept])[0]
            assert content_layer(vgg, preset) == f"features.{place}"
            by_paper += content_weight * content(found[place], seen[place])
            layer = f"features.{place}"
            terms.append(content_term(asked.look(scene, [layer]), layer, preset, preset.content_weight))
        whole = asked_of(terms)
        score = whole(asked.look(picture, whole.needs))
    assert -score.item() == pytest.approx(by_paper.item(), rel=1e-9)


def test_the_published_values_of_cs231n(shared):
    """Content, Gram, style and total variation, as Stanford's course publishes them for SqueezeNet 1.1."""
    folder = shared / "checks" / "cs231n"
    known = np.load(folder / "style-transfer-checks.npz")
    network = load("squeezenet1_1", weights=shared / "models" / "squeezenet1_1.safetensors")
    preset = STYLE_PRESETS["cs231n"]

    def picture(name):
        pixels = open_photo(folder / f"{name}.jpg").pixels
        height, width = pixels.shape[-2:]
        scale = 192 / min(height, width)
        return resize(pixels, (int(height * scale), int(width * scale)))

    content, style = picture("tubingen"), picture("starry_night")
    with torch.no_grad():
        layer = content_layer(network, preset)
        look = network.look(content, [layer])
        term = content_term(look, layer, preset, preset.content_weight)
        grey = torch.tensor(nets.MEAN).view(1, 3, 1, 1).expand_as(content)  # all zeros, once it is normalised
        assert term.weight * term.distance(network.look(grey, [layer])).item() == pytest.approx(
            known["cl_out"].item(), rel=0.02
        )
        names = style_layers(network, preset)
        starry = network.look(style, [*names, "features.5"])
        grams = ts.GramDistance.from_activations(starry, ["features.5"]).targets[Need("features.5", "gram")]
        channels = starry["features.5"].shape[1]
        torch.testing.assert_close(
            (grams / channels).norm(), torch.from_numpy(known["gm_out"]).norm(), rtol=0.02, atol=0
        )
        away = (grams / channels - torch.from_numpy(known["gm_out"])).norm() / np.linalg.norm(known["gm_out"])
        assert away < 0.02
        loss = asked_of(style_terms(ts.GramDistance.from_activations(starry, names), preset))
        assert -loss(network.look(content, names)).item() == pytest.approx(known["sl_out"].item(), rel=0.02)
        prior = roughness_term(2e-2, content.shape)
        seen = {Need("input"): network.normalise(content)}
        assert prior.weight * TotalVariation(2)(seen).item() == pytest.approx(known["tv_out"].item(), rel=0.02)
        ours = roughness_term(preset.tv, content.shape)
        rough = ours.weight * ours.distance({Need("input"): content}).item()
        assert rough == pytest.approx(known["tv_out"].item(), rel=0.02)


def test_gradients_are_those_of_finite_differences(vgg):
    names = style_layers(vgg, STYLE_PRESETS["triscope"])
    example, picture = photo(1, (16, 20), torch.float64), photo(2, (16, 20), torch.float64).requires_grad_()
    look = vgg.look(example, [*names, "features.22"])
    terms = style_terms(ts.GramDistance.from_activations(look, names), STYLE_PRESETS["triscope"])
    terms += [content_term(look, "features.22", STYLE_PRESETS["triscope"], 0.1), roughness_term(0.01, example.shape)]
    asked = asked_of(terms)
    (found,) = torch.autograd.grad(asked(vgg.look(picture, asked.needs)).sum(), picture)
    along = torch.randn(3, *picture.shape, dtype=torch.float64)
    with torch.no_grad():
        for step in 1e-6 * along:
            ahead, behind = (asked(vgg.look(picture + sign * step, asked.needs)).item() for sign in (1, -1))
            assert (ahead - behind) / 2 == pytest.approx((found * step).sum().item(), rel=1e-4)


def test_words_for_layers():
    pocket = load("pocket")
    words = layer_names(pocket)
    assert [words[f"relu{number}"] for number in range(1, 6)] == [f"features.{at}" for at in (1, 4, 7, 9, 11)]
    assert words["relu3_3"] == "features.11"
    assert words["pool2"] == "features.5"
    assert style_layers(pocket, STYLE_PRESETS["triscope"], ["relu2", "features.7"]) == ["features.4", "features.7"]
    with pytest.raises(LayerNotFound):
        style_layers(pocket, STYLE_PRESETS["triscope"], ["relu9"])
    with pytest.raises(OptionError, match="The preset gatys2016 reads relu4_1, and pocket has no such layer"):
        style_layers(pocket, STYLE_PRESETS["gatys2016"])
    flat = Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2)), size=2)
    with pytest.raises(ObjectiveError, match="no layer of maps"):
        style_layers(flat, STYLE_PRESETS["triscope"])
    with pytest.raises(ObjectiveError, match="no layer of maps"):
        content_layer(flat, STYLE_PRESETS["triscope"])


def test_steps_are_shared_out():
    assert shares(200, 3) == [67, 66, 67]
    assert shares(1, 2) == [1, 1]
    assert shares(200, 3, 0.8) == [20, 20, 160]
    assert shares(1, 2, 0.8) == [1, 1]


def test_a_texture_has_the_example_s_gram_matrices(net):
    example = photo(1)
    steps = list(ts.texture.steps(net, example, size=SIZE, steps=60, precision="float32"))
    made = steps[-1].result
    assert made.values.shape == (1, 3, SIZE, SIZE)
    assert 0 <= made.values.min() <= made.values.max() <= 1
    assert made.layers == ("2", "4")
    assert float(made.errors.max()) < 0.01
    assert list(steps[-1].terms) == ["GramDistance(2)", "GramDistance(4)"]
    assert [step.index for step in steps] == list(range(1, steps[-1].total + 1))
    with torch.no_grad():
        wanted = ts.GramDistance.from_activations(net.look(example, made.layers))
        found = wanted.errors(net.look(made.values, made.layers))
    assert float(found.max()) < 0.01


@pytest.mark.parametrize("weights", [{}, {"content_weight": 0.0}, {"style_weight": 0.0}], ids=str)
def test_scores_and_errors_are_those_of_the_picture_shown_at_every_step(net, weights):
    """Steps that go too far are not kept: the image is then an earlier one, and so are its numbers."""
    content, style = photo(1), photo(2)
    wanted = ts.GramDistance.from_activations(net.look(style, [Need("3", "gram")]))
    given = {
        "size": 40,
        "steps": 12,
        "layers": "3",
        "octaves": 1,
        "optimiser": "adam",
        "rate": 3.0,
        "precision": "float32",
    }
    kept = []
    for step in ts.stylize.steps(net, content, style, **given, **weights):
        found = wanted(net.look(step.result.values, wanted.needs))
        torch.testing.assert_close(step.result.errors[:, 0], found, rtol=1e-4, atol=1e-5)
        kept.append(step.result.values)
    assert len({one.numpy().tobytes() for one in kept}) < len(kept)


@pytest.mark.parametrize(("size", "aspect", "shape"), [(24, 1.5, (16, 24)), (24, 0.5, (24, 12)), (40, 1.0, (40, 40))])
def test_a_texture_has_any_size_and_shape(net, size, aspect, shape):
    assert ts.texture(net, photo(1), size=size, aspect=aspect, steps=2).values.shape[-2:] == shape


def test_from_coarse_to_fine_each_octave_has_half_the_size_of_the_next(net):
    steps = list(ts.texture.steps(net, photo(1, (224, 224)), size=224, steps=9, octaves=3))
    sizes = [step.result.values.shape[-1] for step in steps]
    assert sizes == [56] * 3 + [112] * 3 + [224] * 3


def test_the_same_seed_is_the_same_picture_and_another_is_another(net):
    one, two, other = (ts.texture(net, photo(1), size=16, steps=3, seed=seed).values for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_tile_looks_the_same_to_the_network_wherever_it_is_cut(net):
    """On a torus a shifted image has shifted activations: statistics do not know where the seam is."""
    wrapped = configured(net, borders="torus")
    picture = photo(1, (16, 24))
    look, moved = (wrapped.look(one, ["4"])["4"] for one in (picture, picture.roll((5, 7), (2, 3))))
    torch.testing.assert_close(look.roll((5, 7), (2, 3)), moved, atol=1e-5, rtol=1e-4)
    pocket = configured(load("pocket"), borders="torus")
    picture = photo(2, (64, 96))
    look, moved = (pocket.look(one, ["features.9"])["features.9"] for one in (picture, picture.roll(32, 3)))
    assert look.shape[-2:] == (4, 6)
    torch.testing.assert_close(look.roll(2, 3), moved, atol=1e-4, rtol=1e-3)


def test_the_sides_of_a_tile_are_whole_strides():
    made = ts.texture(load("pocket"), photo(1, (64, 64)), size=70, tile=True, steps=2, octaves=1, layers="relu1,relu3")
    assert made.values.shape[-2:] == (80, 80)


def test_a_tile_is_enlarged_across_its_border():
    tile = photo(1)
    moved = doubled(tile.roll((3, 5), (2, 3)))
    torch.testing.assert_close(moved, doubled(tile).roll((6, 10), (2, 3)))
    assert moved.shape[-2:] == (2 * tile.shape[-2], 2 * tile.shape[-1])


@pytest.mark.parametrize("size", [SIZE, 192])  # one size, and three
def test_the_seam_of_a_tile_is_as_rough_as_the_inside(net, size):
    example = photo(1, (size, size))
    made = ts.texture(net, example, size=size, tile=True, steps=40, precision="float32").values

    def roughness(picture):
        return torch.diff(picture, dim=3).abs().mean((0, 1, 2))

    inside = roughness(made)
    seam = (made[..., 0] - made[..., -1]).abs().mean()
    assert seam < inside.mean() + 3 * inside.std()


def test_pooling_can_be_averaged():
    network = Network(Features(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 1)), size=8)
    picture = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        plain, averaged = (configured(network, pooling=how).look(picture, ["features.2"])["features.2"]
                           for how in ("max", "average"))  # fmt: skip
        rectified = network.look(picture, ["features.1"])["features.1"]
    torch.testing.assert_close(plain, F.max_pool2d(rectified, 2))
    torch.testing.assert_close(averaged, F.avg_pool2d(rectified, 2))
    assert isinstance(network.module.features[2], nn.MaxPool2d)


def test_bfloat16_keeps_the_image_and_the_gram_in_float32(net):
    cast = configured(net, precision=torch.bfloat16)
    assert net.dtype == next(net.module.parameters()).dtype == torch.float32
    look = cast.look(photo(1), ["input", "4"])
    assert look["input"].dtype == torch.float32
    assert look["4"].dtype == torch.bfloat16
    assert ts.GramDistance.from_activations(look, ["4"]).targets[Need("4", "gram")].dtype == torch.float32
    made = {kind: ts.texture(net, photo(1), size=SIZE, steps=40, precision=kind) for kind in ("bfloat16", "float32")}
    assert {kind: one.recipe.precision for kind, one in made.items()} == {kind: kind for kind in made}
    with torch.no_grad():
        wanted = ts.GramDistance.from_activations(net.look(photo(1), ["2", "4"]))
        noise = wanted(net.look(ts.texture(net, photo(1), size=SIZE, steps=1).values, ["2", "4"])).item()
        losses = [wanted(net.look(one.values, ["2", "4"])).item() for one in made.values()]
    assert abs(losses[0] - losses[1]) < 0.01 * noise


def test_layers_are_not_looked_for_again_in_another_number_format():
    class Counting(Features):
        passes = 0

        def forward(self, x):
            Counting.passes += 1
            return super().forward(x)

    network = Network(Counting(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 1)), size=12)
    layers, passes = network.layers, Counting.passes
    cast = configured(network, precision=torch.bfloat16)
    assert cast.layers is layers
    assert Counting.passes == passes > 0
    assert cast.look(torch.rand(1, 3, 12, 12), ["features.3"])["features.3"].shape == (1, 5, 5, 5)
    assert configured(network, precision=torch.bfloat16, borders="torus").layers["features.0"].grid == (12, 12)


def test_style_moves_towards_the_style_and_keeps_the_content(net):
    content, style = photo(1), photo(2, (24, 24))
    given = {"size": 40, "steps": 30, "precision": "float32"}
    little, much = (ts.stylize(net, content, style, content_weight=weight, **given) for weight in (0.001, 10.0))
    plain = ts.stylize(net, content, style, steps=1, size=40)
    assert float(little.errors.mean()) < float(much.errors.mean()) < float(plain.errors.mean())
    assert (much.values - content).abs().mean() < (little.values - content).abs().mean()


def test_every_loss_term_has_its_name(net):
    *_, step = ts.stylize.steps(net, photo(1), photo(2), size=16, steps=2, tv=0.001)
    assert set(step.terms) == {"TotalVariation()", "GramDistance(2)", "GramDistance(4)", "FeatureDistance(4)"}
    assert sum(step.terms.values()) == pytest.approx(step.score, rel=1e-5)


def test_networks_that_skip_pixels_are_smoothed_unless_told(net):
    given = {"size": 64, "steps": 1, "octaves": 1}
    pocket = load("pocket")

    def terms(network, **more):
        return next(iter(ts.stylize.steps(network, photo(1, (64, 64)), photo(2, (64, 64)), **given, **more))).terms

    assert "TotalVariation()" in terms(pocket)
    assert "TotalVariation()" not in terms(pocket, tv=0.0)
    assert "TotalVariation()" not in terms(net)


def test_several_styles_are_blended(net):
    content, one, two = photo(1), photo(2), photo(3)
    given = {"size": 16, "steps": 4}
    first = ts.stylize(net, content, one, **given).values
    assert torch.equal(ts.stylize(net, content, [one, two], blend="1,0", **given).values, first)
    half = ts.stylize(net, content, [one, two], **given).values
    assert not torch.equal(half, first)
    torch.testing.assert_close(ts.stylize(net, content, [one, two], blend="3,3", **given).values, half)


@pytest.mark.parametrize(
    ("bundled", "layer", "weight"), [(False, None, 0.02), (False, "relu3_1", 0.05), (True, None, 0.05)]
)
def test_the_content_weighs_less_on_relu4_2_of_vgg(vgg, bundled, layer, weight):
    network = load("pocket") if bundled else vgg
    content, style = photo(1, (64, 64)), photo(2, (64, 64))
    usual, asked, other = (
        ts.stylize(network, content, style, size=64, steps=4, content_layers=layer, **given).values
        for given in ({}, {"content_weight": weight}, {"content_weight": 0.07 - weight})
    )
    assert torch.equal(usual, asked)
    assert not torch.equal(usual, other)


def test_it_starts_from_the_content_from_noise_or_from_a_picture(net, tmp_path):
    content, style = photo(1), photo(2)
    place = tmp_path / "start.png"
    PIL.Image.new("RGB", (9, 9), (0, 0, 255)).save(place)
    first = {}
    for start in ("content", "noise", str(place)):
        first[start] = next(iter(ts.stylize.steps(net, content, style, start=start, size=40, steps=1))).result.values
    assert (first["content"] - content).abs().mean() < 0.1
    assert (first["noise"] - content).abs().mean() > 0.1
    assert first[str(place)][0, 2].mean() > 0.8
    with pytest.raises(ImageError, match="does not exist"):
        ts.stylize(net, content, style, start="nowhere.png")


def test_a_picture_may_be_as_large_as_its_content(net):
    content = photo(1, (44, 60))
    made = ts.stylize(net, content, photo(2), size="content", steps=1)
    assert made.values.shape[-2:] == (44, 60)
    assert made.recipe.options["size"] == "content"
    with pytest.raises(OptionError, match="The content is 8200 pixels long, and size lies in 8 to 8192: state one"):
        ts.stylize(net, photo(1, (8, 8200)), photo(2), size="content", steps=1)


def test_original_colours_are_the_content_s_chroma():
    content, picture = 0.4 + 0.2 * photo(1), 0.4 + 0.2 * photo(2)
    found = keep_luminance(content, picture)
    matrix = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])  # YIQ
    yiq, of_content, of_picture = (torch.einsum("kc,bchw->bkhw", matrix, one) for one in (found, content, picture))
    torch.testing.assert_close(yiq[:, 0], of_picture[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(yiq[:, 1:], of_content[:, 1:], atol=1e-4, rtol=0)


def test_a_style_can_be_given_the_content_s_colours_before(net):
    content, style = 0.3 + 0.3 * photo(1, (40, 50)), 0.5 + 0.2 * photo(2, (30, 20))
    found = match_covariance(content, style)[0].flatten(1)
    wanted = content[0].flatten(1)
    torch.testing.assert_close(found.mean(1), wanted.mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(found), torch.cov(wanted), atol=1e-4, rtol=1e-2)
    torch.testing.assert_close(match_covariance(style, style), style, atol=1e-5, rtol=0)
    plain = ts.stylize(net, content, style, size=40, steps=3)
    kept = {how: ts.stylize(net, content, style, size=40, steps=3, colors=how) for how in ("luminance", "covariance")}
    for one in kept.values():
        away = (one.values.mean((2, 3)) - content.mean((2, 3))).abs().mean()
        assert away < (plain.values.mean((2, 3)) - content.mean((2, 3))).abs().mean() + 0.02


def test_a_style_can_be_given_all_of_the_content_s_distribution_of_colours():
    content, style = photo(1, (40, 50)).square(), 0.5 + 0.2 * photo(2, (30, 20))
    linear, found = (how(content, style)[0].flatten(1) for how in (match_covariance, match_histogram))
    at = torch.linspace(0.02, 0.98, 49)
    turned = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))[0]
    for axes in (torch.eye(3), turned):
        wanted, near, nearer = ((axes @ one).quantile(at, 1) for one in (content[0].flatten(1), linear, found))
        assert (nearer - wanted).abs().mean() < 0.5 * (near - wanted).abs().mean()
        assert (nearer - wanted).abs().max() < 0.05


@pytest.mark.parametrize("statistics", ["covariance", "wasserstein"])
def test_other_statistics_than_gram_matrices_are_matched(net, statistics):
    example = photo(1)
    steps = list(ts.texture.steps(net, example, size=SIZE, steps=60, precision="float32", statistics=statistics))
    made = steps[-1].result
    kind = {"covariance": ts.CovarianceDistance, "wasserstein": ts.WassersteinDistance}[statistics]
    assert list(steps[-1].terms) == [f"{kind.__name__}(2)", f"{kind.__name__}(4)"]
    with torch.no_grad():
        found = kind.from_activations(net.look(example, made.layers)).errors(net.look(made.values, made.layers))
    assert float(found.max()) < 0.02
    assert float(made.errors.max()) < 1e-3
    styled = ts.stylize(net, photo(2), example, steps=30, precision="float32", statistics=statistics)
    assert float(styled.errors.mean()) < float(ts.stylize(net, photo(2), example, steps=1).errors.mean())


def halves(rows=SIZE, cols=40):
    """Masks of the left and the right half."""
    left = torch.zeros(1, 1, rows, cols)
    left[..., : cols // 2] = 1
    return left, 1 - left


def test_a_masked_style_goes_there_and_not_elsewhere(net):
    content, style = photo(1), photo(2, (24, 24))
    left, _ = halves()
    *_, step = ts.stylize.steps(net, content, style, left, size=40, steps=20, precision="float32")
    made = step.result.values
    assert torch.equal(made[..., 20:], content[..., 20:])
    assert (made[..., :20] - content[..., :20]).abs().mean() > 0.02
    assert set(step.terms) == {"GramDistance(2 in mask 1)", "GramDistance(4 in mask 1)", "FeatureDistance(4)"}


def test_each_style_has_its_place(net):
    content, one, two = (
        0.5 * torch.ones(1, 3, SIZE, 40),
        photo(2) * torch.tensor([1.0, 0.1, 0.1]).view(1, 3, 1, 1),
        photo(3),
    )
    two = two * torch.tensor([0.1, 0.1, 1.0]).view(1, 3, 1, 1)
    given = {"size": 40, "steps": 40, "precision": "float32", "content_weight": 0.0}
    made = ts.stylize(net, content, [one, two], halves(), **given)
    assert made.layers == ("2", "4", "2", "4")
    assert float(made.errors.max()) < 0.2
    left, right = made.values[..., :20].mean((0, 2, 3)), made.values[..., 20:].mean((0, 2, 3))
    assert left[0] > right[0] + 0.1
    assert right[2] > left[2] + 0.1
    swapped = ts.stylize(net, content, [two, one], halves()[::-1], **given)
    assert (swapped.values - made.values).abs().mean() < 0.05


def test_masked_styles_are_blended_by_their_shares(net):
    content, styles = photo(1), [photo(2), photo(3)]
    shares = {
        blend: ts.stylize(net, content, styles, list(halves()), blend=blend, size=16, steps=4).values
        for blend in (None, "3,3", "2,1", "20,10")
    }
    torch.testing.assert_close(shares["3,3"], shares[None])
    torch.testing.assert_close(shares["20,10"], shares["2,1"])
    assert not torch.equal(shares["2,1"], shares[None])


def test_bad_masks_each_have_a_sentence(net):
    content, style = photo(1), photo(2)
    with pytest.raises(OptionError, match="2 masks for 1 styles"):
        ts.stylize(net, content, style, halves())
    with pytest.raises(OptionError, match="a mask is one image of the content's shape"):
        ts.stylize(net, content, style, torch.ones(1, 1, 40, 40))
    with pytest.raises(ImageError, match="black all over, so its style is used nowhere"):
        ts.stylize(net, content, style, torch.zeros(1, 1, SIZE, 40))
    with pytest.raises(OptionError, match="ask for wasserstein with the preset triscope"):
        ts.texture(net, style, preset="gatys2015", statistics="wasserstein")


def test_a_stylized_picture_knows_its_masks_and_its_start(net, tmp_path):
    paths = {name: tmp_path / f"{name}.png" for name in ("scene", "wave", "mask", "begin")}
    for seed, name in enumerate(("scene", "wave", "begin")):
        ts.Picture(photo(seed)).save(paths[name])
    ts.Picture(halves()[0]).save(paths["mask"])
    made = ts.stylize(net, paths["scene"], paths["wave"], paths["mask"], start=str(paths["begin"]), size=24, steps=3)
    assert [note.part for note in made.recipe.images] == ["content", "style", "mask", "start"]
    place = made.save(tmp_path / "made.png")
    assert torch.equal(redo(place, network=net).values, made.values)
    ts.Picture(halves()[1]).save(paths["mask"])
    with pytest.raises(RecipeError, match=r"mask.png has changed"):
        redo(place, network=net)


def test_a_stylized_picture_can_be_made_again(net, tmp_path):
    paths = []
    for seed in (1, 2, 3):
        paths.append(tmp_path / f"{seed}.png")
        ts.Picture(photo(seed)).save(paths[-1])
    made = ts.stylize(net, paths[0], paths[1:], size=24, steps=3, blend="1,2", checkpoint=str(tmp_path / "job"))
    place = made.save(tmp_path / "made.png")
    again = redo(place, network=net)
    assert torch.equal(again.values, made.values)
    assert again.png() == made.png()
    assert [note.name for note in made.recipe.images] == ["1", "2", "3"]
    woven = ts.texture(net, paths[0], size=16, steps=2)
    assert torch.equal(redo(woven.save(tmp_path / "texture.png"), network=net).values, woven.values)


def test_a_job_goes_on_from_its_checkpoint(net, tmp_path):
    given = {"size": 128, "steps": 8, "octaves": 2, "precision": "float32"}
    example = photo(1, (128, 128))
    whole = ts.texture(net, example, **given).values
    place = str(tmp_path / "job")
    steps = ts.texture.steps(net, example, checkpoint=place, **given)
    for step in steps:
        if step.index == 6:
            break
    steps.close()
    assert torch.equal(ts.texture(net, example, checkpoint=place, **given).values, whole)


def test_bad_pictures_each_have_a_sentence(net, tmp_path):
    plain, content = torch.full((1, 3, 16, 16), 0.3), photo(1)
    with pytest.raises(ImageError, match="one colour all over, so there is no texture"):
        ts.texture(net, plain)
    with pytest.raises(ImageError, match="one colour all over, so there is no style"):
        ts.stylize(net, content, plain)
    with pytest.raises(OptionError, match="both the content and the style"):
        ts.stylize(net, content, content)
    made = ts.stylize(net, plain, content, size=16, steps=1)
    assert "one colour all over: only the style" in made.notes[0]
    PIL.Image.new("RGBA", (9, 9), (0, 0, 255, 0)).save(tmp_path / "clear.png")
    with pytest.warns(ts.TriscopeWarning, match="transparent everywhere"), pytest.raises(ImageError, match="no style"):
        ts.stylize(net, content, tmp_path / "clear.png")


def test_bad_options_each_have_a_sentence(net, vgg):
    content, style = photo(1), photo(2)
    for blend in ("1", "1,x", "0,0", "-1,2", "nan,1"):
        with pytest.raises(OptionError, match=r"blend (is|must be)"):
            ts.stylize(net, content, [style, photo(3)], blend=blend)
    with pytest.raises(OptionError, match="at least one style"):
        ts.stylize(net, content, [])
    with pytest.raises(OptionError, match="one content and one image"):
        ts.stylize(net, torch.cat([content, style]), style)
    with pytest.raises(OptionError, match="one example at a time"):
        ts.texture(net, torch.cat([content, style]))
    with pytest.raises(OptionError, match=r"features\.29 of narrow VGG has only 1 x 1 positions"):
        ts.texture(vgg, photo(1, (64, 64), torch.float64), size=16)
    with pytest.raises(NetworkError, match="cannot run on an image of 8 x 8"):
        ts.texture(vgg, photo(1, (64, 64), torch.float64), size=8, layers="pool5")
    with pytest.raises(OptionError, match="reads relu1_1"):
        ts.texture(net, content, preset="gatys2015")


def test_the_vgg_without_its_classifier(shared):
    network = load("vgg19", weights=shared / "models" / "vgg19_features.safetensors")
    assert sum(one.numel() for one in network.module.parameters()) == 20_024_384
    assert all(name.startswith("classifier.") for name in network.missing)
    with pytest.raises(NetworkError, match=r"classifier of vgg19 is missing"):
        ts.saliency(network, photo(1), 3)
    assert network.sha256 == load("vgg19", weights=shared / "models" / "vgg19_features.safetensors").sha256
    made = ts.texture(network, shared / "images" / "textures" / "pebbles.jpg", size=48, steps=2)
    assert made.layers == tuple(f"features.{at}" for at in (1, 6, 11, 20, 29))


MODEL = """
import torch
from torch import nn
from triscope.network import Network

def make():
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
                   size=16)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    for seed, name in enumerate(("scene", "wave", "night")):
        ts.Picture(photo(seed)).save(tmp_path / f"{name}.png")
    ts.Picture(halves()[0]).save(tmp_path / "mask.png")

    def invoke(*words):
        return CliRunner().invoke(main, [*words, "-m", "model.py:make"], catch_exceptions=False)

    return invoke


def test_the_commands(run):
    done = run("texture", "wave.png", "--size", "16", "--steps", "2", "--tile", "--json", "-q")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["results"][0]
    assert told["out"] == "wave.texture.png"
    assert len(told["errors"][0]) == 1
    done = run("stylize", "scene.png", "wave.png", "night.png", "--blend", "2,1", "--steps", "3", "--size", "20",
               "--frames", "way.webp")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "scene.stylize.wave.night.png"
    recipe = ts.Recipe.of_file("scene.stylize.wave.night.png")
    assert [note.name for note in recipe.images] == ["scene", "wave", "night"]
    with PIL.Image.open("way.webp") as moving:
        assert moving.n_frames > 1
    done = run("stylize", "scene.png", "wave.png", "--mask", "mask.png", "--steps", "2", "--size", "20", "-f")
    assert done.exit_code == 0, done.output
    assert [note.part for note in ts.Recipe.of_file("scene.stylize.wave.png").images] == ["content", "style", "mask"]
    done = run("stylize", "scene.png", "scene.png")
    assert done.exit_code == 1
    assert "both the content and the style" in done.stderr
    done = run("stylize", "scene.png")
    assert done.exit_code == 2


def test_scores_rise(net):
    steps = list(ts.stylize.steps(net, photo(1), photo(2), size=40, steps=20, octaves=1, precision="float32"))
    kept = [float(step.result.scores) for step in steps]
    assert all(after >= before for before, after in pairwise(kept))
    assert kept[-1] > kept[0] / 2  # scores are minus a loss: less than half of it is left


def test_from_coarse_to_fine_a_style_keeps_the_detail_of_the_photo(net):
    """Half the size cannot hold a chessboard of single pixels; what is changed there is put onto the photo."""
    board = (torch.arange(128)[:, None] + torch.arange(128)[None]).remainder(2).float().expand(1, 3, -1, -1)
    content = 0.25 + 0.5 * board
    steps = ts.stylize.steps(net, content, photo(2, (128, 128)), size=128, steps=4, octaves=2, precision="float32")
    fine = next(step.result.values for step in steps if step.result.values.shape[-1] == 128)
    assert float(torch.diff(fine, dim=3).abs().mean()) > 0.3


# Strips and memory.


@pytest.mark.parametrize("height", [64, 77, 97, 128])
@pytest.mark.parametrize(("name", "cut"), [("vgg", 5), ("vgg", 10), ("pocket", 3), ("pocket", 6), ("squeezenet", 6)])
def test_strips_are_no_strips(vgg, name, cut, height):
    if name == "vgg":
        network = vgg
    else:
        network = load("pocket") if name == "pocket" else load("squeezenet1_1", weights="random")
        network.module.double()
    inner = sorted((layer for layer in network.layers if re.fullmatch(r"features\.\d+", layer)), key=layer_number)
    layers = [inner[at] for at in (0, 1, cut - 1, cut, cut + 2)]
    needs = [Need(layer, pool) for layer in layers for pool in ("gram", "mean")]
    needs += [Need(layers[1]), Need(layers[-1])]
    picture = photo(1, (height, 70), torch.float64)

    def asked(network):
        leaf = picture.clone().requires_grad_()
        look = network.look(leaf, needs)
        score = sum((look[need] / look[need].detach().norm()).square().sum() for need in needs)
        return [look[need].detach() for need in needs], torch.autograd.grad(score, leaf)[0]

    whole, gradient = asked(network)
    for rows in (8, 32):
        parts, found = asked(RowTiled(network, cut, rows))
        torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-12)


def layer_number(layer):
    return int(layer.rpartition(".")[2])


def test_strips_in_float32_agree_to_one_in_a_hundred_thousand():
    network, layers = load("pocket"), ["features.1", "features.4", "features.9"]
    picture = photo(1, (160, 128))
    with torch.no_grad():
        wanted = ts.GramDistance.from_activations(network.look(photo(2, (160, 128)), layers))

    def asked(network):
        leaf = picture.clone().requires_grad_()
        score = wanted(network.look(leaf, wanted.needs)).sum()
        return score.detach(), torch.autograd.grad(score, leaf)[0]

    (score, gradient), (found, parts) = asked(network), asked(RowTiled(network, 3, 32))
    assert found.item() == pytest.approx(score.item(), rel=1e-5)
    assert (parts - gradient).norm() < 1e-5 * gradient.norm()


def test_a_picture_made_in_strips_is_the_same_picture(monkeypatch):
    network = load("pocket")
    given = {"size": 160, "steps": 4, "octaves": 1, "precision": "float32", "optimiser": "adam"}
    content, style = photo(1, (128, 160)), photo(2, (128, 128))
    plain = ts.stylize(network, content, style, **given)
    asked = []
    monkeypatch.setattr(budget, "_COMFORTABLE", 0)
    monkeypatch.setattr(RowTiled, "look", spied(RowTiled.look, asked))
    strips = ts.stylize(network, content, style, **given)
    assert len(asked) >= 4
    assert (strips.values - plain.values).abs().mean() < 1e-3


def spied(method, calls):
    """The method, counted."""

    def wrapper(*args, **kwargs):
        calls.append(args)
        return method(*args, **kwargs)

    return wrapper


def test_strips_leave_what_they_cannot_do_to_the_whole_pass(vgg):
    strips = RowTiled(vgg, 5, 8)
    picture = photo(1, (32, 32), torch.float64)
    torch.testing.assert_close(strips.look(picture, ["output"])["output"], vgg.look(picture, ["output"])["output"])
    with pytest.raises(NetworkError, match=r"has no nn\.Sequential `features`"):
        RowTiled(nets.network(), 1, 8)
    with pytest.raises(NetworkError, match="reads images of 3 channels"):
        strips.look(torch.rand(1, 1, 32, 32, dtype=torch.float64), ["features.1"])


def test_memory_is_a_text_and_what_does_not_fit_is_said():
    (memory,) = (option for option in ts.texture.options if option.name == "memory")
    assert memory.read("2G") == memory.read(2 * 2**30) == 2 * 2**30
    assert memory.read("800MB") == 800 * 2**20
    assert memory.read(None) is None
    for text in ("", "2", "G", "two", "-1G", "0G"):
        with pytest.raises(OptionError, match="memory must be a number"):
            memory.read(text)
    with pytest.raises(OptionError, match=r"takes .* with pocket at the least, and memory is 10M"):
        ts.texture(load("pocket"), photo(1), memory="10M")


def test_first_come_strips_then_a_shorter_history_then_adam(vgg):
    layers, size = ["features.1", "features.20"], (2048, 2048)
    ways = []
    for megabytes in range(12_000, 100, -50):
        try:
            ways.append(plan_memory(vgg, layers, size, "lbfgs", megabytes * 2**20, whole=False))
        except OptionError:
            break
    assert not isinstance(ways[0].network, RowTiled)
    assert [way.history for way in ways] == sorted((way.history for way in ways), reverse=True)
    assert ways[0].history == 12
    assert ways[-1].optimiser == "adam"
    assert isinstance(ways[-1].network, RowTiled)
