"""Every example runs by itself, within its length, and writes the images it names."""

import runpy
import sys
from pathlib import Path

import PIL.Image
import pytest

from tests.fewer import fewer
from tests.processes import ran

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
NAMES = [example.stem for example in EXAMPLES]
#: Runs an example as its second line says, in a folder; what it warns of is an error.
PROGRAM = """
import runpy, sys, warnings
warnings.simplefilter("error")
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def look_at(folder: Path) -> None:
    """There are images, and none is blank."""
    drawn = sorted(folder.glob("*.png"))
    assert drawn
    for path in drawn:
        with PIL.Image.open(path) as picture:
            low, high = picture.convert("L").getextrema()
        assert low < high, f"{path.name} is blank"


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_is_short(example):
    assert len(example.read_text("utf-8").splitlines()) <= 41


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_draws(example, tmp_path, monkeypatch, capfd):
    """In this process: to start Python and torch anew takes longer than most of them do. A few steps are enough."""
    fewer(monkeypatch)
    monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path)])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    said = capfd.readouterr()
    assert said.out
    assert said.err == ""
    look_at(tmp_path)


def test_an_example_runs_by_itself_as_its_second_line_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = ran(PROGRAM, str(ROOT / "examples" / "compare_filters.py"), str(tmp_path), fresh=True)
    assert (code, err) == (0, "")
    assert out
    look_at(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_says_how_it_is_run(example):
    assert f"python examples/{example.name} [FOLDER" in example.read_text("utf-8").splitlines()[3]
