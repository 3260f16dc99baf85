"""A folder of units: finished images are kept after an interruption, and the same command resumes."""

import json
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

import triscope as ts
from tests import nets, processes
from triscope.cli import main
from triscope.errors import OptionError, StoreError
from triscope.methods import METHODS
from triscope.methods.spelling import command_line
from triscope.unit_folder.making import make_units
from triscope.unit_folder.manifest import TILE, name_of

OPTIONS = {"size": 16, "steps": 6, "precision": "float32", "batch": 2}
MODEL = """
import time, torch
from torch import nn
from triscope.network import Network

def make():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 40, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 4))
    return Network(module, size=16, classes=["cup", "<b>tabby", "rocket", "daisy"], name="tiny")

class Slow(nn.Module):
    def forward(self, images):
        time.sleep(0.03)
        return images

def slow():
    return Network(nn.Sequential(Slow(), *make().module), size=16, classes=["cup", "tabby", "rocket", "daisy"])
"""


def network(seed=0, dead=()):
    module = nets.fill(nets.cnn(norm=False), seed)
    for channel in dead:
        module[3].weight.data[channel] = 0
        module[3].bias.data[channel] = -1
    return nets.network(module, size=16, name="tiny", classes=["cup", "tabby", "rocket", "daisy", "<b>boat"])


def pictures(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob("*/*.*"))}


def pixels(path):
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_folder_has_a_picture_with_its_recipe_for_every_channel(tmp_path):
    net = network(dead=(1,))
    made = ts.UnitFolder.build(net, ["4", "output"], tmp_path / "u", form=".png", **OPTIONS)
    assert [one.unit for one in made.units] == [*(f"4:{channel}" for channel in range(6)), *"01234"]
    assert made.units[-1].title == "<b>boat"
    wall = ts.units(net, ["4", "output"], **OPTIONS)
    for row, unit in enumerate(made.units):
        place = made.picture(unit)
        if unit.unit == "4:1":
            assert place is None
            assert "no image" in unit.notes[0]
            continue
        assert unit.score == pytest.approx(float(wall.scores[row]), rel=1e-3)
        assert np.abs(pixels(place) - 255 * wall.values[row].permute(1, 2, 0).numpy()).max() < 3
        recipe = ts.Recipe.of_file(place)
        assert (recipe.options["layers"], recipe.options["channels"]) == ([unit.layer], [str(unit.channel)])
    assert not (tmp_path / "u/4/1.png").exists()


def test_what_is_there_is_not_made_again(tmp_path):
    net, folder = network(), tmp_path / "u"
    ts.UnitFolder.build(net, "3", folder, channels="0-2", **OPTIONS)
    before = pictures(folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("3/*")}
    made = ts.UnitFolder.build(net, ["3", "0"], folder, channels="0-4", **OPTIONS)
    assert len(made) == 10
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert pictures(folder).items() >= before.items()
    assert [layer["name"] for layer in made.table.layers] == ["3", "0"]


def test_a_job_that_is_left_keeps_what_was_finished(tmp_path):
    net, folder = network(), tmp_path / "u"
    steps = make_units(net, "3", folder, **OPTIONS)
    for step in steps:
        if step.done:
            break
    steps.close()
    kept = len(ts.UnitFolder.open(folder))
    assert 0 < kept < 6
    made = ts.UnitFolder.build(net, "3", folder, **OPTIONS)
    whole = ts.UnitFolder.build(net, "3", tmp_path / "whole", **OPTIONS)
    assert [one.unit for one in made.units] == [one.unit for one in whole.units]
    for one in made.units:
        assert np.abs(pixels(made.picture(one)) - pixels(whole.picture(one))).max() <= 4


