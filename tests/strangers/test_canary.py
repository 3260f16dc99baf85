"""Nothing is run only because a file names it: not by `redo`, and not by any method that opens a store."""

import ast
import sys
from pathlib import Path

import PIL.Image
import pytest

import triscope as ts
from tests.strangers.conftest import call, forge_picture, recipe_of, sentence
from triscope.errors import UnconfirmedNetwork
from triscope.methods import StoreInput
from triscope.network.loading.recorded import Said, load_recorded
from triscope.results import NetworkNote
from triscope.verbs import METHODS
from triscope.which.store import Store

#: A module of the standard library that opens a web browser when it is run.
MODULE = Path(sys.modules["os"].__file__).with_name("antigravity.py")

FORMS = {
    "absolute": lambda folder: {"name": f"{folder}/evil.py:make"},
    "relative": lambda folder: {"name": "evil.py:make"},
    "up and down": lambda folder: {"name": f"../{folder.name}/evil.py:make"},
    "with random weights": lambda folder: {"name": "evil.py:make", "weights": "random", "seed": 3},
    "with a weights file": lambda folder: {"name": "evil.py:make", "weights": "w.pth"},
    "as an architecture": lambda folder: {"name": "w.pth", "arch": "evil.py:make"},
    "beside a known name": lambda folder: {"name": "pocket", "weights": f"{folder}/w.pth", "arch": "evil.py:make"},
    "any module on the disk": lambda folder: {"name": f"{MODULE}:geohash"},
    "after a line break": lambda folder: {"name": "pocket\n.py:make"},
    "from another machine": lambda folder: {"name": r"\\server\share\evil.py:make"},
    "as timm's": lambda folder: {"name": "timm:../evil.py:make"},
    "as a hub's": lambda folder: {"name": "timm:hf-hub:somebody/something"},
}
#: What each verb that asks a store is asked, by the words it takes; a new verb is covered by the same words.
SUBJECTS = {"objective": "7:5", "query": "photos/1.png"}
VERBS = {name: verb for name, verb in METHODS.items() if verb.takes("store")}


def words_of(name: str) -> list[str]:
    """The command that asks photos/ with this verb."""
    subjects = [word for subject, word in SUBJECTS.items() if VERBS[name].takes(subject)]
    stores = ["photos" for declared in VERBS[name].inputs.values() if isinstance(declared.input, StoreInput)]
    return [VERBS[name].command, *subjects, *stores, "-o", f"{name}.png"]


ASKING = [name for name, verb in VERBS.items() if any(verb.takes(subject) for subject in SUBJECTS)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ASKING)
def test_no_verb_runs_what_a_store_names(name, form, folder, forged_store):
    forged_store(source=FORMS[form](folder))
    assert "photos/.triscope" in sentence(call(*words_of(name)))


@pytest.mark.parametrize("name", [name for name in VERBS if name not in ASKING])
def test_a_verb_that_needs_no_network_does_not_even_read_which_one_a_store_names(
    name, folder, forged_store, monkeypatch
):
    """So that one form stands for all of them."""

    def read(*_, **__):
        raise AssertionError("the network of a store was loaded")

    monkeypatch.setattr("triscope.which.store.load_recorded", read)
    forged_store(source=FORMS["absolute"](folder))
    done = call(*words_of(name), *(["--steps", "25"] if name == "tsne" else []))
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", [[], ["--layer", "3"], ["--refit"], ["--store", "photos/.triscope"]], ids=str)
def test_indexing_a_folder_runs_nothing_that_lies_in_it(words, form, folder, forged_store):
    forged_store(source=FORMS[form](folder))
    assert "photos/.triscope" in sentence(call("index", "photos", *words))


@pytest.mark.parametrize("form", FORMS)
def test_redo_runs_nothing_that_a_picture_names(form, folder):
    source = FORMS[form](folder)
    networks = [{"name": "tiny", "source": source, "sha256": "0" * 64}]
    forge_picture(folder / "x.png", {"method": "filters", "networks": networks, "images": [], "options": {}})
    assert "x.png" in sentence(call("redo", "x.png"))
    with pytest.raises(ts.TriscopeError):
        ts.redo(folder / "x.png")


@pytest.mark.parametrize("form", FORMS)
def test_nor_does_the_library(form, folder, forged_store):
    store = Store.open(forged_store(source=FORMS[form](folder)))
    with pytest.raises(ts.TriscopeError):
        _ = store.network


