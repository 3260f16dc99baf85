"""The wheel, installed into an empty environment: it has all that it needs, and README's commands run.

What triscope depends on is taken from the environment that the tests run in; triscope itself comes from the wheel.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from scripts.blocks import blocks

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
#: Commands of README that need weights from elsewhere, or run until they are stopped.
NOT_RUN = ("triscope layers --model alexnet", "triscope app photos")


def run(words: list[str], folder: Path, **variables: str) -> str:
    """Run a program that knows nothing of this checkout; what it wrote."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        words, cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], folder)
    (built,) = folder.glob("triscope-*.whl")
    return built


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The folder of programs of an environment in which the wheel is installed."""
    place = tmp_path_factory.mktemp("empty") / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(place)], place.parent)
    programs = place / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", str(programs / "python")]
    run([*pip, "install", "--no-deps", str(wheel)], place.parent)
    own = run([str(programs / "python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], place.parent)
    Path(own.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_it_holds_what_is_needed_and_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        metadata = packed.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert "triscope/py.typed" in names
    assert "triscope/__init__.pyi" in names
    assert any(name.endswith(".safetensors") for name in names)
    assert any(name.startswith("triscope/web/page/") and name.endswith(".js") for name in names)
    assert not any(name.startswith(("tests", "docs", "scripts", "benchmarks")) for name in names)
    for line in ("License-Expression: MIT", "Classifier: Typing :: Typed", "Description-Content-Type: text/markdown"):
        assert line in metadata
    assert "Requires-Dist: scikit-image" in metadata
    assert wheel.stat().st_size < 30_000_000


def test_the_report_is_made_by_what_was_installed(programs, tmp_path):
    where = run([str(programs / "python"), "-c", "import triscope; print(triscope.__file__)"], tmp_path).strip()
    assert Path(where).is_relative_to(programs.parent)
    made = run([str(programs / "triscope"), "report", "-q"], tmp_path).strip()
    assert made == "cat.report.html"
    assert (tmp_path / made).stat().st_size > 100_000


def test_the_commands_of_the_readme_run(programs, tmp_path):
    page = (ROOT / "README.md").read_text("utf-8")
    commands = [
        shlex.split(line, comments=True)
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.splitlines()
        if line.startswith("triscope ") and not line.startswith(NOT_RUN)
    ]
    assert len(commands) > 12
    photos = Path(sysconfig.get_path("purelib"), "skimage/data")
    (tmp_path / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png", "coins.png"):
        shutil.copy(photos / name, tmp_path / "photos")
    for command in commands:
        run([str(programs / command[0]), *command[1:]], tmp_path)
    assert (tmp_path / "report.html").exists()
