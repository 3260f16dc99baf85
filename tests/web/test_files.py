"""The page's own files: small, without a build, with no host, no method and no markup in their scripts."""

import re
import subprocess
from pathlib import Path

import pytest
from scripts.script_types import ROOT, compiler

import triscope.web
from triscope.methods import METHODS
from triscope.verbs import METHODS as ALL
from triscope.web.described import methods, misleads
from triscope.web.files import page_files
from triscope.which.maps.page import map_scripts

SCRIPTS = {name: data.decode() for name, data in page_files().items() if name.endswith(".js")}
#: Those, what pages that stand alone begin with, and the map of a collection.
ALL_SCRIPTS = SCRIPTS | map_scripts()
ALL_SCRIPTS["frozen.js"] = (Path(triscope.web.__file__).parent / "frozen" / "frozen.js").read_text("utf-8")


def test_the_scripts_are_few_and_short():
    lines = {name: text.count("\n") for name, text in ALL_SCRIPTS.items()}
    assert len(lines) <= 20
    assert sum(lines.values()) <= 3780
    assert max(lines.values()) <= 300
    assert max(len(line) for text in ALL_SCRIPTS.values() for line in text.splitlines()) <= 120
    app = {name: count for name, count in lines.items() if name not in map_scripts()}
    assert len(app) <= 18
    assert sum(app.values()) <= 3000


def test_the_whole_page_is_under_700_kilobytes():
    assert sum(map(len, page_files().values())) < 700_000


def test_no_method_is_known_by_its_name():
    """A method of the catalogue is on the page by what it declares alone."""
    for name, text in SCRIPTS.items():
        words = set(re.findall(r"""["'`]([\w-]+)["'`]""", text))
        known = {one for method in ALL for one in (method, METHODS[method].command)} - {"filters", "units"}
        assert not words & known, name


def test_no_script_writes_markup_or_runs_text():
    for name, text in ALL_SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name


def test_every_file_is_asked_for_by_an_address_relative_to_the_page():
    html = page_files()["index.html"].decode()
    assert re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', html) == ["page/app.css", "page/main.js"]
    imported = [path for text in ALL_SCRIPTS.values() for path in re.findall(r'from "([^"]+)"', text)]
    assert len(imported) >= len(ALL_SCRIPTS) / 2
    assert all(path.startswith("./") for path in imported)
    for text in ALL_SCRIPTS.values():
        assert not re.search(r'["`]/(api|page)', text)


def test_every_heatmap_says_when_it_misleads():
    heatmaps = [one["name"] for one in methods() if one["heatmap"]]
    assert len(heatmaps) > 12
    assert [name for name in heatmaps if not misleads(METHODS[name])] == []


def test_the_types_in_the_scripts_are_right():
    tsc = compiler(fetch=False)
    if tsc is None:
        pytest.skip("needs tsc, the checker of types: npm install -g typescript; `make types` fetches it")
    words = [*tsc, "--project", str(ROOT / "tsconfig.json")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    listed = subprocess.run([*words, "--listFilesOnly"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {Path(line).name for line in listed.stdout.split()} >= ALL_SCRIPTS.keys()
