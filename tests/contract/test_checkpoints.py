"""A checkpoint resumes the job that saved it, and no other."""

import contextlib
import functools

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from tests.contract.asking import pictures
from triscope.errors import OptionError
from triscope.network import Network
from triscope.verbs import METHODS
from triscope.what.optimisation.checkpoint import remove_checkpoints

SIZE = 32


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        parts, before = [], 3
        for block, count in enumerate((2, 2, 4, 4, 4)):
            for _ in range(count):
                parts += [nn.Conv2d(before, 4 + block, 3, padding=1), nn.ReLU(inplace=True)]
                before = 4 + block
            parts.append(nn.MaxPool2d(2) if block < 2 else nn.MaxPool2d(3, 1, 1))  # so that small images pass
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Linear(before, 5)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


@functools.cache
def network(seed=0, **known):
    """A narrow VGG-19, for whose layers the papers' presets have words."""
    return Network(nets.fill(Features(), seed), **{"mean": nets.MEAN, "std": nets.STD, "size": SIZE} | known)


@pytest.fixture(autouse=True)
def several_octaves_of_small_pictures(monkeypatch):
    monkeypatch.setattr("triscope.what.style.coarse_to_fine._COARSEST", 8)


def picture(seed):
    return pictures(1, size=(SIZE, SIZE), seed=seed)


LAYER = "features.7"
#: What each job is asked; its options, and for each of them another value, are those of a real job in small.
JOBS = {
    "ascend": {"objective": ts.Logit(1), "size": 16, "steps": 5},
    "dream": {"images": picture(1), "layer": LAYER, "size": 24, "steps": 5, "octaves": 2},
    "invert": {"images": picture(1), "layer": LAYER, "steps": 5},
    "texture": {"images": picture(1), "size": 24, "steps": 6, "octaves": 2, "precision": "float32"},
    "stylize": {
        "content": picture(1), "style": [picture(2), picture(3)], "blend": (1.0, 2.0), "size": 24, "steps": 6,
        "precision": "float32",
    },
}  # fmt: skip
OTHER = {
    "ascend": {
        "size": 24, "seed": 1, "regulariser": "l2", "canvas": "pixels", "rate": 0.2, "class_log_prob": 1.0, "l2": 1.0,
        "tv": 1.0, "jitter": 0.3, "scale": 0.4, "rotate": 20.0, "blur": 3.0, "clip": 0.5, "contribution_clip": 0.5,
        "diverse": 2, "octaves": 2, "optimiser": "lbfgs", "precision": "bfloat16",
    },
    "dream": {"size": 16, "octaves": 1, "rate": 0.01, "jitter": 0.3, "seed": 1, "fit": "crop"},
    "invert": {
        "preset": "mahendran", "canvas": "pixels", "optimiser": "adam", "rate": 0.5, "tv": 1.0, "norm": 3.0,
        "starts": 1, "distance": "relative", "schedule": "thirds", "octaves": 2, "seed": 1, "fit": "keep",
    },
    "texture": {
        "size": 16, "aspect": 1.5, "scale": 0.5, "tile": True, "layers": ["features.2"], "statistics": "covariance",
        "preset": "gatys2015", "pooling": "average", "octaves": 1, "optimiser": "adam", "rate": 0.5, "seed": 1,
        "precision": "bfloat16", "memory": "4G", "fit": "pad",
    },
    "stylize": {
        "size": 16, "style_scale": 0.5, "colors": "covariance", "layers": ["features.2"], "statistics": "covariance",
        "preset": "gatys2016", "pooling": "average", "content_layers": "features.2", "content_weight": 3.0,
        "style_weight": 3.0, "tv": 2.0, "blend": (2.0, 1.0), "octaves": 1, "optimiser": "adam", "rate": 0.5, "seed": 1,
        "precision": "bfloat16", "memory": "4G",
    },
}  # fmt: skip
INPUTS = {
    "ascend": {"objective": ts.Logit(2)},
    "dream": {"images": picture(7), "layer": "features.2"},
    "invert": {"images": picture(7), "layer": "features.2"},
    "texture": {"images": picture(7)},
    "stylize": {
        "content": picture(7), "style": [picture(7), picture(3)], "masks": [picture(7), picture(3)], "start": "noise",
    },
}  # fmt: skip
#: Jobs for which an option means something, where the usual one would not let it.
FOR = {("ascend", "optimiser"): {"regulariser": "l2"}, ("invert", "starts"): {"steps": 70}}
#: Presets stand for their fields, which are named instead.
FIELDS = {
    ("ascend", "regulariser"): "canvas", ("invert", "preset"): "canvas", ("texture", "preset"): "preset",
    ("dream", "layer"): "the question",
}  # fmt: skip
#: Tensors are not fitted, and with enough memory the image is the same.
HARMLESS = {"fit", "memory"}
NOWHERE = {"checkpoint", "steps", "every_stage"}  # the rest of this file is about the first two; the third has its test


