"""The methods of WHAT on tiny networks: what each promises, and an error for each kind of bad input."""

import contextlib
import io
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests.nets import network as tiny
from triscope.errors import LayerNotFound, NetworkError, ObjectiveError, OptionError
from triscope.images import read_image
from triscope.network import Network
from triscope.redoing import redo
from triscope.results import Picture
from triscope.results.animation import Frames
from triscope.what import compare as compare_module
from triscope.what import invert as invert_module
from triscope.what.invert import Inversion
from triscope.what.optimisation.regularisers import REGULARISERS, blurred, clipped, contribution_clipped

SIZE = 16


@pytest.fixture
def net():
    return tiny(size=(SIZE, SIZE))


@pytest.fixture
def photo():
    return torch.rand(1, 3, SIZE, SIZE)


@pytest.mark.parametrize("name", REGULARISERS)
def test_every_regulariser_raises_the_class(net, name):
    steps = list(ts.ascend.steps(net, 1, regulariser=name, steps=12))
    assert steps[-1].result.scores.item() > steps[0].result.scores.item()
    assert REGULARISERS[name].canvas == ("fourier" if name in ("natural", "fourier") else "pixels")


def test_parts_of_a_regulariser_can_be_switched_by_themselves(net):
    plain = ts.ascend(net, 1, regulariser="none", steps=6).values
    assert torch.equal(ts.ascend(net, 1, regulariser="l2", l2=0.0, steps=6).values, plain)
    assert not torch.equal(ts.ascend(net, 1, regulariser="none", tv=50.0, steps=6).values, plain)
    assert not torch.equal(ts.ascend(net, 1, regulariser="none", blur=1.0, steps=6).values, plain)
    assert not torch.equal(ts.ascend(net, 1, regulariser="none", jitter=0.2, steps=6).values, plain)


def test_priors_do_what_they_say(net):
    def roughness(picture):
        return torch.diff(picture, dim=2).square().mean() + torch.diff(picture, dim=3).square().mean()

    plain = ts.ascend(net, 1, regulariser="none", steps=20).values
    assert roughness(ts.ascend(net, 1, regulariser="none", tv=100.0, steps=20).values) < 0.5 * roughness(plain)
    pale = ts.ascend(net, 1, regulariser="none", l2=100.0, steps=20).values
    assert (pale - 0.5).abs().mean() < 0.5 * (plain - 0.5).abs().mean()


def test_diverse_pictures_differ_more_than_seeds_do(net):
    layer = "3"

    def likeness(pictures):
        maps = net.look(pictures, [layer])[layer].flatten(2)
        grams = nn.functional.normalize((maps @ maps.transpose(1, 2)).flatten(1))
        return float((grams @ grams.T)[0, 1])

    apart = ts.ascend(net, f"{layer}:2", diverse=2, steps=30).values
    alone = torch.cat([ts.ascend(net, f"{layer}:2", seed=seed, steps=30).values for seed in (0, 1)])
    assert likeness(apart) < likeness(alone)


def test_several_classes_are_several_pictures(net):
    result = ts.ascend(net, ts.Logit([0, 3]), steps=4)
    assert len(result) == 2
    assert result[1].recipe.objective == "3"
    torch.testing.assert_close(result[1].values, ts.ascend(net, 3, steps=4).values, atol=1e-5, rtol=0)


def test_a_picture_carries_its_recipe_and_can_be_made_again(net, tmp_path):
    made = ts.ascend(net, "3:1", steps=5, seed=7, size=12, checkpoint=str(tmp_path / "job"))
    path = made.save(tmp_path / "made.png")
    recipe = ts.Recipe.of_file(path)
    assert recipe.objective == "3:1"
    assert recipe.options["seed"] == 7
    assert "checkpoint" not in recipe.options
    assert redo(path, network=net).png() == path.read_bytes()


def test_leaving_early_keeps_what_there_is_and_bad_options_are_refused_at_once(net):
    steps = ts.ascend.steps(net, 1, steps=50)
    first, second = next(steps), next(steps)
    steps.close()
    assert (first.index, second.index, second.total) == (1, 2, 50)
    assert second.result.recipe.method == "ascend"
    with pytest.raises(OptionError, match="steps must be in the range"):
        ts.ascend.steps(net, 1, steps=0)


