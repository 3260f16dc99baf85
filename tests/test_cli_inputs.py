"""Inputs of commands: several images, folders, patterns, stores, several units, sums of units."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.test_cli import ask, call, folder  # noqa: F401 - a fixture
from triscope.results import Recipe


def names(text: str) -> list[str]:
    """The lines that name an image."""
    return [line for line in text.splitlines() if not line.startswith(" ")]


def test_predict_says_whose_classes_it_prints(folder):  # noqa: F811
    done = ask("predict", "cat.png", "dog.png", "--k", "2")
    assert names(done.stdout) == ["cat.png", "dog.png"]
    assert done.stdout.splitlines()[1:3] == ask("predict", "cat.png", "--k", "2").stdout.splitlines()
    told = json.loads(ask("predict", "cat.png", "dog.png", "--json").stdout)["results"]
    assert [one["image"] for one in told] == ["cat.png", "dog.png"]


@pytest.mark.parametrize("words", [["photos"], ["photos/"], ["photos/*"], ["photos/**"], ["list.csv"], ["store"]])
def test_folders_patterns_lists_and_stores_are_their_images(folder, words):  # noqa: F811
    (folder / "photos").mkdir()
    (folder / "cat.png").rename(folder / "photos" / "cat.png")
    (folder / "dog.png").rename(folder / "photos" / "dog.jpg?w=200")
    (folder / "list.csv").write_text("path\nphotos/cat.png\nphotos/dog.jpg?w=200\n")
    if words == ["store"]:
        pytest.importorskip("lance", reason="needs pylance: pip install 'triscope[collections]'")
        assert ask("index", "photos", "--store", "store").exit_code == 0
    done = ask("predict", *words)
    assert done.exit_code == 0, done.output
    assert [Path(name).name for name in names(done.stdout)] == ["cat.png", "dog.jpg?w=200"]


@pytest.mark.parametrize(
    ("word", "sentence"), [("empty", "empty holds no images"), ("*.webp", "*.webp holds no images")]
)
def test_where_there_are_none_is_a_sentence(folder, word, sentence):  # noqa: F811
    (folder / "empty").mkdir()
    done = ask("predict", word)
    assert (done.exit_code, done.stderr) == (1, f"triscope: {sentence}.\n")


def test_a_word_without_images_does_not_end_the_others(folder):  # noqa: F811
    (folder / "empty").mkdir()
    done = ask("predict", "cat.png", "empty", "*.webp", "dog.png", "--k", "1")
    assert (done.exit_code, names(done.stdout)) == (1, ["cat.png", "dog.png"])
    assert "empty is a folder" in done.stderr
    assert "*.webp does not exist" in done.stderr


def test_several_units_are_several_results(folder):  # noqa: F811
    done = ask("saliency", "cat.png", "-u", "cat", "-u", "0:3", "-u", "tree frog")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["cat.saliency.cat.png", "cat.saliency.0-3.png", "cat.saliency.tree-frog.png"]
    assert [Recipe.of_file(path).objective for path in done.stdout.split()] == ["0", "0:3", "2"]
    assert len(ask("saliency", "cat.png", "dog.png", "-u", "cat", "-u", "dog", "-f").stdout.split()) == 4
    refused = ask("saliency", "cat.png", "-u", "cat", "-u", "cow", "-o", "out/")
    assert refused.exit_code == 1
    assert "no class 'cow'" in refused.stderr
    assert not (folder / "out").exists() or not list((folder / "out").iterdir())  # before anything is computed


@pytest.mark.parametrize("text", ["cat-dog", "cat - dog", "0.5*cat+0:3", "tree frog-cat", "-cat"])
def test_sums_of_units_and_made_again(folder, text):  # noqa: F811
    assert ask("saliency", "cat.png", "-u", text, "-o", "sum.png").exit_code == 0
    assert call("redo", "sum.png", "-m", "model.py:make", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("sum.png").read_bytes()


def test_a_sum_is_not_one_of_its_terms(folder):  # noqa: F811
    for text in ("cat", "cat - dog"):
        assert ask("saliency", "cat.png", "-u", text, "-o", f"{text}.npy").exit_code == 0
    assert not np.array_equal(np.load("cat.npy"), np.load("cat - dog.npy"))
    done = ask("saliency", "cat.png", "-u", "cat-dog-cow")
    assert (done.exit_code, "no class 'cat-dog-cow'" in done.stderr) == (1, True)


def test_a_sample_photo_is_asked_by_its_name_and_made_again(folder):  # noqa: F811
    assert ask("saliency", "sample:cat").stdout == "cat.saliency.png\n"
    assert Recipe.of_file("cat.saliency.png").images[0].to_json()["path"] == "chelsea.png"
    assert call("redo", "cat.saliency.png", "-m", "model.py:make", "-o", "again.png").exit_code == 0
    assert Path("again.png").read_bytes() == Path("cat.saliency.png").read_bytes()


def test_a_store_is_searched_by_a_sample_photo(folder):  # noqa: F811
    pytest.importorskip("lance", reason="needs pylance: pip install 'triscope[collections]'")
    (folder / "photos").mkdir()
    (folder / "cat.png").rename(folder / "photos" / "cat.png")
    assert ask("index", "photos").exit_code == 0
    done = call("neighbors", "sample:cat", "photos", "-m", "model.py:make", "-o", "near.png")
    assert done.exit_code == 0, done.output
    assert Recipe.of_file("near.png").images[0].to_json()["path"] == "chelsea.png"