def steps(name, place, **given):
    known = {"network": network(), **JOBS[name], **given}
    return METHODS[name].steps(**known, checkpoint=None if place is None else str(place))


@functools.cache
def whole(name):
    """The job, done in one go."""
    return last(name)


def begin(name, place, count=2, **given):
    """Save a job that was left after some steps."""
    with contextlib.closing(steps(name, place, **given)) as begun:
        for _ in range(count):
            step = next(begun)
    return step


def last(name, place=None, **given):
    *_, step = steps(name, place, **given)
    return step


def test_every_job_and_each_of_its_options_is_here():
    """Of those that optimise; what `judge` takes up again is tested beside it."""
    made = {name: method for name, method in METHODS.items() if method.question == "what"}
    saving = {name: method for name, method in made.items() if any(o.name == "checkpoint" for o in method.options)}
    assert saving.keys() == JOBS.keys()
    for name, method in saving.items():
        assert {option.name for option in method.options} - NOWHERE == OTHER[name].keys()
        assert method.inputs.keys() - {"network", "objective", "layer"} <= INPUTS[name].keys()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_taken_up_again_ends_where_it_would_have_ended(name, count, tmp_path):
    expected = whole(name)
    begin(name, tmp_path / "job", count)
    resumed = list(steps(name, tmp_path / "job"))
    assert resumed[-1].index == resumed[-1].total == expected.total
    assert torch.equal(resumed[-1].result.values, expected.result.values)
    assert torch.equal(resumed[-1].result.scores, expected.result.scores)
    assert resumed[-1].result.notes == expected.result.notes
    again = last(name, tmp_path / "job")
    assert torch.equal(again.result.values, expected.result.values)


CHANGES = [(name, option) for name in JOBS for option in OTHER[name]]


@pytest.mark.parametrize(("name", "option"), CHANGES, ids=["-".join(change) for change in CHANGES])
def test_another_option_is_refused_by_its_name_or_makes_no_difference(name, option, tmp_path):
    given = FOR.get((name, option), {})
    begin(name, tmp_path / "job", **given)
    changed = given | {option: OTHER[name][option]}
    if option in HARMLESS:
        expected = last(name, **changed).result.values
        assert torch.equal(last(name, tmp_path / "job", **changed).result.values, expected)
        return
    words = rf"job\S* is the checkpoint of another job: .*\b{FIELDS.get((name, option), option)} was .*, and is "
    with pytest.raises(OptionError, match=words):
        last(name, tmp_path / "job", **changed)


ASKED = [(name, kind) for name in JOBS for kind in INPUTS[name]]


@pytest.mark.parametrize(("name", "kind"), ASKED, ids=["-".join(asked) for asked in ASKED])
def test_another_question_or_picture_is_refused(name, kind, tmp_path):
    begin(name, tmp_path / "job")
    with pytest.raises(OptionError, match="is the checkpoint of another job: "):
        last(name, tmp_path / "job", **{kind: INPUTS[name][kind]})


@pytest.mark.parametrize("other", [{"seed": 1}, {"std": (0.5, 0.5, 0.5)}], ids=["weights", "normalisation"])
@pytest.mark.parametrize("name", JOBS)
def test_another_network_is_refused(name, other, tmp_path):
    begin(name, tmp_path / "job")
    with pytest.raises(OptionError, match="checkpoint of another job: the network"):
        last(name, tmp_path / "job", network=network(**other))