@pytest.mark.parametrize(
    ("asking", "error", "sentence"),
    [
        (lambda net: ts.ascend(net, "nowhere:1"), LayerNotFound, "no layer 'nowhere'"),
        (lambda net: ts.ascend(net, "3:600"), ObjectiveError, "channels 0 to 5"),
        (lambda net: ts.ascend(net, 5), ObjectiveError, "classes 0 to 4"),
        (lambda net: ts.ascend(net, "3:1@30,2", steps=1), ObjectiveError, "rows 0 to"),
        (lambda net: ts.ascend(net, 1, optimiser="lbfgs"), OptionError, "L-BFGS needs the same objective"),
        (
            lambda net: ts.ascend(net, 1, optimiser="lbfgs", regulariser="blur"),
            OptionError,
            "blurring and clipping move the image",
        ),
        (
            lambda net: ts.ascend(net, 1, optimiser="lbfgs", regulariser="fourier", diverse=2),
            OptionError,
            "optimises each image by itself",
        ),
        (lambda net: ts.invert(net, torch.rand(1, 3, 16, 16)), OptionError, "either a layer or every_stage"),
        (lambda net: ts.invert(net, torch.rand(1, 3, 16, 16), "nowhere"), LayerNotFound, "no layer 'nowhere'"),
        (lambda net: ts.invert(net, torch.rand(2, 3, 16, 16), every_stage=True), OptionError, "one image at a time"),
        (lambda net: ts.dream(net, torch.rand(1, 3, 16, 16), 1, layer="3"), OptionError, "either a unit or a layer"),
        (lambda net: ts.fool(net, torch.rand(1, 3, 16, 16), "3:1"), ObjectiveError, "fool raises one class"),
        (lambda net: ts.regularisers(net, ts.Logit([1, 2]), steps=1), ObjectiveError, "one class at a time"),
    ],
)
def test_each_bad_question_gets_its_own_sentence(net, asking, error, sentence):
    with pytest.raises(error, match=sentence):
        asking(net)


def test_a_size_that_the_network_cannot_run_on_is_said():
    fixed = Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), size=8)
    with pytest.raises(NetworkError, match="cannot run on an image of 9 x 9"):
        ts.ascend(fixed, 1, size=9, regulariser="fourier")
    deep = Network(nn.Sequential(nn.Conv2d(3, 4, 7), nn.ReLU()), size=16)
    with pytest.raises(NetworkError, match="cannot run on an image of"):
        ts.dream(deep, torch.rand(1, 3, 6, 6), layer="1", size=6 + 10, octaves=6)


def test_networks_of_one_size_and_neurons_at_the_border_are_shown_views_of_that_size(net):
    fixed = Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2)), size=SIZE)
    raised = [step.result.scores.item() for step in ts.ascend.steps(fixed, ts.Logit(1), steps=10)]
    assert raised[-1] > raised[0]
    assert ts.ascend(net, f"3:1@{SIZE - 1},{SIZE - 1}", steps=3).values.shape == (1, 3, SIZE, SIZE)


@pytest.mark.parametrize(("unit", "alike"), [("1:1", False), (f"1:1@{SIZE // 2},{SIZE // 2}", True)])
def test_a_position_is_asked_of_views_in_which_it_means_the_same(unit, alike):
    sides = set()

    class Watching(nn.Conv2d):
        def forward(self, inputs):
            sides.add(inputs.shape[-1])
            return super().forward(inputs)

    network = Network(nn.Sequential(Watching(3, 4, 3, padding=1), nn.ReLU()), size=SIZE)
    list(network.layers)
    sides.clear()
    ts.ascend(network, unit, steps=8)
    assert (sides == {SIZE}) == alike


def test_a_dead_unit_is_said():
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.zeros_(dead[0].weight)
    nn.init.constant_(dead[0].bias, -1)
    with pytest.raises(ObjectiveError, match="may be dead"):
        ts.ascend(Network(dead, size=SIZE), "1:0", steps=20)


def test_a_silent_layer_has_nothing_to_draw_from():
    dead = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    nn.init.zeros_(dead[0].weight)
    nn.init.constant_(dead[0].bias, -1)
    with pytest.raises(ObjectiveError, match="1 of Sequential has only zeros for this image"):
        ts.invert(Network(dead, size=SIZE), torch.rand(1, 3, SIZE, SIZE), "1")


