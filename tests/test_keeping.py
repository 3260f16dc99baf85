"""Results are not lost: paths are checked first, signals save the current result, nothing is overwritten."""

import functools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner, Result

from tests import processes
from triscope.cli import main, reservation
from triscope.cli import output as output_module
from triscope.cli.interruption import exit_code, held, interruptible, was_interrupted
from triscope.cli.output import Destination, Places, Preview, Target
from triscope.errors import OptionError
from triscope.methods import StoreInput
from triscope.results import Picture, Recipe
from triscope.verbs import METHODS
from triscope.what.optimisation import ascent

ROOT = Path(__file__).parents[1]
MODEL = """
import pathlib, sys, time, torch
from torch import nn
from triscope.network import Network

def make():
    pathlib.Path("loaded").touch()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return Network(module, size=16, classes=["cup", "tabby", "rocket", "daisy"], name="tiny")

class Slow(nn.Module):
    def forward(self, images):
        time.sleep(0.05)
        return images

def slow():
    return Network(nn.Sequential(Slow(), *make().module), size=16, classes=["cup", "tabby", "rocket", "daisy"])

class Broken(nn.Module):
    def forward(self, images):
        if images.mean() < 0.1 and pathlib.Path("armed").exists():
            raise MemoryError("out of memory")
        return images

def broken():
    return Network(nn.Sequential(Broken(), *make().module), size=16, classes=["cup", "tabby", "rocket", "daisy"])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a network and three images, and an empty temporary folder."""
    place, scratch = tmp_path / "here", tmp_path / "tmp"
    place.mkdir()
    scratch.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(reservation, "_open", [])
    Path("model.py").write_text(MODEL)
    numbers = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        PIL.Image.fromarray(numbers.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(name)
    return place


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def ask(*words: str) -> Result:
    return call(*words, "-m", "model.py:make")


def sentence(done: Result) -> str:
    """What a refused command said: one line, exit code 1, no traceback."""
    assert done.exit_code == 1, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.stderr.startswith("triscope: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def kept() -> list[Path]:
    """What was put into the temporary folder, less the file of reservations."""
    return [path for path in Path(tempfile.gettempdir()).rglob("*") if path.is_file() and path.suffix != ".lock"]


# At the door


def words_of(command: str) -> list[str]:
    """A command line of every command that writes results, with what it asks for and without options."""
    if command == "report":
        return ["report", "a.png"]
    verb = next(method for method in METHODS.values() if method.command == command)
    words = [command]
    words += ["a.png"] if verb.takes("images") else []
    words += ["a.png", "b.png"] if verb.takes("content") else []
    words += ["a.png"] if verb.takes("query") else []
    words += ["1"] if verb.requires("objective") else []
    words += ["1:2"] if verb.takes("objective") and verb.takes("store") and not verb.requires("objective") else []
    words += ["photos" for declared in verb.inputs.values() if isinstance(declared.input, StoreInput)]
    return [*words, *(["--layer", "1"] if verb.requires("layer") and not verb.takes("store") else [])]


FORMS = {"report": ".html"} | {method.command: method.returns.usual_form for method in METHODS.values()}
del FORMS["units"]  # fills a folder: tests/test_unit_folder.py


@pytest.mark.parametrize("command", FORMS)
@pytest.mark.parametrize(
    ("out", "said"),
    [("x.tiff", "saved as"), ("x", "saved as"), ("model.py/x.png", "Not a directory"), ("pipe.png", "pipe or device")],
)
def test_where_a_result_goes_is_looked_at_before_anything_is_done(folder, command, out, said):
    """The network is not even loaded, or the store opened: there is none."""
    out = out.replace(".png", FORMS[command])
    os.mkfifo(f"pipe{FORMS[command]}")
    words = words_of(command)
    network = [] if "photos" in words else ["-m", "model.py:make"]
    assert said in sentence(call(*words, "-o", out, *network))
    assert not Path("loaded").exists()


@pytest.mark.parametrize(
    "kind",
    sorted({method.returns for method in METHODS.values()}, key=lambda kind: kind.__name__),
    ids=lambda kind: kind.__name__,
)
def test_what_a_kind_of_result_is_written_as_is_known_before_there_is_one(kind):
    assert {kind.usual_form, *(f".{form}" for form in kind.asked_forms)} <= set(kind.endings)
    assert kind.kind != "result"


def test_a_report_is_a_page(folder):
    assert "saved as .html, .htm, not as r.pdf" in sentence(ask("report", "a.png", "-o", "r.pdf"))


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--frames", "way.avi", "Frames are written as .webp, .gif, .mp4"),
        ("--frames", "-", "Frames are written as"),
        ("--frames", "model.py/way.gif", "Not a directory"),
        ("--frames", "there.gif", "there.gif exists"),
        ("--preview", "look.tiff", "An image is saved as .png"),
        ("--preview", "there.png", "there.png exists"),
        ("--checkpoint", "model.py/job", "Not a directory"),
    ],
)
def test_what_is_written_beside_a_result_is_looked_at_too(folder, option, value, said):
    Path("there.gif").write_text("mine")
    Path("there.png").write_text("mine")
    assert said in sentence(ask("ascend", "cup", "--steps", "2", option, value))
    assert not Path("ascend.cup.png").exists()
    assert Path("there.gif").read_text() == Path("there.png").read_text() == "mine"


