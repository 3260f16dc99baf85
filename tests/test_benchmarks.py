"""Benchmarks take too long to be run here, but whoever runs one finds that it can be loaded."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in ROOT.glob("benchmarks/**/*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_can_be_loaded(name):
    assert importlib.import_module(name).__doc__
