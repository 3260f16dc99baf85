"""A recipe contains only what its method writes; anything else raises an error of one sentence, and nothing is done."""

import json
from pathlib import Path

import pytest
import torch

import triscope as ts
from tests.strangers.conftest import call, forge_picture, recipe_of, sentence
from triscope.verbs import METHODS

MODEL = "from tests.which.conftest import tiny_network as make\n"
OPTIONS = [(name, option) for name, verb in METHODS.items() for option in verb.options]
CANNOT = "This recipe cannot be read: "


@pytest.fixture
def made(folder):
    """The recipe of a saliency map of photos/1.png, in x.png."""
    (folder / "mine.py").write_text(MODEL)
    assert call("saliency", "photos/1.png", "-u", "3", "-m", "mine.py:make", "-o", "x.png").exit_code == 0
    return recipe_of(folder / "x.png")


def redo(path: Path):
    return call("redo", str(path), "-m", "mine.py:make", "-o", "again.png")


def test_what_is_not_forged_is_made_again(folder, made):
    forge_picture(folder / "y.png", made)
    assert redo(folder / "y.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("x.png").read_bytes()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("threads", 0, "threads is 0"),
        ("threads", 100_000, "threads is 100000"),
        ("threads", "x", "threads is 'x'"),
        ("threads", True, "threads is True"),
        ("threads", 1.5, "threads is 1.5"),
        ("options", [1], "options is a list"),
        ("options", {"sharpness": 3}, "holds no option 'sharpness'"),
        ("options", {"channels": ["max"]}, "channels must be one of max, sum, signed, not ['max']"),
        ("options", {"channels": {"max": 1}}, "the option 'channels' is an object"),
        ("options", {"fit": "stretch"}, "fit must be one of crop, pad, keep"),
        ("options", {"layer": "3"}, "holds no option 'layer'"),
        ("options", {"store": "/etc"}, "holds no option 'store'"),
        ("options", {"query": 3}, "holds no option 'query'"),
        ("networks", [], "it names no network"),
        ("networks", {}, "networks is an object"),
        ("networks", ["pocket"], "a network is 'pocket'"),
        ("networks", [{"name": 3}], "name is 3"),
        ("networks", [{"name": "a", "source": "pocket"}], "source is 'pocket'"),
        ("networks", [{"name": "a", "weights": "w.pth"}], "a network has a field 'weights'"),
        ("networks", [{"name": "a", "sha256": "../../x"}], "sha256 is '../../x'"),
        ("networks", [{"name": "a"}, {"name": "b"}], "saliency asks one network, and 2 are named"),
        ("images", [], "saliency takes an image as images, and none is recorded"),
        ("images", None, "images is nothing"),
        ("images", [{"name": "a"}, {"name": "b", "part": "mask"}], "no image as 'mask'"),
        ("images", [{"name": "a", "mode": "w"}], "an image has a field 'mode'"),
        ("objective", 3, "objective is 3"),
        ("objective", [], "objective is a list"),
        ("style", "neon", "style is 'neon'"),
        ("style", ["heat"], "style is a list"),
        ("flavour", "vanilla", "the recipe has a field 'flavour'"),
        ("method", None, "method is nothing"),
        ("precision", {}, "precision is an object"),
    ],
)
def test_what_a_method_would_not_write_is_refused(folder, made, field, value, said):
    forge_picture(folder / "y.png", made | {field: value})
    told = sentence(redo(folder / "y.png"))
    assert CANNOT in told
    assert said in told


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, '{"threads": NaN}', '{"threads": ' + "9" * 5000 + "}", '"\\ud800"', "{}", "\\"],
    ids=["deep list", "deep object", "not a number", "a long number", "half a letter", "empty", "no JSON"],
)
def test_what_is_no_recipe_at_all(folder, text):
    forge_picture(folder / "y.png", text)
    assert CANNOT in sentence(call("redo", "y.png"))


def test_no_recipe_names_a_file_to_write():
    """Of every method: a text that is free is none of those known to name a file."""
    free = {option.name for _, option in OPTIONS if option.recorded and option.type is str and not option.choices}
    assert free <= {
        "by",
        "channels",
        "color_by",
        "content_layers",
        "layers",
        "method",
        "methods",
        "token",
        "units",
        "where",
    }, "is this the name of a file?"
    assert not any(
        option.recorded for verb in METHODS.values() for option in verb.options if option.name == "checkpoint"
    )


