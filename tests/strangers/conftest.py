"""Files as a stranger would send them: a canary that tells when it was run, and forged stores and images."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest
import torch
from click.testing import CliRunner, Result

from tests.which.conftest import paint, tiny_network
from triscope.cli import main
from triscope.network import Network
from triscope.which.store import Store

CANARY = """
import pathlib
pathlib.Path({place!r}).write_text("run")
from tests.which.conftest import tiny_network as make
"""


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def sentence(done: Result) -> str:
    """What a refused command said: one line, exit code 1, no traceback."""
    assert done.exit_code == 1, (done.output, done.exception)
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.stderr.startswith("triscope: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with photos, and with `evil.py`, which must not have been run in the end."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(CANARY.format(place=str(tmp_path / "PWNED")))
    for number in range(4):
        paint(tmp_path / "photos" / f"{number}.png", number)
    yield tmp_path
    assert not (tmp_path / "PWNED").exists(), "code that a file names was run"


@pytest.fixture
def network() -> Network:
    return tiny_network()


@pytest.fixture(scope="module")
def honest_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos with their store, made once: what is forged is a copy."""
    photos = tmp_path_factory.mktemp("honest") / "photos"
    for number in range(4):
        paint(photos / f"{number}.png", number)
    Store.build(tiny_network(), photos, layers=["3", "7", "output"], precision="float32")
    return photos


@pytest.fixture
def forged_store(folder: Path, honest_store: Path) -> Callable[..., Path]:
    """A store in photos/ whose manifest says this."""
    shutil.copytree(honest_store, folder / "photos", dirs_exist_ok=True)

    def forge(**said: Any) -> Path:
        return forge_store(folder / "photos" / ".triscope", **said)

    return forge


def forge_store(place: Path, **said: Any) -> Path:
    """The store at `place`, its manifest rewritten by hand."""
    import lance

    dataset = lance.dataset(str(place / "rows.lance"))
    about = json.loads(dataset.schema.metadata[b"triscope"])
    dataset.update_schema_metadata({"triscope": json.dumps(about | said)})
    return place


def forge_picture(path: Path, recipe: dict[str, Any] | str) -> Path:
    """A PNG that carries this as its recipe."""
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("triscope", recipe if isinstance(recipe, str) else json.dumps(recipe))
    PIL.Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def recipe_of(path: Path) -> dict[str, Any]:
    """What a PNG carries."""
    with PIL.Image.open(path) as image:
        known: dict[str, Any] = json.loads(image.text["triscope"])
    return known


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """The number of threads of the process is the caller's, whatever a file says."""
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == before
