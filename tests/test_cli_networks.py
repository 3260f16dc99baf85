"""Networks on the command line: input, classes, output, and what is assumed."""

import json
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import triscope as ts
from triscope.cli import main
from triscope.errors import NetworkError
from triscope.methods.spelling import command_line, network_words
from triscope.network import load
from triscope.network.loading.recorded import Said, load_recorded
from triscope.results import Recipe
from triscope.verbs import METHODS

MODEL = """
import torch
from torch import nn
import triscope as ts

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head, self.other = nn.Linear(8, 3), nn.Linear(8, 4)

    def forward(self, pixel_values, scale=None):
        x = self.body(pixel_values if scale is None else pixel_values * scale)
        return {"scores": self.head(x), "more": {"kinds": self.other(x)}}

def make():
    return nn.Sequential(*Two().body, nn.Linear(8, 3))

def grey():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))

def two():
    return Two()

def called():
    return ts.Network(Two(), size=24, call=lambda m, x: m(pixel_values=x, scale=2.0), output="scores")
"""
NAMES = ("cat", "dog", "tree frog")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(MODEL)
    Path("names.txt").write_text("\n".join(NAMES) + "\n\n")
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save("cat.png")


def call(*words):
    return CliRunner().invoke(main, [*words])


def test_what_is_assumed_of_a_bare_module_is_said_until_it_is_stated():
    told = call("predict", "cat.png", "-m", "net.py:make")
    assert told.exit_code == 0
    assert "assumed of Sequential: 224 x 224 pixels of 3 channels; values in [0, 1] as they are" in told.stderr
    assert "state it with --input-size, --mean, --std, --classes" in told.stderr
    assert len([line for line in told.stderr.splitlines() if "assumed" in line]) == 1
    half = call("predict", "cat.png", "-m", "net.py:make", "--mean", "0.5", "--classes", "names.txt")
    assert "assumed of Sequential: 224 x 224 pixels of 3 channels; state it" in half.stderr
    whole = call("predict", "cat.png", "-m", "net.py:make", "--mean", "0.5", "--classes", "names.txt", "--size", "24")
    assert "assumed" not in whole.stderr + call("predict", "cat.png", "-m", "net.py:called").stderr
    assert "assumed" not in call("predict", "cat.png", "-m", "net.py:make", "-q").stderr


def test_what_is_stated_holds():
    told = call(
        "predict", "cat.png", "-m", "net.py:make", "--input-size", "24", "--mean", "0.485,0.456,0.406", "--std", "0.25",
        "--classes", "cat,dog,tree frog", "--json",
    )  # fmt: skip
    module = load("net.py:make").module
    network = ts.Network(module, size=24, mean=(0.485, 0.456, 0.406), std=0.25, classes=NAMES)
    wanted = ts.predict(network, "cat.png")
    assert json.loads(told.stdout)["results"][0]["classes"] == json.loads(json.dumps(wanted.summary()["classes"]))


def test_a_flat_network_of_grey_pictures():
    told = call("saliency", "cat.png", "-m", "net.py:grey", "--size", "28", "-o", "grey.png")
    assert told.exit_code == 0, told.stderr
    assert "values in [0, 1]" in told.stderr
    assert "28 x 28" not in told.stderr


@pytest.mark.parametrize("size", ["24", "24x32"])
@pytest.mark.parametrize("classes", ["names.txt", "cat,dog,tree frog", '["cat","dog","a, b"]'])
def test_recipes_say_it_too_so_that_redo_needs_none_of_it(size, classes):
    words = ["--input-size", size, "--mean", "0.5,0.4,0.3", "--std", "0.25", "--classes", classes]
    made = call(
        "compare", "cat.png", "-m", "net.py:make", *words, "--methods", "saliency", "-u", "dog", "-o", "one.png"
    )
    assert made.exit_code == 0, made.stderr
    text = Recipe.of_file("one.png").to_json()
    assert str(Path.cwd()) not in text
    Path("names.txt").unlink()  # the names stand in the recipe, and no file is read
    again = call("redo", "one.png", "-m", "net.py:make", "-o", "two.png")
    assert again.exit_code == 0, again.stderr
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


def test_which_output_is_meant():
    refused = call("predict", "cat.png", "-m", "net.py:two")
    assert refused.exit_code == 1
    assert "scores (3), more.kinds (4)" in refused.stderr
    told = call("saliency", "cat.png", "-m", "net.py:two", "--output-key", "more.kinds", "-u", "3", "-o", "one.png")
    assert told.exit_code == 0, told.stderr
    assert call("redo", "one.png", "-m", "net.py:two", "-o", "two.png").exit_code == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


def test_how_it_is_called_is_said_in_the_function():
    made = call("saliency", "cat.png", "-m", "net.py:called", "-u", "2", "-o", "one.png")
    assert made.exit_code == 0, made.stderr
    assert call("redo", "one.png", "-m", "net.py:called", "-o", "two.png").exit_code == 0
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    plain = ts.Network(load("net.py:two").module, size=24, output="scores")
    doubled = ts.saliency(load("net.py:called"), "cat.png", 2).values
    assert not doubled.allclose(ts.saliency(plain, "cat.png", 2).values)


