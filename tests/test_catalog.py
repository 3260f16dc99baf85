"""A method is its file, its line in the catalogue, its page and its row in the contract: the rest comes by itself."""

import json
import shutil
from pathlib import Path

import pytest

import triscope
from tests import processes
from triscope import catalog

ROOT = Path(__file__).parents[1]
SOURCE = Path(triscope.__file__).parent

FILE = '''
"""How bright each pixel is, times a weight."""

from typing import Annotated

from triscope.methods import ImagesArg, NetworkArg, Range, method
from triscope.results import Picture


@method("view")
def brightness(network: NetworkArg, images: ImagesArg, *, weight: Annotated[float, Range(0, 2)] = 1.0) -> Picture:
    """How bright each pixel is.

    Values (B, C, H, W) in [0, 1].

    weight    what each pixel is multiplied by
    """
    return Picture((images.images * weight).clamp(0, 1))
'''
LINE = '    Entry("brightness", "triscope.where.brightness", "view", "how bright each pixel is"),\n'
PAGE = "# Brightness\n\n## Options\n\n<!-- options: brightness -->\n<!-- end -->\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the source, the scripts and the docs with one method more."""
    place = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    for name in ("scripts", "docs", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    shutil.copytree(SOURCE, place / "src/triscope", ignore=ignored)
    (place / "src/triscope/where/brightness.py").write_text(FILE)
    (place / "docs/methods/brightness.md").write_text(PAGE)
    listed = place / "src/triscope/catalog.py"
    text = listed.read_text("utf-8")
    listed.write_text(text.replace("METHODS = (\n", f"METHODS = (\n{LINE}", 1), "utf-8")
    return place


@pytest.fixture
def run(house, monkeypatch):
    """What a program says that finds the copy, not the source."""
    monkeypatch.chdir(house)

    def run(program, *words):
        code, out, err = processes.ran(program, *words, paths=[house / "src", house / "scripts"])
        assert code == 0, err
        return out

    return run


def test_a_new_method_has_its_command_its_help_and_its_place_in_the_overview(run):
    assert "how bright each pixel is" in run(processes.TRISCOPE, "--help")
    text = run(processes.TRISCOPE, "brightness", "--help")
    assert "IMAGE..." in text
    assert "--weight" in text
    assert "what each pixel is multiplied by" in text
    assert "--fit" in text


def test_a_new_method_is_public_and_in_the_table(run):
    program = (
        "import json, triscope as ts; from triscope.verbs import METHODS;"
        "print(json.dumps([ts.brightness is METHODS['brightness'], METHODS['brightness'].schema()]))"
    )
    public, schema = json.loads(run(program))
    assert public
    assert [one["name"] for one in schema["inputs"]] == ["network", "images"]
    assert [one["name"] for one in schema["options"]] == ["weight", "fit"]
    assert schema["options"][0]["range"] == [0, 2]


def test_the_documentation_and_the_types_follow(house, run):
    run("import runpy; runpy.run_path('scripts/derived.py', run_name='__main__')")
    assert "| `weight` | a number; **1.0** |" in (house / "docs/methods/brightness.md").read_text("utf-8")
    assert "[brightness](brightness.md)" in (house / "docs/methods/index.md").read_text("utf-8")
    assert "| `brightness` |" in (house / "docs/reference/index.md").read_text("utf-8")
    assert "brightness: _Brightness" in (house / "src/triscope/__init__.pyi").read_text("utf-8")


def test_the_catalogue_names_what_is_there():
    """Every module and name exists, and every command stands once."""
    for name, module in catalog.homes().items():
        path = SOURCE.parent / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name
    commands = [entry.command for entry in (*catalog.METHODS, *catalog.TOOLS)]
    assert len(commands) == len(set(commands))
    assert {entry.question for entry in (*catalog.METHODS, *catalog.TOOLS)} <= catalog.QUESTIONS.keys()


@pytest.mark.parametrize(("old", "new"), catalog.RENAMED.items())
def test_a_name_of_an_earlier_version_works_and_says_what_it_is_called_now(old, new):
    with pytest.warns(DeprecationWarning, match=f"triscope.{new}"):
        assert getattr(triscope, old) is getattr(triscope, new)
