"""Recipes and stores changed at random: each ends in a result or in one sentence, no file is written, no code is run.

A few of each by default; `-m slow` tries 2,000 recipes and 500 stores. The seeds are fixed, so that a failure comes
back: `mutated(SEED, ...)` with the number in the message.
"""

import json
import random
import shutil
import signal
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import triscope as ts
from tests.strangers.conftest import forge_picture, recipe_of
from triscope.cli import main
from triscope.which.store import Store

MODEL = "from tests.which.conftest import tiny_network as make\n"
MADE = {
    "saliency": ["saliency", "photos/1.png", "-u", "3", "-m", "mine.py:make", "--style", "overlay"],
    "guided": ["guided-backprop", "photos/1.png", "-u", "3:2@4,5", "-m", "mine.py:make"],
    "activations": ["activations", "photos/1.png", "--layer", "3", "-m", "mine.py:make"],
    "filters": ["filters", "-m", "mine.py:make"],
    "ascend": ["ascend", "3:1", "-m", "mine.py:make", "--steps", "2", "--size", "16"],
    "invert": ["invert", "photos/1.png", "--layer", "3", "-m", "mine.py:make", "--steps", "2"],
    "stylize": ["stylize", "photos/1.png", "photos/2.png", "-m", "mine.py:make", "--layers", "1,3",
                "--content-layers", "3", "--steps", "2", "--size", "24"],
    "neighbors": ["neighbors", "photos/1.png", "photos", "-m", "mine.py:make"],
    "top": ["top", "7:5", "photos", "-m", "mine.py:make", "--where", "width > 5"],
    "pca": ["pca", "photos", "--png", "--size", "64"],
}  # fmt: skip
WORDS = (
    ["neighbors", "photos/1.png", "photos", "-m", "mine.py:make"], ["top", "7:5", "photos", "-m", "mine.py:make"],
    ["patches", "3:2", "photos", "-m", "mine.py:make"], ["duplicates", "photos", "--least", "0.5"],
    ["pca", "photos", "--png", "--size", "64"], ["tsne", "photos", "--png", "--size", "64", "--steps", "25"],
    ["neighbors", "photos/1.png", "photos"], ["check", "photos"],
    ["index", "photos"], ["index", "photos", "-m", "mine.py:make"],
)  # fmt: skip
#: What is put in the place of something else; <here> is the folder of the test.
JUNK = (
    None, True, False, 0, -1, 1, 2, 7, 300, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308, 1e-320,
    "", " ", "x", "3", "7:5", "3:999999999999999999999", "3:1@0,99", "input", "output", "prob:1", "0|1", "0|1|2|3|4",
    "TopClass()", "\0", "\n", "\x1b[2J", "\ud800", "é" * 3, "9" * 5000, "a" * 100_000, "NaN", "1=1) OR (1=1", "1d",
    "evil.py:make", "<here>/evil.py:make", "../evil.py:make", "<here>/WRITTEN", "/", "..", "photos", "photos/1.png",
    ".triscope", "pocket", "random", "content", "start", "mask", "style", "saliency", "neighbors", "stylize",
    "duplicates", "deconvnet", "crop", "heat", "float16", "max", [], {}, [[]], [None], [1, 2], ["a", "b"],
    {"name": "evil.py:make"}, {"name": "pocket", "weights": "<here>/evil.py"}, {"checkpoint": "<here>/WRITTEN"},
    {"a": {"b": {"c": []}}},
)  # fmt: skip
KEYS = ("checkpoint", "frames", "out", "start", "store", "layer", "query", "steps", "seed", "weights", "part", "x")


class TimeUp(Exception):
    """A job that a mutation has made long; that it would go on is fine."""


@pytest.fixture
def farm(folder):
    """One image of each kind, in made/, and a store; all as the user has made them."""
    (folder / "mine.py").write_text(MODEL)
    Store.build(ts.load("mine.py:make"), folder / "photos", layers=["3", "7"], precision="float32")
    for name, words in MADE.items():
        done = CliRunner().invoke(main, [*words, "-o", f"{name}.png"])
        assert done.exit_code == 0, done.output
    return folder


def mutated(rng: random.Random, known, folder: Path):
    """Something of a JSON value replaced, added, taken out or moved; once or a few times."""
    made = json.loads(json.dumps(known))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(_places(made))
        holder, key = rng.choice(places)
        how = rng.randrange(10)
        if how < 6:
            holder[key] = _junk(rng, folder)
        elif how < 7:
            del holder[key]
        elif how < 8 and isinstance(holder, dict):
            holder[rng.choice(KEYS)] = _junk(rng, folder)
        elif how < 9:
            other, place = rng.choice(places)
            holder[key] = json.loads(json.dumps(other[place]))
        elif isinstance(holder, list):
            holder += [holder[key]] * rng.randrange(3)
        if not list(_places(made)):
            break
    return made


def mangled(rng: random.Random, text: str) -> str:
    """A text with a few letters changed, taken out or put in."""
    for _ in range(rng.choice((1, 1, 3))):
        place = rng.randrange(len(text) + 1)
        text = (
            text[:place]
            + rng.choice(("", '"', "{", "[", "}", ",", "0", "9" * 30, "\\", "x"))
            + text[place + rng.randrange(3) :]
        )
    return text


def _places(value):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in list(items):
        yield value, key
        yield from _places(inside)