@pytest.mark.parametrize(
    "name", [name for name, verb in METHODS.items() for option in verb.options if not option.recorded]
)
def test_no_method_writes_a_checkpoint_for_a_recipe(name, folder, made):
    place = folder / "written"
    images = [{**made["images"][0], "part": part} for part in ("content", "style")]
    images = images if METHODS[name].takes("content") else made["images"] if METHODS[name].takes("images") else []
    objective = "3" if METHODS[name].takes("objective") else None
    recipe = {"method": name, "options": {"checkpoint": str(place)}, "objective": objective, "images": images}
    forge_picture(folder / "y.png", made | recipe)
    again = f"again{METHODS[name].returns.endings[0]}"
    told = sentence(call("redo", "y.png", "-m", "mine.py:make", "-o", again))
    assert f"a recipe of {name} holds no option 'checkpoint'" in told
    assert not list(folder.glob("written*"))


def test_a_picture_that_is_only_named_is_not_opened(folder, made):
    """`start` of stylize may be a path; without the hash of that image, it is nobody's business."""
    note = made["images"][0]
    images = [{**note, "part": part} for part in ("content", "style")]
    options = {"start": str(folder / "photos" / "2.png"), "steps": 1, "size": 16}
    forge_picture(
        folder / "y.png", made | {"method": "stylize", "images": images, "objective": None, "options": options}
    )
    assert "an image that is not among those recorded" in sentence(redo(folder / "y.png"))


def test_the_number_of_threads_is_the_process_s_own(folder, made, monkeypatch):
    """The library leaves it alone and says so; the command line, a process of its own, follows the recipe."""
    forge_picture(folder / "y.png", made | {"threads": 3})
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    network = ts.load("mine.py:make")
    with pytest.warns(ts.TriscopeWarning, match="was made with 3 threads, and this process has 1"):
        again = ts.redo("y.png", network=network)
    assert again.recipe.threads == torch.get_num_threads() == 1
    assert asked == []
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    done = redo(folder / "y.png")
    assert done.exit_code == 0
    assert asked == [2, 1]  # no more than there are processors, and as before afterwards
    assert "rounding may differ" in done.stderr


def test_a_terminal_is_told_nothing_that_moves_its_cursor(folder, made):
    evil = "\x1b[2J\x1b]0;owned\x07\u202e"
    for field, value in (
        ("method", evil), ("objective", evil), ("options", {evil: 1}), ("options", {"fit": evil}),
        ("networks", [{"name": evil, "source": {"name": evil}}]),
        ("networks", [{"name": evil, "source": None}]),
        ("networks", [{"name": evil, "source": {"name": f"{evil}.py:make"}}]),
        ("images", [{"name": evil, "path": evil, "sha256": "0" * 64}]),
        ("images", [{"name": evil}]),
    ):  # fmt: skip
        forge_picture(folder / "y.png", made | {field: value})
        assert sentence(call("redo", "y.png")).rstrip("\n").isprintable()


def test_a_bomb_of_a_picture_is_refused(folder, made):
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (folder / "y.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    assert "cannot be read as a PNG" in sentence(call("redo", "y.png"))


def test_recipes_of_0_1_keep_working(folder, made):
    """Whole paths, no hash of the Python file."""
    made["images"][0]["path"] = str(folder / "photos" / "1.png")
    made["networks"][0]["source"] = {"name": str(folder / "mine.py:make")}
    away = folder / "away"
    away.mkdir()
    forge_picture(away / "y.png", made)
    assert redo(away / "y.png").exit_code == 0
    assert json.loads(json.dumps(made))["version"]


def test_a_question_that_follows_from_a_layer_is_asked_again(folder, made):
    """What has no text form is not recorded as text; here the layer, which is, says it."""
    words = ["--layer", "3", "--steps", "2", "--octaves", "1", "--size", "32"]
    done = call("dream", "photos/1.png", *words, "-m", "mine.py:make", "-o", "d.png")
    assert done.exit_code == 0, done.output
    assert "(" in recipe_of(folder / "d.png")["objective"]
    assert redo(folder / "d.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("d.png").read_bytes()
    forge_picture(folder / "y.png", recipe_of(folder / "d.png") | {"objective": "Energy('1')"})
    Path("again.png").unlink()
    assert "can only be computed again in Python" in sentence(redo(folder / "y.png"))
    assert not Path("again.png").exists()
