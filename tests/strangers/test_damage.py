"""A store that is not what triscope wrote says so, and what to do; `check` finds what has changed."""

import json
import random
import shutil
import warnings
from pathlib import Path

import pytest
from safetensors.torch import save_file

import triscope as ts
from tests.strangers.conftest import call, forge_store, sentence
from tests.which.conftest import paint, tiny_network
from triscope.errors import DamagedStore, StoreError
from triscope.which.checking import check
from triscope.which.database import checksums
from triscope.which.store import Store

WORDS = (
    ["tsne", "photos", "--steps", "25"], ["pca", "photos"], ["duplicates", "photos"],
    ["neighbors", "photos/1.png", "photos", "-m", "mine.py:make"], ["top", "7:5", "photos", "-m", "mine.py:make"],
    ["patches", "3:2", "photos", "-m", "mine.py:make"], ["index", "photos", "-m", "mine.py:make"],
)  # fmt: skip


@pytest.fixture
def store(folder):
    """photos/.triscope, made by a network in mine.py."""
    (folder / "mine.py").write_text("from tests.which.conftest import tiny_network as make\n")
    return Store.build(ts.load("mine.py:make"), folder / "photos", layers=["3", "7"], precision="float32").path


def files(store: Path, part: str) -> list[Path]:
    return sorted((store / "rows.lance" / part).iterdir())


def damaged(words: list[str], store: Path) -> str:
    said = sentence(call(*words, *([] if words[0] == "index" else ["-o", "out.png"])))
    assert "photos/.triscope is damaged: " in said
    assert "`triscope check photos/.triscope`" in said
    assert "index again" in said
    assert not any(word in said for word in ("Lance", "/home", ".rs", "status", str(store)))
    return said


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_a_data_file_that_is_cut_short(words, store):
    (data,) = files(store, "data")
    data.write_bytes(data.read_bytes()[:2000])
    damaged(words, store)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_a_data_file_that_is_missing(words, store):
    (data,) = files(store, "data")
    data.unlink()
    assert f"its file {data.name} is missing" in damaged(words, store)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words[0])
def test_manifests_that_are_cut_short(words, store):
    for manifest in store.glob("rows.lance/_versions/*.manifest"):
        manifest.write_bytes(manifest.read_bytes()[:20])
    damaged(words, store)
    (store / checksums.FILE).unlink()  # as a stranger's may have none
    damaged(words, store)


COLUMN = {"name": "v0_3_mean", "layer": "3", "pool": "mean", "shape": [6], "dtype": "float16", "grid": [14, 14]}


def columns(**said):
    return {"columns": [COLUMN | said]}