def test_the_regularisers_stand_side_by_side(net):
    result = ts.regularisers(net, 1, steps=2)
    assert result.titles == ("none", "l2", "blur", "jitter", "fourier", "natural")
    torch.testing.assert_close(result.values[5:], ts.ascend(net, 1, steps=2).values)
    assert result.draw().shape == (3, SIZE + result.draw().shape[1] - SIZE, 6 * SIZE + 5 * 2)


def test_inversion_of_an_invertible_layer_finds_the_photo():
    module = nn.Sequential(nn.Conv2d(3, 48, 4, stride=4, bias=False))
    nn.init.orthogonal_(module[0].weight)
    photo = 0.2 + 0.6 * torch.rand(2, 3, SIZE, SIZE)
    found = ts.invert(Network(module, size=SIZE), photo, "0", steps=60, tv=0.0, canvas="pixels")
    torch.testing.assert_close(found.values, photo, atol=0.01, rtol=0)
    assert found.errors.shape == (2, 1)
    assert found.errors.max() < 0.01


@pytest.mark.parametrize(
    "options", [{}, {"tv": 0.0}, {"preset": "mahendran"}, {"optimiser": "adam"}, {"canvas": "pixels"}, {"octaves": 2}]
)
def test_the_error_falls_and_is_what_the_network_says(net, photo, options):
    steps = list(ts.invert.steps(net, photo, "3", steps=40, **options))
    errors = [step.result.errors.item() for step in steps]
    target, now = (net.look(image, ["3"])["3"] for image in (photo, steps[-1].result.values))
    assert errors[-1] == pytest.approx(((now - target).norm() / target.norm()).item(), rel=1e-2)
    assert errors[-1] < errors[0]
    if options.get("tv") == 0:  # else the priors have their say too
        assert all(later <= earlier + 1e-6 for earlier, later in pairwise(errors))


def test_inversions_from_several_noises_go_on_from_their_mean(net, photo, tmp_path):
    whole = list(ts.invert.steps(net, photo, "3", steps=96, starts=3, seed=5, checkpoint=str(tmp_path / "job")))
    assert [(step.index, step.total) for step in whole] == [(index, 96) for index in range(1, 97)]
    firsts = [ts.invert(net, photo, "3", steps=16, seed=seed).values for seed in (5, 6, 7)]
    for first, step in zip(firsts, whole[15:48:16], strict=True):
        torch.testing.assert_close(step.result.values, first)
    assert len({tuple(first.flatten().tolist()) for first in firsts}) == 3
    mean = torch.stack(firsts).mean(dim=0)
    torch.testing.assert_close(whole[48].result.values, mean, atol=2e-3, rtol=0)
    again = list(ts.invert.steps(net, photo, "3", steps=96, starts=3, seed=5, checkpoint=str(tmp_path / "job")))
    assert torch.equal(again[-1].result.values, whole[-1].result.values)


@pytest.mark.parametrize("octaves", [1, 2])
def test_where_the_first_two_noises_disagree_the_steps_left_go_on_from_noise(net, photo, monkeypatch, octaves):
    monkeypatch.setattr("triscope.what.invert._AGREED", 2.0)
    steps = list(ts.invert.steps(net, photo, "3", steps=96, starts=3, octaves=octaves))
    assert [step.index for step in steps] == list(range(1, 97))
    plain = ts.invert(net, photo, "3", steps=64, starts=1, octaves=octaves)
    torch.testing.assert_close(steps[-1].result.values, plain.values)