def test_the_sides_of_pictures_and_of_the_input_are_told_apart():
    made = call("ascend", "1", "-m", "net.py:make", "--input-size", "24", "--size", "32", "--steps", "1", "-o", "a.png")
    assert made.exit_code == 0, made.stderr
    with PIL.Image.open("a.png") as picture:
        assert picture.size == (32, 32)
    assert Recipe.of_file("a.png").networks[0].source["stated"] == {"size": [24, 24]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--input-size", "big"], "is not a size, such as 64, or 64x96"),
        (["--mean", "a,b"], "not a number, nor several"),
        (["--mean", "0.5,0.5,0.5", "--std", "0.1,0.1"], "one number per channel, or one for all"),
        (["--mean", "123,116,103", "--std", "58,57,57"], "divide both by 255: mean=(0.4824, 0.4549, 0.4039)"),
        (["--classes", "nowhere.txt"], "There is no file 'nowhere.txt'"),
        (["--classes", "cat.png"], "is not a text file"),
        (["--output-key", "gone"], "no 'gone'"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(words, told):
    result = call("predict", "cat.png", "-m", "net.py:make", *words)
    assert result.exit_code in (1, 2)
    assert re.sub(r"\s+", " ", told) in re.sub(r"\s+", " ", result.stderr)
    assert "Traceback" not in result.stderr


def test_it_holds_for_published_networks():
    network = load("pocket", size=(64, 80), classes=[str(number) for number in range(1000)])
    assert (network.size, network.preprocess.resize, network.class_name(7)) == ((64, 80), 64, "7")
    assert network.mean == load("pocket").mean
    assert network_words(network)[:2] == ["--input-size", "64x80"]


def test_the_words_of_a_network_are_those_that_make_it():
    network = load("net.py:make", size=24, mean=(0.1, 0.2, 0.3), std=0.5, classes="names.txt")
    words = [
        "-m",
        "net.py:make",
        "--input-size",
        "24",
        "--mean",
        "0.1,0.2,0.3",
        "--std",
        "0.5",
        "--classes",
        "names.txt",
    ]
    assert network_words(network) == words


@pytest.mark.parametrize(
    "stated",
    [{"size": [0, 4]}, {"size": 4}, {"mean": ["x"]}, {"mean": []}, {"classes": [1]}, {"output": 3}, {"call": "x"}, [1]],
)
def test_what_a_stranger_records_is_checked(stated):
    source = {"name": "pocket", "stated": stated}
    with pytest.raises(NetworkError, match="cannot be read"):
        load_recorded(source, "pocket", "a.png", Said())


def checkpoints(*names):
    """Weights of two trainings of `net.py:make`."""
    for seed, name in enumerate(names):
        module = load("net.py:make").module
        torch.manual_seed(seed)
        save_file({key: torch.randn_like(value) for key, value in module.state_dict().items()}, name)


@pytest.mark.parametrize("named", [["--beside", "net.py:make"], []], ids=["named", "same"])
def test_a_network_beside_has_weights_of_its_own(named):
    checkpoints("one.safetensors", "two.safetensors")
    words = ["-m", "net.py:make", "--weights", "one.safetensors", *named, "--beside-weights", "two.safetensors"]
    words += ["--input-size", "24", "-u", "1", "--method", "input-x-gradient"]
    assert call("difference", "cat.png", *words, "-o", "d.png").exit_code == 0
    assert call("difference", "cat.png", *words, "-o", "d.npy").exit_code == 0
    one, two = (load("net.py:make", weights=f"{name}.safetensors", size=24) for name in ("one", "two"))
    wanted = ts.difference([one, two], "cat.png", 1, method="input-x-gradient")
    np.testing.assert_array_equal(np.load("d.npy"), wanted.values.numpy())
    assert wanted.values.any()
    assert "--beside" in call("redo", "d.png", "-m", "net.py:make", "--weights", "one.safetensors").output
    said = ["-m", "net.py:make", "--weights", "one.safetensors", "--beside-weights", "two.safetensors"]
    again = call("redo", "d.png", *said, "-o", "again.png")
    assert again.exit_code == 0, again.output
    assert Path("again.png").read_bytes() == Path("d.png").read_bytes()


def test_more_weights_than_networks_are_refused():
    words = ["--beside", "net.py:make", "--beside-weights", "a.pth", "--beside-weights", "b.pth"]
    refused = call("difference", "cat.png", "-m", "net.py:make", *words)
    assert refused.exit_code != 0
    assert "--beside-weights is given 2 times and --beside 1" in refused.output


def test_the_command_of_two_networks_names_both():
    checkpoints("one.safetensors", "two.safetensors")
    one, two = (load("net.py:make", weights=f"{name}.safetensors", size=24) for name in ("one", "two"))
    told = command_line(METHODS["difference"], {"network": [one, two], "images": "cat.png", "objective": "1"})
    wanted = "--beside net.py:make --beside-weights two.safetensors"
    assert told.startswith("triscope difference cat.png -u 1 -m net.py:make --weights one.safetensors")
    assert told.endswith(wanted)
    published = load("pocket")
    assert command_line(METHODS["difference"], {"network": [one, published, two], "images": "cat.png"}) is None