def test_what_text_does_not_show_is_part_of_a_question_too(tmp_path):
    """A direction and a target are printed by their shape and their layer."""
    one, other = (torch.randn(5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    targets = [network().look(picture(seed), [LAYER]) for seed in (1, 2)]
    questions = {
        "direction": [ts.Direction(LAYER, vector) for vector in (one, other)],
        "target": [-ts.FeatureDistance.from_activations(target, [LAYER]) for target in targets],
    }
    for name, (first, second) in questions.items():
        assert repr(first) == repr(second)
        given = {"size": SIZE, "regulariser": "fourier"}
        begin("ascend", tmp_path / name, objective=first, **given)
        with pytest.raises(OptionError, match=r"the question, .*, is not the same in every number"):
            last("ascend", tmp_path / name, objective=second, **given)


def test_what_was_seen_last_bit_for_last_bit_is_the_same(tmp_path):
    """Another number of threads, or another processor, rounds otherwise."""
    target = network().look(picture(1), [LAYER])[LAYER]
    questions = [-ts.FeatureDistance({ts.Need(LAYER): target * (1 + scale)}) for scale in (0.0, 1e-6, 1e-2)]
    given = {"size": SIZE, "regulariser": "fourier"}
    begin("ascend", tmp_path / "job", objective=questions[0], **given)
    begin("ascend", tmp_path / "job", objective=questions[1], **given)
    with pytest.raises(OptionError, match="another job"):
        begin("ascend", tmp_path / "job", objective=questions[2], **given)


MORE = {"ascend": 9, "dream": 9, "invert": 9, "texture": 12, "stylize": 12}


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("name", JOBS)
def test_a_job_can_be_given_more_steps_and_says_so(name, count, tmp_path):
    before = begin(name, tmp_path / "job", min(count, JOBS[name]["steps"]))
    if count == 6:
        before = last(name, tmp_path / "job")
    resumed = list(steps(name, tmp_path / "job", steps=MORE[name]))
    done = resumed[-1]
    assert resumed[0].index > 0
    assert done.index == done.total == MORE[name]
    assert len(resumed) <= MORE[name] - before.index + 2  # levels that were finished tell of it
    assert done.result.notes[-1] == (
        f"Started with {JOBS[name]['steps']} steps, and continued to {MORE[name]}; {MORE[name]} in one job may give "
        "another image."
    )
    if count == 6:
        assert float(done.result.scores.mean()) >= float(before.result.scores.mean()) - 1e-6
    again = last(name, tmp_path / "job", steps=MORE[name])
    assert torch.equal(again.result.values, done.result.values)
    assert again.result.notes == done.result.notes


@pytest.mark.parametrize("name", JOBS)
def test_a_job_cannot_be_given_fewer_steps(name, tmp_path):
    last(name, tmp_path / "job")
    fewer = JOBS[name]["steps"] - 1
    with pytest.raises(
        OptionError, match=rf"steps was {JOBS[name]['steps']}, and is {fewer}\. A job can be continued with more"
    ):
        last(name, tmp_path / "job", steps=fewer)


def test_l_bfgs_with_more_steps_makes_the_picture_of_as_many_at_once(tmp_path):
    given = {"starts": 1}
    last("invert", tmp_path / "job", steps=5, **given)
    gone_on = last("invert", tmp_path / "job", steps=11, **given)
    torch.testing.assert_close(gone_on.result.values, last("invert", steps=11, **given).result.values)


@pytest.mark.parametrize("count", [20, 40, 62])
def test_an_inversion_from_several_noises_can_be_given_more_steps(count, tmp_path):
    """Its first noises, once left behind, stay as they are, and all that is new goes to the last part."""
    given = {"layer": "features.0"}
    begin("invert", tmp_path / "job", count, steps=64, **given)
    resumed = list(steps("invert", tmp_path / "job", steps=96, **given))
    assert resumed[-1].index == resumed[-1].total == 96
    assert [step.index for step in resumed] == sorted(step.index for step in resumed)
    again = last("invert", tmp_path / "job", steps=96, **given)
    assert torch.equal(again.result.values, resumed[-1].result.values)


def test_an_inversion_that_was_begun_from_one_noise_goes_on_from_one(tmp_path):
    given = {"layer": "features.0"}
    begin("invert", tmp_path / "job", 10, steps=20, **given)  # too few steps for several noises
    gone_on = last("invert", tmp_path / "job", steps=70, **given)
    assert gone_on.index == 70
    torch.testing.assert_close(gone_on.result.values, last("invert", steps=70, starts=1, **given).result.values)


def test_every_stage_can_be_given_more_steps(tmp_path):
    given = {"layer": None, "every_stage": True}
    whole = last("invert", tmp_path / "job", **given, steps=3).result
    more = last("invert", tmp_path / "job", **given, steps=6).result
    assert (more.errors <= whole.errors + 1e-6).all()
    assert more.stages == whole.stages


def test_the_files_of_a_job_and_no_others_are_removed(tmp_path):
    for name in ("job", "job.0", "job.picture1.start0"):
        begin("ascend", tmp_path / name)
    others = ["job.png", "job.1", "job2", "job.start", "a", "job.0.txt"]
    for name in others:
        (tmp_path / name).write_bytes(b"somebody else's")
    begin("ascend", tmp_path / "jo")
    removed = remove_checkpoints(tmp_path / "job")
    assert sorted(path.name for path in removed) == ["job", "job.0", "job.picture1.start0"]
    assert {path.name for path in tmp_path.iterdir()} == {*others, "jo"}
    assert remove_checkpoints(tmp_path / "job") == []
    (tmp_path / "odd[0]").mkdir()
    begin("ascend", tmp_path / "odd[0]" / "j*b")
    assert [path.name for path in remove_checkpoints(tmp_path / "odd[0]" / "j*b")] == ["j*b"]


def test_the_size_of_a_large_checkpoint_is_said_once(tmp_path, monkeypatch):
    monkeypatch.setattr("triscope.what.optimisation.checkpoint._LARGE", 1000)
    with pytest.warns(ts.TriscopeWarning, match=r"The checkpoint .*job takes [\d,]+ MB") as said:
        last("ascend", tmp_path / "job", steps=60)
    assert len(said) == 1