def test_shards_together_are_the_whole(tmp_path):
    net = network()
    whole = ts.UnitFolder.build(net, ["0", "3"], tmp_path / "whole", **OPTIONS)
    for shard in ((2, 3), (1, 3), (3, 3)):
        parts = ts.UnitFolder.build(net, ["0", "3"], tmp_path / "parts", shard=shard, **OPTIONS)
    assert [one.unit for one in parts.units] == [one.unit for one in whole.units]
    for one, other in zip(parts.units, whole.units, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-3)
    with pytest.raises(OptionError, match="4 of 3 is none"):
        ts.UnitFolder.build(net, "3", tmp_path / "parts", shard=(4, 3), **OPTIONS)


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"size": 24}, "size"), ({"steps": 7}, "steps"), ({"seed": 1}, "seed"), ({"tv": 1.0}, "tv"),
     ({"regulariser": "l2"}, "regulariser"), ({"precision": "bfloat16"}, "precision"), ({"form": ".png"}, "form")],
)  # fmt: skip
def test_a_changed_option_is_refused_by_its_name(tmp_path, changed, word):
    net = network()
    ts.UnitFolder.build(net, "3", tmp_path / "u", channels="0", **OPTIONS)
    before = (tmp_path / "u/units.json").read_bytes()
    with pytest.raises(OptionError, match=f"was started with {word} .* is given now"):
        ts.UnitFolder.build(net, "3", tmp_path / "u", **(OPTIONS | changed))
    assert (tmp_path / "u/units.json").read_bytes() == before


def test_another_network_is_refused(tmp_path):
    ts.UnitFolder.build(network(), "3", tmp_path / "u", channels="0", **OPTIONS)
    with pytest.raises(StoreError, match="holds units of tiny with other weights"):
        ts.UnitFolder.build(network(1), "3", tmp_path / "u", **OPTIONS)


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"format": "other"}', '{"format": "triscope units", "version": 9}'])
def test_a_damaged_table_is_a_sentence(tmp_path, damage):
    with pytest.raises(StoreError, match=r"holds no units\.json"):
        ts.UnitFolder.open(tmp_path)
    (tmp_path / "units.json").write_text(damage)
    with pytest.raises(StoreError, match="cannot be read"):
        ts.UnitFolder.open(tmp_path)


def test_no_file_is_looked_for_where_a_table_says(tmp_path):
    made = ts.UnitFolder.build(network(), "3", tmp_path / "u", channels="0", **OPTIONS)
    table = json.loads((tmp_path / "u/units.json").read_text())
    table["units"][0]["layer"] = "../../secret"
    (tmp_path / "u/units.json").write_text(json.dumps(table))
    (unit,) = ts.UnitFolder.open(tmp_path / "u").units
    assert made.picture(unit).resolve().is_relative_to((tmp_path / "u").resolve())


