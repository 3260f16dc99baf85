"""Files contain nothing about the machine they were made on."""

import base64
import json
import os
import re
from pathlib import Path

import pytest

import triscope as ts
from tests.strangers.conftest import call, recipe_of
from tests.which.conftest import paint
from triscope.images import public_path
from triscope.methods import StoreInput
from triscope.verbs import METHODS
from triscope.which.store import Store


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Lucy's home folder, with a network, photos, and the current folder in it."""
    place = tmp_path / "home" / "lucy"
    for folder in ("work", "photos", "nets"):
        (place / folder).mkdir(parents=True)
    (place / "nets" / "mine.py").write_text("from tests.which.conftest import tiny_network as make\n")
    for number in range(4):
        paint(place / "photos" / f"{number}.png", number)
    paint(place / "work" / "pets" / "0.png", 0)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place / "work")
    return place


MODEL = "../nets/mine.py:make"


@pytest.mark.parametrize("way", ["../photos/0.png", "{home}/photos/0.png", "~", "pets/0.png", "./pets/../pets/0.png"])
def test_a_picture_names_its_photo_without_the_folders_above(way, home):
    photo = str(home / "photos/0.png") if way == "~" else way.format(home=home)
    assert call("saliency", photo, "-m", MODEL, "-u", "1", "-o", "x.png").exit_code == 0
    data = Path("x.png").read_bytes()
    assert b"lucy" not in data
    recipe = recipe_of(Path("x.png"))
    assert recipe["images"][0]["path"] == ("pets/0.png" if way == "pets/0.png" else "0.png")
    assert recipe["networks"][0]["source"].keys() == {"name", "code"}
    assert recipe["networks"][0]["source"]["name"] == "mine.py:make"


def test_a_photo_is_found_beside_the_picture_or_where_it_is_said(home):
    call("saliency", "../photos/0.png", "-m", MODEL, "-u", "1", "-o", "x.png")
    lost = call("redo", "x.png", "-m", MODEL)
    assert lost.exit_code == 1
    assert "--image" in lost.stderr
    first = Path("x.png").read_bytes()
    for number, where in enumerate(["../photos", "../photos/0.png", str(home / "photos")]):
        done = call("redo", "x.png", "-m", MODEL, "--image", where, "-o", f"{number}.png")
        assert done.exit_code == 0, done.output
        assert Path(f"{number}.png").read_bytes() == first
    Path("x.png").rename("../photos/x.png")
    assert call("redo", "../photos/x.png", "-m", MODEL, "-o", "beside.png").exit_code == 0
    assert Path("beside.png").read_bytes() == first


def test_what_was_made_from_a_folder_below_is_made_again_from_anywhere(home, monkeypatch):
    call("saliency", "pets/0.png", "-m", MODEL, "-u", "1", "-o", "x.png")
    monkeypatch.chdir(home)
    done = call("redo", "work/x.png", "-m", "nets/mine.py:make", "-o", "y.png")
    assert done.exit_code == 0, done.output
    assert Path("y.png").read_bytes() == Path("work/x.png").read_bytes()


def test_a_store_says_nothing_of_where_it_is(home):
    assert call("index", "../photos", "-m", MODEL, "--layer", "7", "--precision", "float32").exit_code == 0
    files = [path for path in (home / "photos" / ".triscope").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if b"lucy" in path.read_bytes()] == []
    assert call("index", str(home / "photos"), "-m", MODEL).exit_code == 0  # by another way, the same store
    away = home / "elsewhere"
    assert call("index", "../photos", "--store", str(away), "-m", MODEL, "--layer", "7").exit_code == 0
    files = [path for path in away.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if b"lucy" in path.read_bytes()] == []
    assert Store.open(away).files([0]) == [home / "photos" / "0.png"]
    (home / "moved").mkdir()
    away.rename(home / "moved" / "elsewhere")
    (home / "photos").rename(home / "moved" / "photos")
    assert Store.open(home / "moved" / "elsewhere").files([0])[0].is_file()


def test_what_a_store_answered_names_it_by_its_name(home):
    call("index", "../photos", "-m", MODEL, "--layer", "7", "--precision", "float32")
    done = call("neighbors", "../photos/2.png", "../photos", "-m", MODEL, "-o", "x.png")
    assert done.exit_code == 0, done.output
    assert recipe_of(Path("x.png"))["options"]["store"] == "photos/.triscope"
    assert b"lucy" not in Path("x.png").read_bytes()
    (home / "photos").rename(home / "pictures")
    words = ["redo", "x.png", "-m", MODEL, "-o", "y.png", "--image", "../pictures"]
    lost = call(*words)
    assert lost.exit_code == 1
    assert "--store" in lost.stderr
    assert call(*words, "--store", "../pictures").exit_code == 0
    assert Path("x.png").read_bytes() == Path("y.png").read_bytes()