def test_nothing_is_downloaded_because_a_file_names_it(folder, forged_store, monkeypatch, tmp_path):
    import torch

    def never(*_, **__):
        raise AssertionError("something was downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", never)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "empty"))
    forged_store(source={"name": "resnet18"})
    said = sentence(call("neighbors", "photos/1.png", "photos"))
    assert "not on this machine" in said
    assert said.endswith("triscope neighbors photos/1.png photos -m resnet18\n")


@pytest.mark.parametrize(
    ("recorded", "options"),
    [
        ({"name": "/home/lucy/my nets/net.py:make"}, "-m net.py:make"),
        ({"name": "net.py:make", "weights": "/home/lucy/w.pth"}, "-m net.py:make --weights w.pth"),
        ({"name": "resnet18", "weights": "/home/lucy/mine.pth"}, "--weights mine.pth"),
        ({"name": "a;b.py:make"}, "-m 'a;b.py:make'"),
        (None, "-m FILE.py:FUNCTION"),
    ],
)
def test_the_sentence_ends_with_the_command_to_give(recorded, options):
    with pytest.raises(UnconfirmedNetwork) as caught:
        load_recorded(recorded, "tiny", "x.png")
    assert caught.value.command(["triscope", "redo", "x.png"]).endswith(f": triscope redo x.png {options}")
    assert "/home" not in str(caught.value)


def test_what_the_user_names_is_taken_and_compared(folder, forged_store):
    (folder / "mine.py").write_text("from tests.which.conftest import tiny_network as make\n")
    (folder / "other.py").write_text(
        "from tests.which.conftest import tiny_network\n\ndef make(): return tiny_network(1)\n"
    )
    forged_store(source={"name": "/somewhere/mine.py:make"})
    assert call("neighbors", "photos/1.png", "photos", "-o", "x.png", "-m", "mine.py:make").exit_code == 0
    assert "other weights" in sentence(call("top", "7:5", "photos", "-m", "other.py:make"))
    assert call("redo", "x.png", "-o", "y.png", "-m", "mine.py:make").exit_code == 0
    assert Path("x.png").read_bytes() == Path("y.png").read_bytes()
    assert "other weights" in sentence(call("redo", "x.png", "-o", "z.png", "-m", "other.py:make"))
    assert recipe_of(folder / "y.png")["networks"][0]["source"]["name"].endswith("mine.py:make")


def test_pocket_stays_automatic():
    assert load_recorded({"name": "pocket"}, "pocket", "x.png").sha256 == ts.load("pocket").sha256


def test_what_is_said_of_the_weights_goes_with_the_recorded_architecture(tmp_path):
    from safetensors.torch import save_file

    one = ts.load("squeezenet1_1", weights="random", seed=1)
    save_file(one.module.state_dict(), tmp_path / "mine.safetensors")
    recorded = {"name": "squeezenet1_1", "weights": "/elsewhere/mine.safetensors"}
    said = Said(weights=str(tmp_path / "mine.safetensors"))
    assert load_recorded(recorded, "squeezenet1_1", "x.png", said).sha256 == one.sha256


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_redo_runs_nothing_that_a_picture_of_another_kind_names(ending, folder):
    forged = ts.Recipe("filters", (NetworkNote("tiny", {"name": "evil.py:make"}, lambda: "0" * 64),), threads=1)
    PIL.Image.new("RGB", (8, 8)).save(folder / f"x{ending}", exif=forged.to_exif())
    assert f"triscope redo x{ending} -m evil.py:make" in sentence(call("redo", f"x{ending}"))


def test_load_is_for_the_users_words_alone():
    """What a file records goes through `load_recorded`: nothing else that reads files can hand a name to `load`."""
    source = Path(ts.__file__).parent
    users = {
        file.relative_to(source).as_posix()
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("triscope.network")
        for alias in node.names
        if alias.name == "load"
    }
    assert users == {"cli/common.py", "network/__init__.py", "network/loading/recorded.py"}


def test_a_report_on_a_collection_runs_nothing_that_lies_in_it(folder, forged_store):
    from triscope.reporting.collection import collected

    forged_store(source={"name": "evil.py:make"})
    (folder / "other.py").write_text(
        "from tests.which.conftest import tiny_network\n\ndef make(): return tiny_network(1)\n"
    )
    with pytest.raises(ts.TriscopeError, match="other weights"):
        collected(ts.load("other.py:make"), folder / "photos")
