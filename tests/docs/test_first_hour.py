"""The page about the first hour is run as it is written: its file is saved, and its commands are given to a shell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest
from scripts.blocks import blocks

import triscope as ts

PAGE = Path(__file__).parents[2] / "docs/first-hour.md"
BLOCKS = list(blocks(PAGE.read_text("utf-8")))
COMMANDS = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines() if line]


def words(line: str) -> list[str]:
    """A line without its decimals, whose last digits differ from machine to machine."""
    return [word for word in line.split() if not re.fullmatch(r"\d\.\d+", word)]


def test_it_takes_at_most_eight_commands():
    assert len(COMMANDS) <= 8
    assert len([block for block in BLOCKS if block.language == "python"]) == 1


@pytest.mark.slow
def test_the_page_runs_as_it_is_written(tmp_path, monkeypatch):
    source, programs = str(Path(ts.__file__).parents[1]), tmp_path / "bin"
    programs.mkdir()
    for name, module in (("python", ""), ("triscope", " -m triscope")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -W error{module} "$@"\n')
        program.chmod(0o755)
    folder = tmp_path / "here"
    folder.mkdir()
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": source, "COLUMNS": "120"}
    said, shown = {}, []
    for block in BLOCKS:
        if block.language == "python":
            (folder / "my.py").write_text(block.text, "utf-8")
        elif block.language == "sh":
            done = subprocess.run(
                ["bash", "-ec", block.text], cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{block.text}\n{done.stderr}"
            assert "arning" not in done.stderr
            assert "assumed" not in done.stderr
            said[block.text] = done.stdout + done.stderr
        elif block.language == "text":
            shown.append((block.text, "".join(said.values())))
    for text, told in shown:
        for line in text.splitlines():
            assert words(line) in [words(one) for one in told.splitlines()], f"the page shows {line!r}"
    for name in ("wrong.png", "seen.png", "gravel.png", "report.html", "new.confusion.html"):
        assert (folder / name).stat().st_size > 500
    monkeypatch.chdir(folder)
    with PIL.Image.open("seen.png") as picture:
        assert picture.width > 2 * 60
    space: dict[str, object] = {"__name__": "my"}
    exec(compile((folder / "my.py").read_text("utf-8"), "my.py", "exec"), space)
    heat = ts.occlusion(space["net"](), "train/gravel/2.png", "gravel", window=16, stride=8).values[0, 0]
    row, column = divmod(int(heat.argmax()), heat.shape[-1])
    assert row >= 40
    assert column >= 36  # the stamp lies in rows 52 to 58, columns 42 to 60, and windows reach 16 pixels
    assert heat.max() > 3 * heat[:32].abs().max()