def test_each_picture_goes_on_from_several_noises_by_itself(net, photo, monkeypatch, tmp_path):
    dark, light = 0.3 * photo, 0.3 * photo + 0.7
    monkeypatch.setattr("triscope.what.invert._agreement", lambda versions: float(versions.mean() > 0.5))
    given = {"steps": 96, "starts": 3}
    singles = [list(ts.invert.steps(net, one, "3", **given)) for one in (dark, light)]
    assert len({float(steps[48].result.values.mean()) > 0.5 for steps in singles}) == 2  # one went on, one began again
    both = torch.cat([dark, light])
    whole = list(ts.invert.steps(net, both, "3", **given))
    assert [(step.index, step.total) for step in whole] == [(index, 96) for index in range(1, 97)]
    early = [start + number for start in (0, 16, 32, 48) for number in range(4)]  # rounding tells them apart, and grows
    for step, *alone in [row for number, row in enumerate(zip(whole, *singles, strict=True)) if number in early]:
        torch.testing.assert_close(
            step.result.values, torch.cat([one.result.values for one in alone]), atol=1e-3, rtol=0
        )
        assert step.score == pytest.approx(sum(one.score for one in alone) / 2, rel=1e-3)
    place = str(tmp_path / "job")
    with contextlib.closing(ts.invert.steps(net, both, "3", checkpoint=place, **given)) as begun:
        assert next(step for step in begun if step.index == 70)
    *_, last = ts.invert.steps(net, both, "3", checkpoint=place, **given)
    assert last.index == 96
    assert torch.equal(last.result.values, whole[-1].result.values)


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_stage_that_fails_does_not_cost_the_others(net, photo, monkeypatch, which):
    """At its beginning, or on the way; the row that is left is that of a job without it, and says why."""
    whole = ts.invert(net, photo, every_stage=True, steps=4)
    lost, ascended, stages = whole.stages[which], invert_module._ascended, len(whole.stages)
    calls = iter(range(stages))

    def failing(*arguments):
        steps = ascended(*arguments)
        if next(calls) == range(stages)[which]:
            yield next(steps)
            raise ObjectiveError("It is silent.")
        yield from steps

    monkeypatch.setattr(invert_module, "_ascended", failing)
    *_, last = ts.invert.steps(net, photo, every_stage=True, steps=4)
    row = last.result
    assert last.index == last.total == 4 * stages
    assert row.stages == tuple(name for name in whole.stages if name != lost)
    kept = [number for number, name in enumerate(whole.stages) if name != lost]
    assert torch.equal(row.values, whole.values[kept])
    assert f"{lost} was left out. It is silent." in row.notes


@pytest.mark.parametrize("lost", ["none", "blur", "natural"])
def test_a_regulariser_that_fails_does_not_cost_the_others(net, monkeypatch, lost):
    whole = ts.regularisers(net, 1, steps=2)
    ascend_steps = compare_module.ascend.steps

    def failing(*arguments, regulariser, **options):
        steps = ascend_steps(*arguments, regulariser=regulariser, **options)
        yield next(steps)
        if regulariser == lost:
            raise ObjectiveError("It is dead.")
        yield from steps

    monkeypatch.setattr(compare_module.ascend, "steps", failing)
    *_, last = ts.regularisers.steps(net, 1, steps=2)
    assert last.index == last.total
    assert last.result.titles == tuple(title for title in whole.titles if title != lost)
    assert torch.equal(last.result.values, whole.values[[title != lost for title in whole.titles]])
    assert last.result.notes[-1] == f"{lost} was left out. It is dead."


def test_an_inversion_of_which_every_stage_fails_is_refused(net, photo, monkeypatch):
    def failing(*_):
        raise ObjectiveError("It is silent.")

    monkeypatch.setattr(invert_module, "_ascended", failing)
    with pytest.raises(ObjectiveError, match="It is silent"):
        ts.invert(net, photo, every_stage=True, steps=4)


def test_several_layers_are_matched_together_and_every_stage_by_itself(net, photo):
    both = ts.invert(net, photo, "0,3", steps=10)
    assert both.layers == ("0", "3")
    assert both.errors.shape == (1, 2)
    row = ts.invert(net, photo, every_stage=True, steps=4)
    assert isinstance(row, Inversion)
    assert len(row) == len(row.stages) == len(row.errors) > 1
    alone = ts.invert(net, photo, row.stages[0], steps=4)
    torch.testing.assert_close(row.values[:1], alone.values)
    torch.testing.assert_close(row.draw()[:, :SIZE, :SIZE], photo[0])
    assert row.draw().shape[2] == (len(row) + 1) * SIZE + 2 * len(row)


def test_inversion_uses_the_activations_alone(net, photo):
    same = photo.clone()
    same[..., 0, 0] += 0.0
    assert torch.equal(ts.invert(net, photo, "3", steps=3).values, ts.invert(net, same, "3", steps=3).values)