def test_missing_folders_are_made_when_there_is_something_to_put_into_them(folder):
    assert ask("ascend", "nothing", "-o", "new/er/x.png").exit_code == 1
    assert not Path("new").exists()
    assert ask("ascend", "cup", "--steps", "1", "-o", "new/er/x.png").exit_code == 0
    assert ask("saliency", "a.png", "-o", "other/").exit_code == 0
    assert Path("new/er/x.png").is_file()
    assert Path("other/a.saliency.png").is_file()


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_a_jpeg_or_webp_is_made_again_from_its_recipe(folder, ending):
    assert ask("saliency", "a.png", "-o", f"x.{ending}").exit_code == 0
    done = call("redo", f"x.{ending}", "-m", "model.py:make")
    assert (done.exit_code, done.stdout) == (0, f"x.redo.{ending}\n"), done.output
    assert Path(f"x.redo.{ending}").read_bytes() == Path(f"x.{ending}").read_bytes()


# Nothing is overwritten


def test_of_two_processes_with_one_place_the_second_is_refused_while_the_first_works(folder):
    """And a process that is killed leaves no trace of its reservation."""
    program = (
        f"import tempfile, time; tempfile.tempdir = {tempfile.tempdir!r}\n"
        "from pathlib import Path; from triscope.cli.reservation import reserve\n"
        "print(reserve(Path('x.png')), flush=True); time.sleep(60)"
    )
    before = set(Path().iterdir())
    with processes.started(program) as other:
        assert other.stdout.readline() == "True\n"
        said = sentence(ask("ascend", "cup", "--steps", "1", "-o", "x.png"))
        assert "Another triscope is making x.png" in said
        assert ask("ascend", "cup", "--steps", "1", "-o", "y.png").exit_code == 0
        other.kill()
    assert set(Path().iterdir()) - before <= {Path("y.png"), Path("loaded"), Path("__pycache__")}
    assert ask("ascend", "cup", "--steps", "1", "-o", "x.png").exit_code == 0


def test_a_file_that_appears_meanwhile_is_kept_and_so_is_the_result(folder, monkeypatch):
    step = ascent._Run.step

    def meanwhile(self):
        Path("x.png").write_text("theirs")
        return step(self)

    monkeypatch.setattr(ascent._Run, "step", meanwhile)
    said = sentence(ask("ascend", "cup", "--steps", "2", "-o", "x.png"))
    assert "Another program has made x.png meanwhile; it was not overwritten." in said
    assert Path("x.png").read_text() == "theirs"
    (rescued,) = kept()
    assert str(rescued) in said
    assert Recipe.of_file(rescued).method == "ascend"


# Where saving fails all the same


@pytest.fixture
def destination(folder: Path) -> Destination:
    return Destination(folder / "new" / "x.jpg")


def gone(folder: Path) -> None:
    """A file stands where a folder was to be made."""
    (folder / "new").touch()