@pytest.mark.parametrize(
    "said",
    [
        {"columns": "x"}, {"columns": [3]}, {"columns": []}, {"columns": None}, {"columns": {}},
        columns(name="../../../photos/1"), columns(name="v9"), columns(shape=[7]),
        columns(dtype="object"), columns(shape=[-6]), columns(shape=[]),
        columns(layer="\x1b[2J"), columns(pool="median"), columns(grid=[0, 0]),
        columns(), {"columns": [COLUMN, COLUMN]},
        {"fields": "name"}, {"fields": [3]}, {"kind": 3}, {"label": None}, {"within": []}, {"listed": {}},
        {"format": "1"}, {"format": None}, {"sha256": "../x"}, {"sha256": None}, {"network": 3}, {"network": None},
        {"source": "pocket"}, {"source": []}, {"precision": "float1"}, {"precision": None}, {"root": 3},
        {"preprocess": {}}, {"preprocess": None}, {"preprocess": {"size": [0, 0]}}, {"preprocess": {"size": "large"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_a_description_that_is_none(said, store):
    forge_store(store, **said)
    assert "its description cannot be read" in damaged(WORDS[2], store)
    with pytest.raises(DamagedStore):
        Store.open(store)
    damaged(WORDS[-1], store)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "3", "null", '{"format": NaN}'], ids=range(6))
def test_a_description_that_is_no_json(text, store):
    import lance

    lance.dataset(str(store / "rows.lance")).update_schema_metadata({"triscope": text})
    damaged(WORDS[2], store)
    lance.dataset(str(store / "rows.lance")).update_schema_metadata({"triscope": None})
    damaged(WORDS[2], store)


def test_fields_that_are_not_there_are_left_out(store):
    forge_store(store, fields=["nothing", "v0_3_mean", "folder"])
    assert Store.open(store).about.fields == ("folder",)


def test_a_store_of_another_format_is_no_damaged_one(store):
    forge_store(store, format=7)
    assert "has format 7" in sentence(call("duplicates", "photos"))


def test_a_network_name_moves_no_cursor(store):
    forge_store(store, network="\x1b[2Jowned", source=None)
    assert sentence(call("neighbors", "photos/1.png", "photos")).rstrip("\n").isprintable()


def test_names_of_pictures_move_no_cursor(store):
    import lance

    lance.dataset(str(store / "rows.lance")).update({"name": "'\x1b[2Jowned'"})
    done = call("top", "7:5", "photos", "-m", "mine.py:make")
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "\\x1b[2Jowned" in done.stdout


def test_a_small_picture_that_is_none(store):
    import lance

    lance.dataset(str(store / "rows.lance")).update({"thumbnail": "CAST('x' AS BINARY)"})
    assert "a small image in it cannot be read" in damaged(WORDS[4], store)


def test_a_condition_is_blamed_for_itself_and_damage_on_the_store(store):
    wrong = ("nme = 'x'", "name =", "CAST(name AS INT) = 3", "1 / 0 = 1", "name", "1=1) OR (status='error'", "1=1 -- ")
    for where in wrong:
        said = sentence(call(*WORDS[4], "--where", where))
        assert "not a condition" in said or "no field" in said
        assert "damaged" not in said
    (data,) = files(store, "data")
    data.write_bytes(data.read_bytes()[:2000])
    assert "not a condition" not in damaged([*WORDS[4], "--where", "name = '1.png'"], store)


# What `check` finds


def test_what_is_as_it_was_written(store):
    done = call("check", "photos")
    assert done.exit_code == 0, done.output
    assert done.stdout == "4 images in photos/.triscope; 5 files are as they were written\n"
    assert done.stderr == ""
    paint(store.parent / "4.png", 4)
    (store.parent / "1.png").unlink()
    assert call("index", "photos", "-m", "mine.py:make").exit_code == 0
    found = check(store)
    assert (found.pictures, found.unknown, found.wrong) == (4, (), {})


@pytest.mark.parametrize("part", ["data", "_versions", "_transactions"])
def test_a_single_flipped_bit_is_found(part, store):
    rng = random.Random(0)
    kept = store.with_name("kept")
    shutil.copytree(store, kept)
    for _ in range(20):
        path = rng.choice([file for file in files(store, part) if file.suffix != ".json"])
        content = bytearray(path.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        done = call("check", "photos")
        assert done.exit_code == 1, path
        assert f"rows.lance/{part}/{path.name}: has changed" in done.stdout
        assert "photos/.triscope is damaged" in done.stderr
        shutil.rmtree(store)
        shutil.copytree(kept, store)
    assert call("check", "photos").exit_code == 0


def test_a_missing_file_is_found(store):
    (data,) = files(store, "data")
    data.unlink()
    told = json.loads(call("check", "photos", "--json").stdout)["results"][0]
    assert told["wrong"] == {f"rows.lance/data/{data.name}": "is missing"}


def test_a_store_without_checksums_is_read_all_the_same(store):
    (store / checksums.FILE).unlink()
    done = call("check", "photos")
    assert done.exit_code == 0
    assert "5 files have no checksum" in done.stderr
    (data,) = files(store, "data")
    data.write_bytes(data.read_bytes()[:2000])
    done = call("check", "photos")
    assert done.exit_code == 1
    assert "cannot be read" in done.stdout


def test_sha256sum_reads_the_checksums(store):
    import subprocess

    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    done = subprocess.run(["sha256sum", "-c", checksums.FILE], cwd=store, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK") == len(checksums.noted(store)) == 5


def test_lines_of_files_that_are_gone_go_too(store):
    for number in range(5, 9):
        paint(store.parent / f"{number}.png", number)
        assert call("index", "photos", "-m", "mine.py:make").exit_code == 0
    noted = checksums.noted(store)
    assert all((store / name).is_file() for name in noted)
    assert len(noted) == sum(
        1 for file in (store / "rows.lance").rglob("*") if file.is_file() and file.suffix != ".json"
    )
    with (store / checksums.FILE).open("a") as file:
        file.write("0123456789")  # a line that was cut short
    assert checksums.noted(store) == noted
    (store / "rows.lance" / "data" / "x.lance").write_bytes(b"")
    assert check(store).unknown == ("rows.lance/data/x.lance",)


def test_a_projection_that_has_changed_is_found(folder):
    for number in range(300):
        paint(folder / "photos" / f"{number:03}.png", number)
    store = Store.build(tiny_network(), folder / "photos", layers=["7"], precision="float32")
    assert store.projection(store.find("7")) is not None
    (file,) = [
        file for file in store.path.glob("pca-*.safetensors") if store.table.about_field("v0_7_none_pca") == file.name
    ]
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedStore, match=r"its file pca-\w+\.safetensors has changed"):
        store.projection(store.find("7"))
    assert "has changed" in call("check", "photos").stdout


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.safetensors", "pca-0.safetensors", ""])
def test_a_projection_is_a_file_of_the_store(name, store):
    from triscope.which.database.stored_projections import load_projection

    with pytest.raises(DamagedStore, match="does not say what it is a projection of"):
        load_projection(store, name)


def test_a_kept_map_of_another_shape_is_made_anew(store):
    import torch

    assert call(*WORDS[0], "-o", "a.html").exit_code == 0
    for kept in (store / "maps").iterdir():
        save_file({"values": torch.zeros(3, 5), "score": torch.tensor(0.0)}, kept)
    assert call(*WORDS[0], "-o", "b.html").exit_code == 0
    assert len(ts.tsne(Store.open(store), steps=25).values) == 4


def test_where_there_is_no_store(folder):
    assert "holds no store" in sentence(call("check", "photos"))
    with pytest.raises(StoreError):
        check("nowhere")


@pytest.mark.parametrize(("root", "kind"), [("..", "folder"), (None, "list")])
def test_a_store_of_0_1_says_what_it_was_made_from(root, kind, store):
    """It had no word for it: a folder had a root, a list had none."""
    about = json.loads(Store.open(store).about.to_json())
    del about["kind"], about["within"], about["listed"], about["label"], about["checked"]
    import lance

    dataset = lance.dataset(str(store / "rows.lance"))
    dataset.update_schema_metadata({"triscope": json.dumps(about | {"root": root})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ts.TriscopeWarning)  # its layers were not looked at
        assert Store.open(store).about.kind == kind
