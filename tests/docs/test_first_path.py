"""The first path through the live page, as docs/first-path.md shows it, is walked."""

import importlib.util
import re
from pathlib import Path

import PIL.Image
import pytest

from tests.browsers import chromium
from triscope.results import Recipe

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/first-path.md").read_text("utf-8")

pytest.importorskip("lance", reason="needs pylance: pip install 'triscope[collections]'")
pytest.importorskip("starlette", reason="needs the page's server: pip install 'triscope[app]'")


def walker():
    spec = importlib.util.spec_from_file_location("first_path", ROOT / "docs/site/first_path.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_is_walked():
    module = walker()
    assert module.MY_FILE in PAGE
    assert f"triscope {' '.join(module.COMMAND).removesuffix(' --no-open')}\n" in PAGE


@pytest.mark.slow
def test_every_station_is_reached_and_shown(tmp_path):
    with chromium() as browser:
        times = walker().walk(browser, tmp_path)
    assert set(re.findall(r"<!-- seconds: (\w+) -->", PAGE)) == set(times)
    assert list(times.values()) == sorted(times.values())
    for name in re.findall(r"<!-- figure: ([\w-]+\.png)", PAGE):
        with PIL.Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").resize((200, 200)).getcolors(40_000)) > 200
    assert Recipe.of_file(tmp_path / "exported.png").options["steps"] == 64