def test_maps_need_no_network_to_be_made_again(home):
    call("index", "../photos", "-m", MODEL, "--layer", "7", "--precision", "float32")
    assert call("pca", "../photos", "--png", "--size", "128", "-o", "x.png").exit_code == 0
    assert call("redo", "x.png", "--store", "../photos", "-o", "y.png").exit_code == 0
    assert Path("x.png").read_bytes() == Path("y.png").read_bytes()


def test_other_forms_that_carry_a_recipe(home):
    call("index", "../photos", "-m", MODEL, "--layer", "7", "--precision", "float32")
    assert call("neighbors", str(home / "photos/2.png"), "../photos", "-m", MODEL, "-o", "x.json").exit_code == 0
    assert call("predict", str(home / "photos/2.png"), "-m", MODEL, "-o", "y.json").exit_code == 0
    for name in ("x.json", "y.json"):
        assert "lucy" not in Path(name).read_text()
        assert json.loads(Path(name).read_text())["recipe"]["images"][0]["path"] == "2.png"


@pytest.mark.parametrize("name", [name for name, verb in METHODS.items() if verb.takes("store")])
def test_no_form_of_what_a_store_answers_tells_more(name, home):
    """Of every method that asks a store, in every form that its result is saved in."""
    folder = home / "photos"
    for number in range(2):  # so that there are duplicates
        paint(folder / f"copy{number}.png", number)
    network = ts.load(MODEL)
    stores = [
        Store.build(network, folder, place, layers=["3", "7", "output"], precision="float32")
        for place in (None, home / "other")
    ]
    verb = METHODS[name]
    given = {"objective": "7:5", "query": str(folder / "2.png")}
    asked = {key: value for key, value in given.items() if verb.takes(key)}
    inputs = [name for name, declared in verb.inputs.items() if isinstance(declared.input, StoreInput)]
    asked |= dict(zip(inputs, stores, strict=False))
    found = verb(
        **asked, **({"steps": 25} if name == "tsne" else {}), **({"least": 0.9} if name == "duplicates" else {})
    )
    assert len(found.forms) > 2
    for ending, make in found.forms.items():
        assert b"lucy" not in make(), ending


def test_a_change_in_the_python_file_is_said(home):
    call("saliency", "pets/0.png", "-m", MODEL, "-u", "1", "-o", "x.png")
    with (home / "nets" / "mine.py").open("a") as file:
        file.write("# another line\n")
    done = call("redo", "x.png", "-m", MODEL, "-o", "y.png")
    assert done.exit_code == 0
    assert "note: The Python file mine.py:make has changed since x.png was made" in done.stderr


def test_the_current_folder_may_lie_above_somebodys_home(home, monkeypatch):
    monkeypatch.chdir(home.parent)
    assert public_path("lucy/photos/0.png") == "0.png"
    assert public_path(home / "photos" / "0.png") == "0.png"
    monkeypatch.chdir(home)
    assert public_path("photos/0.png") == public_path(home / "photos" / "0.png") == "photos/0.png"
    assert public_path("/etc/passwd") == "passwd"
    assert public_path("photos/../../x.png") == "x.png"


@pytest.mark.skipif(os.name != "posix", reason="a current folder cannot be removed")
def test_there_may_be_no_current_folder(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert public_path("/photos/0.png") == "0.png"
    assert public_path("0.png") == "0.png"


def test_a_relative_way_is_followed_down_and_never_up(home):
    from triscope.redoing.found import _ways

    assert _ways("../../etc/passwd") == [Path("passwd")]
    assert _ways("/etc/passwd") == [Path("passwd")]
    assert _ways("pets/0.png") == [Path("pets/0.png"), Path("0.png")]
    assert _ways("C:\\Users\\lucy\\0.png")[-1] == Path("0.png")
    assert ts.Recipe("saliency", ()).to_json().isascii()


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("outside", [True, False])
def test_a_report_tells_no_more(outside, home):
    photo = str(home / "photos" / "0.png") if outside else "pets/0.png"
    words = ["--collection", "../photos" if outside else "pets", "-m", MODEL]
    done = call("report", photo, *words, "-o", "x.html", "-q")
    assert done.exit_code == 0, done.output
    page = Path("x.html").read_text("utf-8")
    assert "lucy" not in page
    shown = page.replace("</span> <span>", " ")
    assert f"saliency {'0.png' if outside else 'pets/0.png'} " in shown
    assert "-m mine.py:make" in shown
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(pictures) > 8
    assert not any(b"lucy" in base64.b64decode(data) for data in pictures)
