"""Collections from the command line, with awkward files among the images."""

import csv
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import PIL.Image
import pytest
from click.testing import CliRunner, Result

from tests import processes
from tests.which.conftest import paint
from triscope.cli import main
from triscope.which.search.neighbors import neighbors
from triscope.which.store import Store

pytest_plugins = ["tests.hostile"]

MODEL = """
import time
from torch import nn
from tests.which.conftest import tiny_network as make
from triscope.network import Network

class Slow(nn.Module):
    def forward(self, images):
        time.sleep(0.2)
        return images

def slow():
    return Network(nn.Sequential(Slow(), nn.Conv2d(3, 4, 3)), size=32, name="slow")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    for number in range(6):
        paint(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def ask(*words: str) -> Result:
    return call(*words, "-m", "model.py:make")


def index(*words: str) -> Result:
    return call("index", "photos", "-m", "model.py:make", "--precision", "float32", *words)


def test_a_folder_is_indexed_and_asked(folder):
    done = index("--layer", "7", "--layer", "3")
    assert done.exit_code == 0, done.output
    assert "6 images in photos/.triscope" in done.stdout
    found = ask("neighbors", "photos/2.png", "photos", "-o", "found.png", "--k", "3")
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines()[0].split() == ["1.0000", "2", "2.png"]
    with PIL.Image.open("found.png") as image:
        assert image.size[0] > 100
    told = json.loads(ask("patches", "3:2", "photos", "--k", "2", "--json").stdout)
    assert len(told["results"][0]["found"]) == 2
    assert Path(told["results"][0]["out"]).is_file()
    assert ask("top", "max:3:2", "photos", "--k", "2").stdout.split()[1::3] == [
        str(entry["row"]) for entry in told["results"][0]["found"]
    ]


@pytest.mark.parametrize(
    "words", [["neighbors", "photos/2.png", "photos"], ["top", "7:3", "photos"], ["patches", "3:2", "photos"]]
)
def test_a_picture_of_what_was_found_can_be_made_again(folder, words):
    index("--layer", "7", "--layer", "3")
    assert ask(*words, "-o", "found.png").exit_code == 0
    first = Path("found.png").read_bytes()
    done = ask("redo", "found.png", "-o", "again.png")
    assert done.exit_code == 0, done.output
    assert Path("again.png").read_bytes() == first


def test_indexing_again_does_nothing_and_needs_no_layers(folder):
    index("--layer", "7")
    told = json.loads(ask("index", "photos", "--json").stdout)
    assert told["results"][0]["pictures"] == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["index", "photos", "-m", "model.py:make", "--layer", "70"], "no layer '70'"),
        (["index", "nowhere", "--layer", "7"], "does not exist"),
        (["index", "photos", "-m", "model.py:make", "--layer", "7", "--shard", "three"], "A shard is"),
        (["index", "photos", "-m", "model.py:make", "--layer", "7", "--shard", "4/3"], "4 of 3"),
        (["neighbors", "photos/1.png", "photos"], "holds no store"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(folder, words, sentence):
    done = call(*words)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_awkward_files_are_listed_with_their_reasons(folder, hostile):
    """Sixty good photos and twelve awkward files."""
    bad = [
        "01_truncated_60pct.jpg", "02_truncated_header.jpg", "03_truncated.png", "04_zero_byte.jpg",
        "05_text_renamed.jpg", "06_html_error_page.png", "20_fake.heic", "24_bomb_20000x20000.png", "34_loop_a.jpg",
        "34_dangling.jpg", "37_fifo.jpg", "44_vector.svg",
    ]  # fmt: skip
    for number in range(6, 60):
        paint(folder / "photos" / f"{number}.png", number)
    for name in bad:
        copy(hostile / name, folder / "photos" / name)
    (folder / "photos" / "34_dirloop").symlink_to(folder / "photos")
    done = index("--layer", "7", "--list-errors")
    assert done.exit_code == 0, done.output
    reasons = dict(line.split("\t", 1) for line in done.stdout.splitlines())
    assert reasons.keys() == set(bad)
    assert all(reason.endswith((".", ")")) and len(reason) > 20 for reason in reasons.values())
    assert len(Store.open("photos")) == 60


def test_odd_names_survive(folder, hostile):
    odd = [path for path in hostile.iterdir() if path.name.startswith(("31_", "-31_", "32_", "33_"))]
    assert len(odd) > 6
    for path in odd:
        copy(path, folder / "photos" / path.name)
    assert index("--layer", "7").exit_code == 0
    store = Store.open("photos")
    assert len(store) == 6 + len(odd)
    assert store.errors() == []
    found = ask("neighbors", str(odd[0]), "photos", "--k", "50", "--json", "-o", "odd.png")
    assert found.exit_code == 0, found.output
    assert len(json.loads(found.stdout)["results"][0]["found"]) == len(store)
    saved = neighbors(store, 0, k=50).save(folder / "odd.csv")
    with saved.open(newline="") as file:
        assert len(list(csv.reader(file))) == len(store)
    assert not list(folder.rglob("PWNED"))


@pytest.mark.usefixtures("brief")
def test_the_report_shows_a_collection(folder):
    done = call("report", "photos/2.png", "--collection", "photos", "-m", "model.py:make", "-o", "report.html", "-q")
    assert done.exit_code == 0, done.output
    page = Path("report.html").read_text("utf-8")
    for shown in ("Nearest in 7", "Nearest in pixel space", "1:", "top patches"):
        assert shown in page
    command = "triscope neighbors photos/2.png photos --layer 7 --k 8 -m model.py:make"
    assert command in page.replace("</span> <span>", " ")


@pytest.mark.usefixtures("brief")
def test_reports_of_several_photos_are_a_page_each(folder):
    Path("broken.png").write_bytes(b"no image")
    done = call("report", "photos/2.png", "broken.png", "photos/3.png", "-m", "model.py:make", "-o", "pages", "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [one["out"] for one in told["results"]] == ["pages/2.report.html", "pages/3.report.html"]
    assert [one["image"] for one in told["failed"]] == ["broken.png"]
    for number in (2, 3):
        page = Path(f"pages/{number}.report.html").read_text("utf-8")
        assert f"triscope predict photos/{number}.png" in page.replace("</span> <span>", " ")


@pytest.mark.usefixtures("brief")
def test_odd_names_do_no_harm_in_the_report(folder, hostile):
    odd = [path for path in hostile.iterdir() if path.name.startswith(("31_", "-31_", "32_", "33_"))]
    for path in odd:
        copy(path, folder / "photos" / path.name)
    (script,) = (path for path in odd if "<script>" in path.name)
    asked = f"photos/{script.name}"
    done = call("report", asked, "--collection", "photos", "-m", "model.py:make", "-o", "report.html", "-q")
    assert done.exit_code == 0, done.output
    page = Path("report.html").read_text("utf-8")
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "Nearest in pixel space" in page


#: The command line, where what was computed is stored every second instead of every five.
OFTEN = "from triscope.which.indexing.index import index; index.__kwdefaults__['every'] = 1.0\n" + processes.TRISCOPE


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_keeps_what_was_computed(folder, sent):
    for number in range(6, 400):
        paint(folder / "photos" / f"{number}.png", number)
    words = ["index", "photos", "-m", "model.py:slow", "--layer", "1", "--batch", "4", "--precision", "float32"]
    with processes.started(OFTEN, *words) as process:
        versions = folder / "photos/.triscope/rows.lance/_versions"
        while process.poll() is None and len(list(versions.glob("*.manifest"))) < 2:
            time.sleep(0.1)  # until something is committed
        committed = len(Store.open("photos"))
        time.sleep(1)
        process.send_signal(sent)
        _, said = process.communicate()
    assert process.returncode == 128 + sent, said
    kept = len(Store.open("photos"))
    assert 0 < committed < kept < 400
    assert said.splitlines()[-1] == (
        f"triscope: interrupted; saved: {kept} images in photos/.triscope; the same command resumes from there"
    )


def copy(source: Path, target: Path) -> None:
    """As it is: links as links, pipes as pipes."""
    if source.is_fifo():
        subprocess.run(["mkfifo", str(target)], check=True)
    else:
        shutil.copy(source, target, follow_symlinks=False)