def test_two_layers_never_share_a_folder():
    names = ["a.b", "a-b", "a_b", "a/b", "a..b", "../../etc", "relu~1", "relu~2", "ü.1", "x" * 300, "x" * 301]
    folders = [name_of(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", folder) for folder in folders)
    assert name_of("features.9") == "features-9"


@pytest.fixture
def store(tmp_path):
    pytest.importorskip("lance", reason="needs pylance: pip install 'triscope[collections]'")
    (tmp_path / "photos").mkdir()
    for number in range(5):
        coarse = np.random.default_rng(number).integers(0, 256, (5, 7, 3), np.uint8)
        PIL.Image.fromarray(coarse).resize((40, 30)).save(tmp_path / f"photos/{number}.png")
    return ts.Store.build(network(), tmp_path / "photos", layers=["3", "output"])


def test_a_store_adds_the_patches_of_each_channel(tmp_path, store):
    net = network()
    first = ts.UnitFolder.build(net, ["3", "0", "output"], tmp_path / "u", **OPTIONS)
    assert {one.patches for one in first.units} == {None}
    steps = list(make_units(net, ["3", "0", "output"], tmp_path / "u", store=store, k=3, **OPTIONS))
    assert {note for step in steps for note in step.notes} == {
        "There are no patches of 0: the store does not keep it; triscope index with --layer 0 adds it."
    }
    made = ts.UnitFolder.open(tmp_path / "u")
    for unit in made.units:
        if unit.layer == "0":
            assert unit.patches is None
            continue
        question = ts.unit(unit.unit)
        found = ts.top(store, question, k=3) if unit.layer == "output" else ts.patches(store, question, k=3)
        assert [one.name for one in unit.patches] == list(found.names)
        assert [one.score for one in unit.patches] == pytest.approx(found.values.tolist())
        assert pixels(made.patches(unit)).shape == (TILE, 3 * TILE, 3)
    PIL.Image.new("RGB", (20, 20), (250, 20, 20)).save(tmp_path / "photos/red.png")
    grown = ts.Store.build(net, tmp_path / "photos", layers=["3", "output"])
    again = ts.UnitFolder.build(net, ["3"], tmp_path / "u", store=grown, k=3, **OPTIONS)
    found = {one.unit: [patch.name for patch in one.patches] for one in again.units if one.layer == "3"}
    assert found == {unit: list(ts.patches(grown, unit, k=3).names) for unit in found}
    assert any("red.png" in names for names in found.values())
    with pytest.raises(OptionError, match="started with k 3"):
        ts.UnitFolder.build(net, "3", tmp_path / "u", store=store, k=4, **OPTIONS)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    return CliRunner().invoke(main, [*words], catch_exceptions=False)


def test_the_command_makes_a_folder(folder):
    words = ["units", "0", "-m", "model.py:make", "-o", "u", "--size", "12", "--steps", "2", "--channels", "0-2"]
    done = call(*words, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)["results"][0]
    assert (facts["folder"], facts["units"], facts["silent"]) == ("u", 3, 0)
    assert call(*words).stdout == "3 units in u\n"
    refused = call(*words, "--steps", "3")
    assert refused.exit_code == 1
    assert "was started with steps 2" in refused.output
    assert call(*words, "--shard", "x").exit_code == 1
    assert "LAYER" in call("units", "-o", "u").output
    net = ts.load("model.py:make")
    arguments = {"network": net, "layers": ("0",), "size": 12, "steps": 2, "channels": ("0-2",)}
    said = shlex.split(command_line(METHODS["units"], arguments))
    assert said == [
        "triscope", "units", "0", "--channels", "0-2", "--size", "12", "--steps", "2", "-m", "model.py:make",
    ]  # fmt: skip
    assert call(*said[1:], "-o", "u").stdout == "3 units in u\n"  # the same: nothing is refused, nothing is new


def _known(kept, name):
    return any(kept.picture(one).relative_to("u").as_posix() == name for one in kept.units)


@pytest.mark.parametrize("out", ["model.py", "model.py/u"])
def test_where_a_folder_goes_is_looked_at_before_anything_is_done(folder, out):
    (folder / "model.py").write_text("raise AssertionError('loaded')")
    done = call("units", "0", "-m", "model.py:make", "-o", out)
    assert done.exit_code == 1
    assert "cannot be written to: Not a directory" in done.output


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_ends_it_what_is_finished_is_kept(folder, sent):
    words = ["units", "1", "-m", "model.py:slow", "-o", "u", "--size", "12", "--steps", "4", "--batch", "2"]
    table = Path("u/units.json")
    with processes.started(processes.TRISCOPE, *words) as process:
        while process.poll() is None and not (table.exists() and json.loads(table.read_text())["units"]):
            time.sleep(0.05)
        process.send_signal(sent)
        _, said = process.communicate()
    assert process.returncode == (-sent if sent == signal.SIGKILL else 128 + sent), said
    kept = ts.UnitFolder.open("u")
    assert 0 < len(kept) < 40
    assert all(kept.picture(one).exists() for one in kept.units)
    if sent != signal.SIGKILL:
        ending = f"triscope: interrupted; saved: {len(kept)} units in u; the same command resumes from there"
        assert said.splitlines()[-1] == ending
    files = pictures(Path("u"))
    done = call(*words, "--channels", "0-12")
    assert done.exit_code == 0, done.output
    assert pictures(Path("u")).items() >= {name: data for name, data in files.items() if _known(kept, name)}.items()
    assert {one.channel for one in ts.UnitFolder.open("u").units} >= set(range(13))