def test_a_result_that_cannot_be_saved_is_kept_in_the_temporary_folder(folder, destination):
    picture = Picture(np_picture())
    gone(folder)
    with pytest.raises(OptionError, match=r"x\.jpg cannot be written: .* The result is saved in .*x\.jpg\."):
        destination.save(picture)
    (rescued,) = kept()
    assert rescued.name == "x.jpg"
    assert rescued.read_bytes() == picture.encode(".jpg")


def test_a_picture_that_cannot_be_drawn_is_kept_as_its_numbers(folder, destination):
    """As one that holds NaN."""
    picture = Picture(np_picture() * float("nan"))
    with pytest.raises(OptionError, match=r"The result is saved in .*x\.npy\."):
        destination.save(picture)
    (rescued,) = kept()
    assert np.array_equal(np.load(rescued), picture.values.numpy(), equal_nan=True)
    assert not (folder / "new" / "x.jpg").exists()


def test_where_nothing_can_be_kept_that_is_said(folder, destination, monkeypatch):
    gone(folder)
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OptionError, match=r"could not be saved in the temporary folder either: .*No space left"):
        destination.save(Picture(np_picture()))


def np_picture():
    import torch

    return torch.rand(1, 3, 8, 9)


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
NETWORK = ["-m", "model.py:make"]


def check_full(code: int | str | None, said: str) -> None:
    assert code == 1
    assert said.startswith("triscope: stdout cannot be written: No space left on device.")
    assert said.count("\n") == 1


