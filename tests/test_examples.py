"""Every example runs by itself, within its length, and writes the pictures it names."""

import os
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

import triscope

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
NAMES = [example.stem for example in EXAMPLES]


def run(example: Path, folder: Path) -> str:
    source = str(Path(triscope.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(example), str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_is_short(example):
    assert len(example.read_text("utf-8").splitlines()) <= 40


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_draws(example, tmp_path):
    told = run(example, tmp_path)
    drawn = sorted(tmp_path.glob("*.png"))
    assert told
    assert drawn
    for path in drawn:
        with PIL.Image.open(path) as picture:
            low, high = picture.convert("L").getextrema()
        assert low < high, f"{path.name} is blank"


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_says_how_it_is_run(example):
    assert f"python examples/{example.name} [FOLDER" in example.read_text("utf-8").splitlines()[2]