def test_a_dream_raises_the_layer_and_keeps_the_photo(net, photo):
    dreamt = ts.dream(net, photo, layer="3", size=24, steps=16, octaves=2)
    assert dreamt.values.shape == (1, 3, 24, 24)
    plain = nn.functional.interpolate(photo, (24, 24), mode="bicubic", antialias=True).clamp(0, 1)
    assert dreamt.scores > net.look(plain, ["3"])["3"].square().mean()
    close = torch.corrcoef(torch.stack([dreamt.values.flatten(), plain.flatten()]))[0, 1]
    assert close > 0.8
    assert str(ts.dream(net, photo, "3:1", steps=2, octaves=1).recipe.objective) == "3:1"


def test_a_photo_is_fooled_by_a_small_change(net, photo):
    wanted = int(net.look(photo, ["output"])["output"].topk(2).indices[0, 1])
    fooled = ts.fool(net, photo, wanted, margin=0.01)
    after = net.look(fooled.values, ["output"])["output"]
    assert int(after.argmax()) == wanted
    assert fooled.notes == ()
    assert fooled.scores.item() == pytest.approx(after.softmax(1)[0, wanted].item())
    assert fooled.change.item() == pytest.approx((fooled.values - fooled.photo).square().mean().sqrt().item())
    further = ts.fool(net, photo, wanted, margin=0.1)
    assert further.change >= fooled.change
    (note,) = ts.fool(net, photo, wanted, steps=1, rate=1e-6).notes
    assert note.startswith("Not fooled")


def test_the_picture_that_fools_is_the_one_that_is_saved(net, photo, tmp_path):
    fooled = ts.fool(net, photo, 2, margin=0.01)
    levels = 255 * fooled.values
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    shown = read_image(fooled.save(tmp_path / "fooled.png"))
    torch.testing.assert_close(shown[..., SIZE + 2 : 2 * SIZE + 2], fooled.values, atol=1e-6, rtol=0)


def test_a_linear_network_is_fooled_by_the_shortest_way():
    """The lead w.x + b is raised to a margin nearest at (margin - lead) / |w| from the photo, straight along w."""
    net = Network(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2)), size=32)
    photo, shortest = 0.3 + 0.4 * torch.rand(1, 3, 32, 32), 2.0
    scores = net.look(photo, ["output"])["output"][0]
    way = (net.module[1].weight[1] - net.module[1].weight[0]).detach().norm()
    fooled = ts.fool(net, photo, 1, margin=float(scores[1] - scores[0] + shortest * way))
    assert fooled.notes == ()
    assert (fooled.values - fooled.photo).norm().item() == pytest.approx(shortest, rel=0.05)


def test_blur_and_clip_are_what_they_say():
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 1
    soft = blurred(spot, spot, 4, sigma=1.0)
    assert soft.sum().item() == pytest.approx(1, abs=1e-4)
    assert soft[..., 4, 5] / soft[..., 4, 4] == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)
    assert blurred(spot, spot, 3, sigma=1.0) is spot
    ramp = torch.linspace(0.5, 1, 100).view(1, 1, 10, 10)
    assert int((clipped(ramp, ramp, 4, part=0.3) == 0.5).sum()) in (30, 31)
    assert clipped(ramp, ramp, 5, part=0.3) is ramp


def test_the_pixels_that_contribute_least_are_set_to_grey():
    """By definition: |sum over colours of slope times distance from grey|, its weakest quarter."""
    pictures, slope = torch.rand(2, 3, 6, 8), torch.randn(2, 3, 6, 8)
    found = contribution_clipped(pictures, slope, 4, part=0.25)
    for before, way, after in zip(pictures, slope, found, strict=True):
        worth = [
            (abs(sum(float(way[k, r, c]) * (float(before[k, r, c]) - 0.5) for k in range(3))), r, c)
            for r in range(6)
            for c in range(8)
        ]
        grey = {(r, c) for _, r, c in sorted(worth)[:12]}
        assert {(r, c) for _, r, c in worth if (after[:, r, c] == 0.5).all()} == grey
        assert all(torch.equal(after[:, r, c], before[:, r, c]) for _, r, c in worth if (r, c) not in grey)
    assert contribution_clipped(pictures, slope, 5, part=0.25) is pictures