@FULL
@pytest.mark.parametrize(
    "words",
    [["saliency", "a.png", *NETWORK], ["predict", "a.png", *NETWORK], ["layers", *NETWORK], ["saliency", "--help"]],
    ids=" ".join,
)
def test_a_full_stdout_is_a_sentence(folder, words, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as ended:
            main(words)
    check_full(ended.value.code, capsys.readouterr().err)


@FULL
@pytest.mark.parametrize(
    ("words", "lost"),
    [(["--help"], False), (["completion", "bash"], False), (["saliency", "a.png", "-o", "-", *NETWORK], True)],
    ids=["--help", "completion", "saliency"],
)
def test_a_process_with_a_full_stdout_says_no_more_when_it_ends(folder, words, lost, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(folder.parent / "tmp"))
    with Path("/dev/full").open("wb") as full:
        code, _, said = processes.ran(processes.TRISCOPE, *words, stdout=full)
    check_full(code, said)
    if lost:
        (rescued,) = kept()
        assert str(rescued) in said
        assert Recipe.of_file(rescued).method == "saliency"


# Several at once


@pytest.mark.parametrize("there", [True, False], ids=["a file", "no file yet"])
def test_several_results_are_not_put_under_the_name_of_one_file(folder, there):
    if there:
        Path("both.png").write_bytes(b"mine")
    said = sentence(ask("saliency", "a.png", "b.png", "-o", "both.png", "--force"))
    assert "both.png names a file, and there are several results; name a folder with --out" in said
    assert not Path("both.png").is_dir()
    assert ask("saliency", "a.png", "b.png", "-o", "both.png/").exit_code == (1 if there else 0)


def test_one_that_fails_in_an_unforeseen_way_does_not_cost_the_others(folder):
    PIL.Image.new("RGB", (20, 24)).save("b.png")
    Path("armed").touch()
    words = ["dream", "a.png", "b.png", "c.png", "--layer", "2", "--steps", "1", "--size", "20", "--octaves", "1"]
    done = call(*words, "-m", "model.py:broken", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [one["out"] for one in told["results"]] == ["a.dream.2.png", "c.dream.2.png"]
    assert told["failed"] == [{"image": "b.png", "error": "b.png failed: MemoryError('out of memory')"}]
    done = call("saliency", "a.png", "b.png", "c.png", "-m", "model.py:broken")
    assert (done.exit_code, done.stdout.split()) == (1, ["a.saliency.png", "c.saliency.png"])


def test_frames_previews_and_checkpoints_of_several_pictures_do_not_share_a_file(folder, monkeypatch):
    monkeypatch.setattr(Preview, "show", lambda self, result: self._destination.save(result))
    words = [
        "--layer",
        "2",
        "--steps",
        "2",
        "--size",
        "20",
        "--octaves",
        "1",
        "--frames",
        "way.gif",
        "--preview",
        "p.jpg",
    ]
    assert ask("dream", "a.png", "b.png", *words, "--checkpoint", "job").exit_code == 0
    made = {path.name for path in Path().iterdir()}
    assert {"way.gif", "way-2.gif", "p.jpg", "p-2.jpg"} <= made
    assert Recipe.of_file("p-2.jpg").images[0].name == "b"


# Previews


class Told:
    def __init__(self, places: Places) -> None:
        self.notes: list[str] = []
        self.preview = Preview(places.find([]), self.notes.append, every=0.0)


def test_a_preview_is_the_picture_so_far_and_its_place_is_written_again_and_again(folder):
    told = Told(Target(None, force=False).beside("look.png", Picture.require_ending))
    for _ in range(2):
        picture = Picture(np_picture())
        told.preview._due = 0.0
        told.preview.show(picture)
        assert Path("look.png").read_bytes() == picture.png()
    assert told.notes == []


def test_a_preview_that_cannot_be_written_is_said_once_and_the_job_goes_on(folder):
    told = Told(Target(None, force=False).beside("new/look.png", Picture.require_ending))
    Path("new").touch()
    for _ in range(3):
        told.preview.show(Picture(np_picture()))
    assert len(told.notes) == 1
    assert "there is no preview: new/look.png cannot be written" in told.notes[0]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--size", "520"], True),
        (["--size", "520", "--no-preview"], False),
        (["--size", "512"], False),
        (["--size", "520", "-o", "-"], False),
        (["--size", "24", "--preview", "look.png"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_large_styles_and_textures_show_themselves_on_the_way(folder, monkeypatch, words, shown):
    seen: list[str | None] = []
    monkeypatch.setattr(Preview, "show", lambda self, result: seen.append(self._destination.name))
    done = ask("texture", "a.png", "--steps", "2", "--octaves", "1", "--layers", "1", *words)
    assert done.exit_code == 0, done.output
    assert seen == (["look.png" if "look.png" in words else "a.texture.png"] if shown else [])


def test_a_preview_is_asked_for_or_not(folder):
    said = sentence(ask("texture", "a.png", "--preview", "x.png", "--no-preview"))
    assert "contradict" in said


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_a_job_with_its_code_and_keeps_what_there_is(folder, monkeypatch, number, code):
    raise_at(monkeypatch, number, 4)
    done = ask("ascend", "cup", "--steps", "50", "--frames", "way.gif", "--checkpoint", "job")
    assert done.exit_code == code
    assert done.stdout == "ascend.cup.png\n"
    assert done.stderr.splitlines()[-1] == "triscope: interrupted; saved: ascend.cup.png, way.gif"
    assert Recipe.of_file("ascend.cup.png").method == "ascend"
    assert Path("way.gif").is_file()
    assert Path("job").is_file()


def raise_at(monkeypatch: pytest.MonkeyPatch, number: int, at: int) -> None:
    """A signal in the given step."""
    step, calls = ascent._Run.step, []

    def interrupted(self):
        calls.append(None)
        if len(calls) == at:
            signal.raise_signal(number)
        return step(self)

    monkeypatch.setattr(ascent._Run, "step", interrupted)


def test_nothing_is_said_to_be_saved_where_nothing_was(folder, monkeypatch):
    raise_at(monkeypatch, signal.SIGINT, 1)
    done = ask("ascend", "cup", "--steps", "50")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "triscope: interrupted; nothing was finished, so nothing is saved\n"
    assert not Path("ascend.cup.png").exists()


def test_an_interrupted_batch_tells_what_it_has_made(folder, monkeypatch):
    raise_at(monkeypatch, signal.SIGTERM, 3)
    words = ["dream", "a.png", "b.png", "--layer", "2", "--steps", "2", "--size", "20", "--octaves", "1", "--json"]
    done = ask(*words)
    assert done.exit_code == 143
    told = json.loads(done.stdout)
    assert told["interrupted"] is True
    assert [one["out"] for one in told["results"]] == ["a.dream.2.png"]


def test_an_interruption_that_something_makes_another_error_of_is_one_all_the_same(folder, monkeypatch):
    """As a library in another language may do; and the other images are not begun."""

    @functools.wraps(METHODS["saliency"]._body)
    def swallowed(*_, **__):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise RuntimeError("panic") from error

    monkeypatch.setattr(METHODS["saliency"], "_body", swallowed)
    done = ask("saliency", "a.png", "b.png")
    assert done.exit_code == 143
    assert done.stderr == "triscope: interrupted; nothing was finished, so nothing is saved\n"


def test_a_signal_while_a_result_is_written_waits_until_it_is(folder, monkeypatch):
    write = output_module.write_file

    def interrupted(path: Path, data: bytes, *, replace: bool = True) -> None:
        signal.raise_signal(signal.SIGINT)
        write(path, data, replace=replace)

    monkeypatch.setattr(output_module, "write_file", interrupted)
    done = ask("saliency", "a.png", "b.png")
    assert done.exit_code == 130
    assert Recipe.of_file("a.saliency.png").method == "saliency"
    assert not Path("b.saliency.png").exists()


def test_more_signals_do_not_disturb_what_the_first_one_began():
    with interruptible():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert was_interrupted()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert exit_code() == 143
    with interruptible():
        assert not was_interrupted()


def test_a_signal_waits_while_it_is_held():
    done: list[str] = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGINT)
            done.append("written")
        done.append("never")

    with interruptible(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["written"]


def test_handlers_are_put_back_and_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with interruptible():
            assert signal.getsignal(signal.SIGTERM) != handlers[1]
            signal.raise_signal(signal.SIGHUP)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupted(number: int, ready: Callable[[], bool], *words: str) -> tuple[int, str]:
    """A command that is sent a signal as soon as something is there: its exit code, and what it said."""
    with processes.started(processes.TRISCOPE, *words, fresh=True) as process:
        while not ready() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate()
    return process.returncode, said


def test_a_process_that_is_terminated_keeps_its_picture(folder):
    words = [
        "ascend",
        "cup",
        "--steps",
        "100000",
        "-m",
        "model.py:slow",
        "--preview",
        "look.png",
        "--checkpoint",
        "job",
    ]
    code, said = interrupted(signal.SIGTERM, Path("job").exists, *words)
    assert (code, said.splitlines()[-1]) == (143, "triscope: interrupted; saved: ascend.cup.png")
    assert Recipe.of_file("ascend.cup.png").method == "ascend"


@pytest.mark.slow
def test_interruptions_at_random_moments_show_no_traceback(folder):
    """Five commands, each at ten moments from when its modules are loaded until after it is done."""
    random = np.random.default_rng(0)
    commands = [
        ["ascend", "cup", "--steps", "60", "--frames", "way.webp", "-f", "-m", "model.py:slow"],
        ["saliency", "a.png", "b.png", "c.png", "-f", "-m", "model.py:slow"],
        ["stylize", "a.png", "b.png", "--layers", "2", "--content-layers", "2", "--steps", "60", "--size", "24",
         "--octaves", "1", "-f", "-m", "model.py:slow"],
        ["report", "a.png", "-f", "-m", "model.py:make"],
        ["index", ".", "--layer", "1", "-m", "model.py:slow"],
    ]  # fmt: skip
    for words in commands:
        for _ in range(10):
            number = signal.SIGINT if random.random() < 0.7 else signal.SIGTERM
            until = time.monotonic() + random.uniform(0.5, 12)
            code, said = interrupted(number, lambda until=until: time.monotonic() > until, *words)
            # A terminated process that had not come so far yet has nothing to keep; a shell says 143 of it, too.
            assert code in (0, 128 + number, *([-number] if number == signal.SIGTERM else [])), (words, code, said)
            assert "Traceback" not in said, (words, said)
            assert not list(Path().glob(".triscope-*")), words
            kept = said.rpartition("interrupted; saved: ")[2].strip().split(", ") if "; saved: " in said else []
            assert all(Path(name).stat().st_size > 0 for name in kept if words[0] != "index"), (words, said)
