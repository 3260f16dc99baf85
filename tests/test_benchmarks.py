"""Benchmarks can be imported (they take too long to run here), and calls do not get deeper."""

import importlib
from pathlib import Path

import pytest

from benchmarks.depth import calls, measured

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.glob("benchmarks/**/*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_loaded(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize(("name", "frames", "files"), [("saliency", 10, 30), ("stylize", 25, 45)])
def test_a_call_goes_no_deeper_and_through_no_more_files(name, frames, files):
    stack, seen = measured(calls()[name])
    assert stack[0] == "methods/table.py: Method.__call__"
    assert len(stack) <= frames, stack
    assert len(seen) <= files, sorted(seen)