def smooth(rows, cols):
    """An image that survives the compression of a WebP and the 256 colours of a GIF."""
    return F.interpolate(torch.rand(1, 3, 2, 3), (rows, cols), mode="bilinear", align_corners=True)


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_frames_are_a_moving_picture(net, tmp_path, suffix):
    frames = Frames(tmp_path / f"way.{suffix}", most=5)
    for step in ts.ascend.steps(net, 1, steps=20, octaves=2):
        frames.add(step.index, step.total, step.result)
    assert frames.save() == tmp_path / f"way.{suffix}"
    with PIL.Image.open(tmp_path / f"way.{suffix}") as moving:
        assert 5 <= moving.n_frames <= 7
        assert moving.size == (SIZE, SIZE)


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_each_frame_is_the_picture_that_was_added(tmp_path, suffix):
    """As Pillow reads them, which did not join them: the images, how long they are shown, and that they go on."""
    frames, pictures = Frames(tmp_path / f"way.{suffix}", rate=20), [smooth(30, 47) for _ in range(4)]
    for index, picture in enumerate(pictures, 1):
        frames.add(index, 4, Picture(picture))
    with PIL.Image.open(frames.save()) as moving:
        assert (moving.n_frames, moving.size, moving.info["loop"]) == (4, (47, 30), 0)
        for number, picture in enumerate(pictures):
            moving.seek(number)
            shown = torch.from_numpy(np.array(moving.convert("RGB"))).permute(2, 0, 1) / 255
            assert moving.info["duration"] == (50 if number < 3 else 2000)
            assert (shown - picture[0]).abs().mean() < 0.03


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_frames_are_small_and_all_of_the_size_of_the_last(tmp_path, suffix):
    frames, large = Frames(tmp_path / f"way.{suffix}", size=64), smooth(96, 128)
    frames.add(1, 3, Picture(F.interpolate(large, (24, 32))))
    frames.add(2, 3, Picture(large))
    frames.add(3, 3, Picture(large))
    with PIL.Image.open(io.BytesIO(frames.encode())) as moving:
        assert (moving.n_frames, moving.size) == (3, (64, 48))
        shown = torch.from_numpy(np.array(moving.convert("RGB"))).permute(2, 0, 1) / 255
    assert (shown - F.interpolate(large, (48, 64), mode="area")[0]).abs().mean() < 0.05


def test_a_row_that_grows_is_not_stretched(tmp_path):
    """What is as high as the row, and not as wide, stands at its left, on white."""
    frames = Frames(tmp_path / "way.gif")
    frames.add(1, 2, Picture(torch.zeros(1, 3, 20, 30)))
    frames.add(2, 2, Picture(torch.zeros(1, 3, 20, 90)))
    with PIL.Image.open(io.BytesIO(frames.encode())) as moving:
        shown = np.array(moving.convert("L"))
    assert shown.shape == (20, 90)
    assert (shown[:, :29] < 30).all()
    assert (shown[:, 31:] > 225).all()


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="MP4 frames need the program ffmpeg")
def test_frames_are_a_film_that_ffmpeg_reads(tmp_path):
    frames = Frames(tmp_path / "way.mp4", most=20)
    for index, shade in enumerate((0.2, 0.5, 0.8), 1):
        frames.add(index, 3, Picture(torch.full((1, 3, 15, 21), shade)))
    film = frames.save()
    command = ["ffmpeg", "-loglevel", "error", "-i", str(film), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True).stdout
    shades = torch.frombuffer(bytearray(decoded), dtype=torch.uint8).view(3, 16, 22, 3)[:, :15, :21].float() / 255
    torch.testing.assert_close(shades.mean((1, 2, 3)), torch.tensor([0.2, 0.5, 0.8]), atol=0.02, rtol=0)


def test_frames_of_other_kinds_are_refused_at_once(tmp_path, monkeypatch):
    with pytest.raises(OptionError, match=r"written as \.webp, \.gif, \.mp4"):
        Frames(tmp_path / "way.avi")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OptionError, match="ffmpeg"):
        Frames(tmp_path / "way.mp4")
    assert Frames(tmp_path / "way.webp").save() is None
