"""The commands of WHAT: files, frames, JSON, and the current image when a job is interrupted."""

import json
from pathlib import Path

import PIL.Image
import pytest
import torch
from click.testing import CliRunner

from triscope.cli import main
from triscope.cli.output import Destination
from triscope.errors import OptionError
from triscope.images import to_pil
from triscope.methods import Step
from triscope.results import Recipe
from triscope.watching import progress

MODEL = """
import torch
from torch import nn
from triscope.network import Network

def make():
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
                   size=16, classes=["cup", "tabby", "rocket", "daisy"])
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    PIL.Image.new("RGB", (20, 24), (200, 120, 40)).save(tmp_path / "photo.png")

    def invoke(*words):
        return CliRunner().invoke(main, [*words, "-m", "model.py:make"], catch_exceptions=False)

    return invoke


def test_ascend_writes_a_picture_named_after_what_was_asked(run):
    done = run("ascend", "tabby", "--steps", "3", "--seed", "5")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "ascend.tabby.png"
    recipe = Recipe.of_file("ascend.tabby.png")
    assert (recipe.objective, recipe.options["seed"], recipe.options["steps"]) == ("1", 5, 3)


@pytest.mark.parametrize(
    "words",
    [
        ("dream", "photo.png", "--layer", "1", "--steps", "2", "--size", "24", "--octaves", "1"),
        ("dream", "photo.png", "-u", "1:2", "--steps", "2", "--size", "24", "--octaves", "1"),
        ("invert", "photo.png", "--layer", "1", "--steps", "2"),
        ("invert", "photo.png", "--every-stage", "--steps", "2"),
        ("fool", "photo.png", "rocket", "--steps", "2"),
        ("regularisers", "rocket", "--steps", "1"),
    ],
    ids=" ".join,
)
def test_every_command_tells_what_it_did(run, words):
    done = run(*words, "--json", "-o", "made.png", "-q")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["results"][0]
    assert told["out"] == "made.png"
    assert told["steps"] == told["of"]
    assert ("errors" in told) == (words[0] == "invert")
    with PIL.Image.open("made.png") as picture:
        assert min(picture.size) >= 16


def test_frames_are_written_beside_the_picture(run):
    assert run("ascend", "cup", "--steps", "5", "--frames", "way.webp").exit_code == 0
    with PIL.Image.open("way.webp") as moving:
        assert moving.n_frames > 1
    done = run("ascend", "cup", "--steps", "5", "--frames", "way.avi", "-f")
    assert done.exit_code == 1
    assert "Frames are written as" in done.stderr


def test_an_interrupted_job_leaves_the_picture_so_far_and_its_checkpoint(run, monkeypatch):
    from triscope.what.optimisation import ascent as loop

    step, calls = loop._Run.step, []

    def interrupted(self):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return step(self)

    monkeypatch.setattr(loop._Run, "step", interrupted)
    done = run("ascend", "cup", "--steps", "50", "--checkpoint", "job", "--frames", "way.gif")
    assert done.exit_code == 130
    assert "interrupted" in done.stderr
    with PIL.Image.open("ascend.cup.png") as picture:
        assert picture.size == (16, 16)
    assert Recipe.of_file("ascend.cup.png").method == "ascend"
    assert torch.load("job", weights_only=True)["state"]["index"] == 3
    with PIL.Image.open("way.gif") as moving:
        assert moving.n_frames > 1


JOBS = {
    "ascend": ("ascend", "cup"),
    "invert": ("invert", "photo.png", "--every-stage"),
    "stylize": ("stylize", "photo.png", "other.png", "--layers", "1", "--content-layers", "1", "--size", "24"),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_is_done_and_saved_needs_its_checkpoint_no_more(run, name):
    picture = torch.rand(3, 24, 20, generator=torch.Generator().manual_seed(0))
    to_pil(picture).save("other.png")
    to_pil(picture.flip(1)).save("photo.png")
    done = run(*JOBS[name], "--steps", "3", "--checkpoint", "job", "-o", "made.png")
    assert done.exit_code == 0, done.output
    assert "note: the job is done; removed: job" in done.stderr
    assert [path.name for path in Path().glob("job*")] == []
    kept = run(*JOBS[name], "--steps", "3", "--checkpoint", "job", "--keep-checkpoint", "-o", "kept.png")
    assert "removed" not in kept.stderr
    assert list(Path().glob("job*"))
    more = run(*JOBS[name], "--steps", "5", "--checkpoint", "job", "-o", "more.png", "--json")
    assert more.exit_code == 0, more.output
    (told,) = json.loads(more.stdout)["results"]
    assert told["steps"] == told["of"]
    assert any("continued to 5" in note for note in told["notes"])
    assert list(Path().glob("job*")) == []


def test_a_checkpoint_stays_where_the_result_is_not_in_a_file(run, monkeypatch):
    done = run("ascend", "cup", "--steps", "2", "--checkpoint", "job", "-o", "-")
    assert done.exit_code == 0
    assert Path("job").exists()

    def full(self, data):
        raise OptionError("made.png cannot be written: No space left on device.")

    monkeypatch.setattr(Destination, "write", full)
    done = run("ascend", "cup", "--steps", "2", "--checkpoint", "job", "-o", "made.png")
    assert done.exit_code == 1
    assert "No space left" in done.stderr
    assert Path("job").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ascend", "zebra"), "no class 'zebra'"),
        (("ascend", "9:1"), "no layer '9'"),
        (("invert", "photo.png"), "either a layer or every_stage"),
        (("fool", "photo.png", "1:2"), "one class"),
        (("dream", "nowhere.png"), "nowhere.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_questions_get_a_sentence_and_exit_code_1(run, words, sentence):
    done = run(*words)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_the_line_of_progress():
    step = Step(30, 100, 12.3456, {}, None)
    assert progress(step, 15.0) == "step 30 of 100   score 12.35   2.0 steps/s   35 s left"
    assert progress(step, 10.0, first=25) == "step 30 of 100   score 12.35   0.5 steps/s   2 min 20 s left"
