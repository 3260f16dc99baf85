"""Every example runs by itself, within its length, and writes the pictures it names."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

import triscope

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
NAMES = [example.stem for example in EXAMPLES]
#: Examples that optimise pictures take a number of steps: as few are enough to see that they run.
FEW_STEPS = {
    "ascend_classes": lambda: [3],
    "ascend_inversion": lambda: ["sample:rocket", 2],
    "style_choices": lambda: ["sample:cat", "sample:brick", 3],
}


def look_at(folder: Path) -> None:
    """There are pictures, and none is blank."""
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
    """In this process: to start Python and torch anew takes longer than most of them do."""
    words = [str(word) for word in FEW_STEPS.get(example.stem, list)()]
    monkeypatch.setattr(sys, "argv", [str(example), str(tmp_path), *words])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    said = capfd.readouterr()
    assert said.out
    assert said.err == ""
    look_at(tmp_path)


def test_an_example_runs_by_itself_as_its_second_line_says(tmp_path):
    example = ROOT / "examples" / "compare_filters.py"
    source = str(Path(triscope.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(example), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    look_at(tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_says_how_it_is_run(example):
    assert f"python examples/{example.name} [FOLDER" in example.read_text("utf-8").splitlines()[3]
