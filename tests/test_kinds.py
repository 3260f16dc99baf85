"""The examples of docs/kinds.md are short, and run as they stand."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from tests import nets
from tests.objectives.test_detection import nms
from triscope.results import Result

PAGE = Path(__file__).parents[1] / "docs/kinds.md"
EXAMPLES = dict(re.findall(r"^## (.+?)\n.*?^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
OTHERS = ("transformers", "ultralytics", "torchvision")
LONGEST = 25


def library(text):
    """The library of networks that an example needs, if any."""
    return next((name for name in OTHERS if f"from {name}" in text), None)


def examples(names):
    """Those of transformers and the like take seconds to import, and run among the slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] if library(EXAMPLES[name]) else []) for name in names]


@pytest.mark.parametrize("name", examples(EXAMPLES))
def test_an_example_runs(name, tmp_path, monkeypatch):
    needed = library(EXAMPLES[name])
    if needed and not find_spec(needed):
        pytest.skip(f"needs {needed}")
    monkeypatch.chdir(tmp_path)
    if needed:
        vision = nets.import_torchvision()  # transformers imports it, too
        monkeypatch.setattr(vision.ops.boxes, "nms", nms)
        monkeypatch.setattr(torch.ops.torchvision, "nms", nms, raising=False)
    space = {}
    exec(compile(EXAMPLES[name], f"{PAGE.name}: {name}", "exec"), space)
    results = [value for value in space.values() if isinstance(value, Result)]
    assert results
    for result in results:
        assert result.values.isfinite().all()
        assert result.values.any()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name):
    assert len([line for line in EXAMPLES[name].splitlines() if line.strip()]) <= LONGEST


def test_all_kinds_are_there():
    headings = re.findall(r"^## (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert list(EXAMPLES) == headings
    for kind in ("ViT", "CLIP", "DETR", "YOLO", "SegFormer", "RetinaNet", "FCN", "U-Net", "Two", "Grey", "Six"):
        assert any(kind in heading for heading in headings)
