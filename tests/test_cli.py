"""The command line: arguments in; paths, messages and exit codes out."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner, Result

from tests import processes
from triscope.__main__ import run
from triscope.cli import COMMANDS, main
from triscope.results import Recipe
from triscope.verbs import METHODS

pytest_plugins = ["tests.hostile"]

MODEL = """
import torch
from torch import nn
import triscope as ts

def make():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
                           nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    return ts.Network(module, size=32, classes=["cat", "dog", "tree frog"], name="tiny")

def headless():
    return nn.Conv2d(3, 4, 3)

def nothing():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with a network and two images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    numbers = np.random.default_rng(0)
    for name in ("cat.png", "dog.png"):
        PIL.Image.fromarray(numbers.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(name)
    return tmp_path


def call(*words: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [*words], input=stdin)


def ask(*words: str, stdin: bytes | None = None) -> Result:
    return call(*words, "-m", "model.py:make", stdin=stdin)


def pixels(path: str) -> np.ndarray:
    with PIL.Image.open(path) as image:
        return np.asarray(image)


# What is quick


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["completion", "bash"], ["salincy"]])
def test_words_that_need_no_network_load_no_torch(words):
    program = (
        "import sys\nfrom triscope.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'PIL'} & sys.modules.keys()\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_overview_is_the_table_of_methods_and_the_tools():
    tools = {"app", "check", "completion", "doctor", "index", "layers", "redo", "report"}
    assert set(COMMANDS) == {method.command for method in METHODS.values()} | tools


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    done = call(command, "--help")
    assert done.exit_code == 0
    assert all(help_text.strip() for help_text in done.output.split("--")[1:])


#: What is meant for programmers: shapes of tensors, errors, types and ends of ranges.
FOR_PROGRAMMERS = re.compile(
    r"\b(RANGE|INTEGER|FLOAT|Raises|Values)\b|\w+Error\b|<=?x|\((?:[A-Z]|[a-z]\d?),(?: \w,?)*\)"
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_written_for_the_person_at_the_terminal(command):
    told = call(command, "--help").output
    assert FOR_PROGRAMMERS.findall(told) == []


@pytest.mark.parametrize(
    "text", ["Values (B, C, h, w).", "scores (k,)", "[0<=x<=1000.0]", "Raises ObjectiveError", "--rate FLOAT RANGE"]
)
def test_what_is_meant_for_programmers_is_found(text):
    assert FOR_PROGRAMMERS.search(text)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_that_shell(shell):
    done = call("completion", shell)
    assert done.exit_code == 0
    assert f"_TRISCOPE_COMPLETE={shell}_complete" in done.output


def test_an_unknown_command_is_a_usage_error_that_says_what_is_near():
    done = call("guided-back-prop")
    assert done.exit_code == 2
    assert "guided-backprop" in done.output


# What is made


def test_a_picture_is_made_under_a_name_that_says_what_was_asked(folder):
    done = ask("guided-backprop", "cat.png", "-u", "2:5@3,4")
    assert (done.exit_code, done.stdout) == (0, "cat.guided-backprop.2-5-3-4.png\n")
    assert Recipe.of_file("cat.guided-backprop.2-5-3-4.png").objective == "2:5@3,4"


def test_nothing_is_overwritten_unless_forced(folder):
    Path("cat.saliency.png").write_text("mine")
    done = ask("saliency", "cat.png")
    assert done.exit_code == 1
    assert "cat.saliency.png exists; use --force" in done.stderr
    assert Path("cat.saliency.png").read_text() == "mine"
    assert ask("saliency", "cat.png", "--force").exit_code == 0
    assert Path("cat.saliency.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object_on_stdout(folder):
    done = ask("saliency", "cat.png", "dog.png", "--json", "-u", "tree frog")
    told = json.loads(done.stdout)
    assert told["network"] == "tiny"
    assert [result["out"] for result in told["results"]] == ["cat.saliency.tree-frog.png", "dog.saliency.tree-frog.png"]
    assert {result["asked"][0] for result in told["results"]} == {"tree frog"}


def test_two_pictures_of_one_name_do_not_share_a_file(folder):
    Path("other").mkdir()
    Path("dog.png").rename("other/cat.png")
    done = ask("saliency", "cat.png", "other/cat.png")
    assert done.stdout.split() == ["cat.saliency.png", "cat.saliency-2.png"]


def test_a_folder_takes_results_under_their_names(folder):
    assert ask("saliency", "cat.png", "dog.png", "-o", "out").exit_code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["cat.saliency.png", "dog.saliency.png"]


def test_several_results_do_not_go_into_one_file(folder):
    Path("out.png").write_text("mine")
    assert ask("saliency", "cat.png", "dog.png", "-o", "out.png", "-f").exit_code == 1
    assert ask("saliency", "cat.png", "dog.png", "-o", "-").exit_code == 1
    assert Path("out.png").read_text() == "mine"


def test_what_has_no_picture_goes_to_stdout_as_json(folder):
    done = ask("predict", "cat.png", "-o", "-")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["recipe"]["method"] == "predict"


def test_stdin_to_stdout(folder):
    done = ask("saliency", "-", "-o", "-", stdin=Path("cat.png").read_bytes())
    assert done.exit_code == 0
    assert done.stdout_bytes.startswith(b"\x89PNG")
    ask("saliency", "cat.png")
    Path("piped.png").write_bytes(done.stdout_bytes)
    assert np.array_equal(pixels("piped.png"), pixels("cat.saliency.png"))


def test_raw_values_are_saved_as_npy(folder):
    assert ask("saliency", "cat.png", "-o", "cat.npy", "--channels", "signed").exit_code == 0
    assert np.load("cat.npy").shape == (1, 1, 32, 32)


def test_predict_prints_and_saves(folder):
    done = ask("predict", "cat.png", "--k", "2")
    assert len(done.stdout.splitlines()) == 2
    assert ask("predict", "cat.png", "-o", "cat.json").stdout == "cat.json\n"
    assert sum(row["score"] for row in json.loads(Path("cat.json").read_text())["images"][0]) == pytest.approx(1)


def test_filters_of_two_networks_stand_side_by_side(folder):
    one, two = ask("filters", "-o", "one.png"), ask("filters", "--beside", "model.py:headless", "-o", "two.png")
    assert (one.exit_code, two.exit_code) == (0, 0)
    assert pixels("two.png").shape[1] > pixels("one.png").shape[1]


def test_layers_are_listed(folder):
    told = json.loads(ask("layers", "--json").stdout)
    first = told["results"][0]
    assert first == {"name": "0", "type": "Conv2d", "shape": [8, 30, 30], "parameters": 224, "receptive_field": "3"}
    assert "tiny" in told["network"]
    assert ask("layers").stdout.splitlines()[1].split() == ["0", "Conv2d", "8x30x30", "224", "3"]


@pytest.mark.parametrize(("said", "policy", "waiting"), [(None, "PASSIVE", "asleep"), ("ACTIVE", "ACTIVE", "spinning")])
def test_threads_wait_asleep_unless_the_environment_says_otherwise(monkeypatch, capsys, said, policy, waiting):
    monkeypatch.setenv("OMP_WAIT_POLICY", said or "")
    if said is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setattr(sys, "argv", ["triscope", "doctor"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit):
        run()
    assert os.environ["OMP_WAIT_POLICY"] == policy
    assert f"which wait {waiting}" in capsys.readouterr().out


def test_doctor_names_versions():
    told = json.loads(call("doctor", "--json").stdout)["results"][0]
    assert told["torch"]
    assert "cpu" in told["devices"]


# What is made again


@pytest.mark.parametrize("style", ["heat", "overlay", "side-by-side"])
def test_redo_makes_the_same_bytes(folder, style):
    ask("saliency", "cat.png", "--channels", "signed", "--style", style, "-o", "first.png")
    done = ask("redo", "first.png")
    assert (done.exit_code, done.stdout) == (0, "first.redo.png\n")
    assert Path("first.redo.png").read_bytes() == Path("first.png").read_bytes()


@pytest.mark.parametrize("words", [["filters"], ["activations", "cat.png", "--layer", "2", "--order", "response"]])
def test_views_are_made_again_too(folder, words):
    ask(*words, "-o", "first.png")
    assert ask("redo", "first.png", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("first.png").read_bytes()


def test_redo_finds_the_photo_beside_the_picture_or_where_it_is_said(folder):
    ask("saliency", "cat.png")
    Path("there").mkdir()
    Path("cat.png").rename("there/cat.png")
    lost = ask("redo", "cat.saliency.png")
    assert lost.exit_code == 1
    assert "--image" in lost.stderr
    assert ask("redo", "cat.saliency.png", "--image", "there/cat.png").exit_code == 0
    Path("cat.saliency.png").rename("there/cat.saliency.png")
    assert ask("redo", "there/cat.saliency.png", "-o", "again.png").exit_code == 0


def test_redo_refuses_what_has_changed(folder):
    ask("saliency", "cat.png")
    photo = Path("cat.png").read_bytes()
    Path("dog.png").replace("cat.png")
    assert "has changed" in ask("redo", "cat.saliency.png").stderr
    Path("cat.png").write_bytes(photo)
    Path("model.py").write_text(MODEL.replace("manual_seed(0)", "manual_seed(1)"))
    assert "weights" in ask("redo", "cat.saliency.png").stderr


def test_redo_says_that_stdin_cannot_be_read_again(folder):
    ask("saliency", "-", stdin=Path("cat.png").read_bytes())
    done = ask("redo", "stdin.saliency.png")
    assert done.exit_code == 1
    assert "not a file" in done.stderr


def test_redo_of_a_picture_without_a_recipe(folder):
    done = call("redo", "cat.png")
    assert done.exit_code == 1
    assert "no recipe" in done.stderr


# What is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["saliency", "cat.png", "-m", "model.py:make", "-u", "3"], "no class 3"),
        (["saliency", "cat.png", "-m", "model.py:make", "-u", "dgo"], "Nearest: dog"),
        (["saliency", "cat.png", "-m", "model.py:make", "-u", "9:1"], "no layer '9'"),
        (["saliency", "cat.png", "-m", "model.py:make", "-u", "0:8"], "no channel 8"),
        (["saliency", "cat.png", "-m", "model.py:make", "-u", "0:1@99,0"], "row 99"),
        (["saliency", "nowhere.png", "-m", "model.py:make"], "nowhere.png does not exist"),
        (["saliency", "model.py", "-m", "model.py:make"], "not an image"),
        (["saliency", "cat.png", "-m", "model.py:gone"], "no function gone"),
        (["saliency", "cat.png", "-m", "model.py:nothing"], "returned int"),
        (["saliency", "cat.png", "-m", "gone.py:make"], "gone.py does not exist"),
        (["saliency", "cat.png", "-m", "resnet81"], "Nearest: resnet18"),
        (["saliency", "cat.png", "-m", "cat.png.pth"], "cat.png.pth does not exist"),
        (["saliency", "cat.png", "-m", "model.py:make", "--device", "cuda:9"], "cuda:9"),
        (["saliency", "cat.png", "-m", "model.py:make", "-o", "cat.tiff"], ".png, .jpg"),
        (["saliency", "cat.png", "-m", "model.py:make", "-o", "model.py/cat.png"], "cannot be written"),
        (["activations", "cat.png", "-m", "model.py:make", "--layer", "02"], "no layer '02'"),
        (["guided-backprop", "cat.png", "-m", "model.py:headless", "-u", "output:1"], "has none"),
    ],
)
def test_bad_words_give_one_sentence_and_exit_code_1(folder, words, said):
    done = call(*words)
    assert done.exit_code == 1, done.output
    assert said in done.stderr
    assert len([line for line in done.stderr.strip().splitlines() if not line.startswith("note: assumed")]) == 1
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "words", [["saliency"], ["saliency", "cat.png", "--channels", "most"], ["activations", "cat.png"]]
)
def test_wrong_usage_is_exit_code_2(folder, words):
    assert ask(*words).exit_code == 2


def test_one_bad_picture_does_not_stop_the_others(folder):
    Path("bad.png").write_bytes(b"")
    done = ask("saliency", "cat.png", "bad.png", "dog.png", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [Path(result["image"]).name for result in told["results"]] == ["cat.png", "dog.png"]
    assert told["failed"] == [{"image": "bad.png", "error": "bad.png is empty; download or copy it again."}]


def test_an_interruption_keeps_what_is_done_and_exits_130(folder):
    slow = MODEL.replace("return ts.Network", "module.register_forward_hook(wait)\n    return ts.Network").replace(
        "def make",
        "import time, pathlib\ndef wait(module, given, output):\n"
        "    time.sleep(60 if pathlib.Path('cat.saliency.png').exists() else 0)\n    return output\n\ndef make",
    )
    Path("model.py").write_text(slow)
    words = ["saliency", "cat.png", "dog.png", "-m", "model.py:make"]
    with processes.started(processes.TRISCOPE, *words) as running:
        for _ in range(600):
            time.sleep(0.1)
            if Path("cat.saliency.png").exists():
                break
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
    assert running.returncode == 130
    assert out == "cat.saliency.png\n"
    assert "interrupted" in err
    assert "Traceback" not in err


def test_awkward_pictures_in_one_run(folder, hostile):
    suffixes = {".jpg", ".png", ".gif", ".webp", ".tiff", ".avif", ".jp2", ".heic", ".svg", ".jpeg", ""}
    pictures = [path for path in sorted(hostile.iterdir()) if path.suffix.lower() in suffixes]
    pictures.remove(hostile / "34_dirloop")  # a folder of its own is all images in it
    words = ["predict", "-m", "model.py:make", "--json", "--", *map(str, pictures)]
    code, out, err = processes.ran(processes.TRISCOPE, *words)
    assert code == 1
    assert "Traceback" not in err
    told = json.loads(out)
    assert len(told["results"]) + len(told["failed"]) == len(pictures)
    assert all("\n" not in failure["error"] for failure in told["failed"])
    read = {Path(result["image"]).name for result in told["results"]}
    assert {"00_reference_ok.jpg", "07_cmyk.jpg", "17_ok.webp", "30_UPPER.JPG"} <= read
    assert not {"01_truncated_60pct.jpg", "04_zero_byte.jpg", "24_bomb_20000x20000.png", "44_vector.svg"} & read


def test_odd_names_give_names_that_stay_in_the_folder(folder, hostile):
    """In a process of its own, for some names are no text."""
    pictures = [path for path in hostile.iterdir() if path.name.startswith(("31_", "32_", "33_", "-31_"))]
    assert {path.name.partition("_")[0] for path in pictures} == {"31", "32", "33", "-31"}
    words = ["saliency", "-m", "model.py:make", "-o", "out/", "--", *map(str, pictures)]
    code, _, err = processes.ran(processes.TRISCOPE, *words)
    assert code == 0, err
    assert len(list(Path("out").iterdir())) == len(pictures)


def test_weights_of_zeros_are_told_of(folder, hostile):
    weights = str(hostile / "94_all_zero.pth")
    done = call("saliency", "cat.png", "--weights", weights, "-m", "squeezenet1_1")
    assert done.exit_code == 0
    assert "zero everywhere" in done.stderr


def test_a_missing_classifier_leaves_inner_units(folder, hostile):
    network = ["-m", "squeezenet1_1", "--weights", str(hostile / "86_missing_classifier.pth")]
    refused = call("saliency", "cat.png", *network)
    assert refused.exit_code == 1
    assert "classifier" in refused.stderr
    assert call("saliency", "cat.png", *network, "-u", "features.6:3").exit_code == 0


@pytest.mark.parametrize(
    "name",
    [
        "80_pickle_os_system.pth",
        "81_plain_pickle.pkl",
        "81_legacy_pickle.pth",
        "82_whole_module.pth",
        "84_wrong_shape.pth",
        "90_truncated.pth",
        "91_zero.pth",
        "92_html.pth",
        "95_saved_on_cuda_legacy.pth",
    ],
)
def test_awkward_weights_give_one_sentence(folder, hostile, name):
    done = call("predict", "cat.png", "-m", str(hostile / name), "--arch", "squeezenet1_1")
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert name in done.stderr
    assert not list(Path.cwd().glob("PWNED"))


def test_squeezenet_knows_the_photos(folder, shared):
    photos = sorted((shared / "images" / "objects").glob("n*.JPEG"))
    network = ["-m", "squeezenet1_1", "--weights", str(shared / "models" / "squeezenet1_1.safetensors")]
    told = json.loads(call("predict", *map(str, photos), *network, "--k", "1", "--json").stdout)
    best = [result["classes"][0]["name"].lower().replace(" ", "_") for result in told["results"]]
    right = [name == photo.stem.split("_", 1)[1].lower() for name, photo in zip(best, photos, strict=True)]
    assert (len(photos), sum(right)) >= (24, 18)