def _junk(rng: random.Random, folder: Path):
    text = (
        json.dumps(rng.choice(JUNK), ensure_ascii=True).replace("<here>", str(folder)) if rng.random() < 0.95 else "1e5"
    )
    return json.loads(text)


@contextmanager
def limited(seconds: float):
    """Longer jobs are ended with TimeUp."""

    running = True

    def up(*_: object) -> None:
        if running:
            raise TimeUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        running = False  # an alarm that comes now is too late
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ends_well(words: list[str], label: object) -> str:
    """Ask, and see that it ends in a result or in sentences; which of them."""
    with limited(4):
        done = CliRunner().invoke(main, words)
    if isinstance(done.exception, TimeUp):
        return "long"
    assert done.exception is None or isinstance(done.exception, SystemExit), (label, words, done.exception)
    assert done.exit_code in (0, 1), (label, words, done.output)
    assert "Traceback" not in done.output, (label, words, done.output)
    for line in done.stderr.splitlines():
        assert line.isprintable(), (label, line)
        assert len(line) < 3000, (label, len(line))
    if done.exit_code == 1 and words[0] != "check":
        assert [line for line in done.stderr.splitlines() if line.startswith("triscope: ")], (label, done.stderr)
    return "made" if done.exit_code == 0 else "refused"


def snapshot(folder: Path) -> dict[str, int]:
    """Every file below a folder, less what a store keeps for itself: copies made for searching, maps, and the name of
    a manifest that is empty and put aside.
    """
    return {
        str(path.relative_to(folder)).replace(".damaged", ".manifest"): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name not in ("cache", "maps", "__pycache__")
    }


def fuzz_recipes(farm: Path, count: int, seed: int) -> Counter:
    recipes = [recipe_of(farm / f"{name}.png") for name in MADE]
    rng, ends = random.Random(seed), Counter()
    before = snapshot(farm)
    for number in range(count):
        made = mutated(rng, rng.choice(recipes), farm)
        text = json.dumps(made)
        if rng.random() < 0.2:
            text = mangled(rng, text)
        forge_picture(farm / "forged.png", text)
        said = ["-m", "mine.py:make"] if rng.random() < 0.7 else []
        ends[ends_well(["redo", "forged.png", "-o", "again.png", *said], (seed, number, text[:2000]))] += 1
        for name in ("forged.png", "again.png"):
            (farm / name).unlink(missing_ok=True)
        assert snapshot(farm) == before, (seed, number, text[:2000])
    return ends


def fuzz_stores(farm: Path, count: int, seed: int) -> Counter:
    import lance

    place = farm / "photos" / ".triscope"
    kept = farm / "kept"
    shutil.copytree(place, kept)
    about = json.loads(lance.dataset(str(place / "rows.lance")).schema.metadata[b"triscope"])
    rng, ends = random.Random(seed), Counter()
    for number in range(count):
        shutil.rmtree(place)
        shutil.copytree(kept, place)
        how = rng.random()
        if how < 0.6:
            text = json.dumps(mutated(rng, about, farm))
            text = mangled(rng, text) if rng.random() < 0.15 else text
            lance.dataset(str(place / "rows.lance")).update_schema_metadata({"triscope": text})
        else:
            text = _damage(rng, place)
        before = snapshot(farm)
        words = rng.choice(WORDS)
        told = words if words[0] in ("check", "index") else [*words, "-o", "out.png"]
        ends[ends_well(told, (seed, number, text[:2000]))] += 1
        (farm / "out.png").unlink(missing_ok=True)
        mine = "photos/.triscope/" if words[0] == "index" else "nothing"  # which writes there, and nowhere else
        first, then = ({k: v for k, v in known.items() if not k.startswith(mine)} for known in (before, snapshot(farm)))
        assert first == then, (seed, number, words, text[:2000])
    return ends


def _damage(rng: random.Random, place: Path) -> str:
    """Bytes of one file of a store changed, cut off, or put in; or the file taken away."""
    path = rng.choice(sorted(path for path in place.rglob("*") if path.is_file() and path.name != "lock"))
    content = bytearray(path.read_bytes())
    how = rng.choice(("flip", "flip", "cut", "zero", "insert", "gone"))
    spot = rng.randrange(len(content))
    if how == "flip":
        for _ in range(rng.choice((1, 4, 30))):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif how == "cut":
        del content[spot:]
    elif how == "zero":
        content[spot : spot + 64] = bytes(len(content[spot : spot + 64]))
    elif how == "insert":
        content[spot:spot] = rng.randbytes(rng.randrange(1, 9))
    path.write_bytes(content)
    if how == "gone":
        path.unlink()
    return f"{how} in {path.relative_to(place)}"


def test_recipes_changed_at_random(farm):
    ends = fuzz_recipes(farm, 80, 0)
    assert ends["refused"] > 20
    assert ends["made"] > 5


def test_stores_changed_at_random(farm):
    ends = fuzz_stores(farm, 40, 0)
    assert ends["refused"] > 10


@pytest.mark.slow
def test_2000_recipes_changed_at_random(farm):
    ends = sum((fuzz_recipes(farm, 250, seed) for seed in range(1, 9)), Counter())
    assert ends.total() == 2000
    assert min(ends["refused"], ends["made"]) > 100


@pytest.mark.slow
def test_500_stores_changed_at_random(farm):
    ends = fuzz_stores(farm, 500, 1)
    assert ends.total() == 500
    assert min(ends["refused"], ends["made"]) > 50
