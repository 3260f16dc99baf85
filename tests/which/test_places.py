"""Images in tar shards, in tables and at addresses are indexed as those of a folder are: row by row the same."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.which.conftest import paint
from tests.which.test_indexing import LAYERS, build
from triscope.errors import ImageError, StoreError, TriscopeWarning
from triscope.objectives.units import Channel
from triscope.which.collection import Collection
from triscope.which.places.place import Place
from triscope.which.search.neighbors import neighbors
from triscope.which.search.patches import patches
from triscope.which.store import Store

fsspec = pytest.importorskip("fsspec", reason="needs fsspec: pip install 'triscope[remote]'")


def tar(path: Path, members: dict[str, bytes]) -> Path:
    """A tar file of these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            known = tarfile.TarInfo(name)
            known.size = len(data)
            file.addfile(known, io.BytesIO(data))
    return path


def sample(photo: Path, key: str, **known: object) -> dict[str, bytes]:
    """A sample of WebDataset: an image and what is known of it."""
    return {f"{key}{photo.suffix}": photo.read_bytes(), f"{key}.json": json.dumps(known).encode()}


@pytest.fixture
def shards(photos, tmp_path):
    """Two shards of four and three images, with metadata; and the photos that are in them, in order."""
    files = sorted(path for path in photos(7).rglob("*") if path.is_file())
    for number, part in enumerate((files[:4], files[4:])):
        members: dict[str, bytes] = {}
        for place, photo in enumerate(part):
            members |= sample(photo, f"{photo.parent.name}/{place:03}", label=photo.parent.name, year=2000 + place)
        tar(tmp_path / "shards" / f"{number:03}.tar", members)
    return tmp_path / "shards", files


def vectors(store: Store) -> dict[str, np.ndarray]:
    column = store.find(LAYERS[0])
    rows = store.table.rows_where("status = 'ok'")
    return dict(zip(store.names(rows), store.vectors(column, rows).numpy(), strict=True))


@pytest.fixture
def expected(network, shards, tmp_path):
    """The vectors of the photos as files, in the order of the shards."""
    store = build(network, list(map(str, shards[1])), tmp_path / "expected")
    kept = vectors(store)
    return np.stack([kept[str(path)] for path in shards[1]])


@pytest.mark.parametrize("word", ["{000..001}.tar", "*.tar"])
def test_tar_shards_are_indexed_with_their_metadata(network, shards, expected, tmp_path, word):
    store = build(network, str(shards[0] / word), tmp_path / "store")
    assert np.array_equal(np.stack(list(vectors(store).values())), expected)
    assert store.names([0, 4]) == ("000.tar/cats/000.jpg", "001.tar/dogs/000.png")
    assert store.fields["year"] == "int64"
    assert len(store.table.rows_where("label = 'cats' AND year = 2000")) == 1
    rows = store.table.take([0], ["folder", "size"])
    assert rows["folder"] == ["cats"]
    assert rows["size"][0] == shards[1][0].stat().st_size


def test_a_store_of_shards_shows_patches_and_follows_changes(network, shards, tmp_path):
    place = tmp_path / "store"
    store = build(network, str(shards[0] / "*.tar"), place)
    assert patches(store, Channel("1", 1), k=2).notes == ()
    changed = sample(paint(tmp_path / "new.png", 99), "dogs/009", label="dogs", year="unknown")
    tar(shards[0] / "001.tar", changed)
    store = build(network, str(shards[0] / "*.tar"), place)
    assert store.names([3, 4]) == ("000.tar/cats/003.jpg", "001.tar/dogs/009.png")
    assert store.table.take([3, 4], ["year"])["year"] == ["2003", "unknown"]


def test_metadata_of_another_type_than_in_the_first_samples_are_counted(shards, tmp_path, monkeypatch):
    monkeypatch.setattr("triscope.which.places.shards._LOOKED_AT", 2)
    tar(shards[0] / "001.tar", sample(paint(tmp_path / "new.png", 99), "dogs/009", label="dogs", year="unknown"))
    collection = Collection(str(shards[0] / "*.tar"))
    assert collection.fields == {"label": "string", "year": "int64"}
    with pytest.warns(TriscopeWarning, match=r"left out, as null: year \(1\)"):
        assert [entry.metadata["year"] for entry in collection] == [2000, 2001, 2002, 2003, None]


def test_places_can_be_sent_to_another_process(shards):
    for entry in Collection(str(shards[0] / "*.tar")):
        again = pickle.loads(pickle.dumps(entry))
        assert isinstance(again.place, Place)
        assert again.read() == entry.read()
        assert (again.key, again.stamp) == (entry.key, entry.stamp)


def test_a_name_that_stands_twice_in_a_tar_is_one_image(tmp_path):
    path = tmp_path / "twice.tar"
    data = paint(tmp_path / "a.png", 1).read_bytes()
    with tarfile.open(path, "w") as file:
        for _ in range(2):
            known = tarfile.TarInfo("a.png")
            known.size = len(data)
            file.addfile(known, io.BytesIO(data))
    assert [entry.name for entry in Collection(str(path))] == ["twice.tar/a.png"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: str(folder / "none.tar"), "does not exist"),
        (lambda folder: str(folder / "{0..3}.tar"), "4 shards of .* are missing"),
        (lambda folder: str(folder / "{3..0}.tar"), "is not a range of shards"),
        (lambda folder: str(folder / "none*.tar"), "fits no file"),
        (lambda folder: _written(folder / "text.tar", b"no tar" * 200), "is not a plain tar file"),
        (lambda folder: _written(folder / "packed.tar.gz", b"\x1f\x8b" * 600), "is not a plain tar file"),
        (lambda folder: str(folder / "none.parquet"), "does not exist"),
        (lambda folder: _written(folder / "text.parquet", b"no parquet" * 20), "cannot be read: ArrowInvalid"),
        (lambda folder: "memory://nothing/here", "holds nothing, or does not exist"),
        (lambda folder: "nonesuch://nothing/here", "nonesuch:// is not a kind of address"),
        (lambda folder: "s3://key:hush-hush@bucket/photos", "holds credentials"),
        (lambda folder: "https://host/a?X-Amz-Signature=hush-hush", "holds a signature"),
    ],
)
def test_what_is_no_collection_is_said_in_a_sentence(tmp_path, make, said):
    with pytest.raises(StoreError, match=said) as caught:
        list(Collection(make(tmp_path)))
    assert "hush-hush" not in str(caught.value)


def _written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_a_member_that_is_cut_off_is_a_row_with_the_reason(network, shards, tmp_path):
    collection = Collection(str(shards[0] / "001.tar"))
    entries = list(collection)
    whole = (shards[0] / "001.tar").read_bytes()
    (shards[0] / "001.tar").write_bytes(whole[: entries[-1].place.offset + 10])
    with pytest.raises(ImageError, match="is cut short"):
        entries[-1].read()


def parquet(path: Path, files: list[Path], **columns: list[object]) -> Path:
    """Images in a column as Hugging Face keeps them, and other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    features = {"label": {"names": ["cats", "dogs"], "_type": "ClassLabel"}}
    table = pa.table({"image": pa.array(cells, kind), **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(about), path, row_group_size=2)
    return path


def test_tables_are_indexed_with_their_columns(network, shards, expected, tmp_path):
    files = shards[1]
    labels = [0 if file.parent.name == "cats" else 1 for file in files]
    parquet(tmp_path / "data" / "a.parquet", files[:5], label=labels[:5], score=[0.5] * 5, name=list("abcde"))
    parquet(tmp_path / "data" / "b.parquet", files[5:], label=labels[5:], score=[1.5] * 2, name=list("fg"))
    store = build(network, str(tmp_path / "data" / "*.parquet"), tmp_path / "store")
    kept = vectors(store)
    assert list(kept) == [*(f"a.parquet/{row}" for row in range(5)), "b.parquet/0", "b.parquet/1"]
    assert np.array_equal(np.stack(list(kept.values())), expected)
    rows = store.table.take([0, 6], ["label", "score_2", "name_2"])
    assert rows["label"] == [files[0].parent.name, files[6].parent.name]
    assert rows["score_2"].tolist() == [0.5, 1.5]
    assert rows["name_2"] == ["a", "g"]
    assert patches(store, Channel("1", 1), k=2).notes == ()


def test_a_row_without_an_image_is_told_and_a_table_without_images_refused(network, shards, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = [shards[1][0].read_bytes(), None]
    pq.write_table(pa.table({"text": [b"a", b"b"], "jpg": data}), tmp_path / "one.parquet")
    store = build(network, str(tmp_path / "one.parquet"), tmp_path / "store")
    assert store.errors() == [("one.parquet/1", f"{tmp_path}/one.parquet/1 holds no image: the cell is empty.")]
    pq.write_table(pa.table({"text": [b"a", b"b"]}), tmp_path / "none.parquet")
    with pytest.raises(StoreError, match="has no column of encoded images; its columns are text"):
        Collection(str(tmp_path / "none.parquet"))


@pytest.mark.parametrize("address", ["memory://pictures/some", "file://{}"])
def test_what_lies_at_an_address_is_indexed_like_a_folder(network, shards, expected, tmp_path, address):
    files = shards[1]
    address = address.format(tmp_path / "copy")
    system, root = fsspec.core.url_to_fs(address)
    for file in files:
        system.makedirs(f"{root}/{file.parent.name}", exist_ok=True)
        system.pipe_file(f"{root}/{file.parent.name}/{file.name}", file.read_bytes())
    system.pipe_file(f"{root}/notes.txt", b"words")
    collection = Collection(address)
    store = build(network, collection, tmp_path / "store")
    assert list(vectors(store)) == [f"{file.parent.name}/{file.name}" for file in files]
    assert np.array_equal(np.stack(list(vectors(store).values())), expected)
    assert collection.left_out == {".txt": 1}
    system.rm_file(f"{root}/{files[0].parent.name}/{files[0].name}")
    assert len(build(network, address, tmp_path / "store")) == 6
    assert [entry.name for entry in Collection(f"{address}/dogs/*.png")] == [
        file.name for file in files if file.parent.name == "dogs" and file.suffix == ".png"
    ]


def test_nothing_is_fetched_because_a_store_says_so(network, shards, tmp_path, monkeypatch):
    system, root = fsspec.core.url_to_fs("memory://bucket/deep")
    system.pipe_file(f"{root}/a.jpg", paint(tmp_path / "a.jpg", 1).read_bytes())
    built = build(network, "memory://bucket/deep", tmp_path / "store")
    assert patches(built, Channel("1", 1), k=1).notes == ()
    opened = Store.open(tmp_path / "store", network)
    monkeypatch.setattr(type(system), "cat_file", None)
    told = patches(opened, Channel("1", 1), k=1)
    assert "nothing is fetched because a store says so" in told.notes[0]
    assert neighbors(opened, 0, k=1) is not None
    monkeypatch.undo()
    assert patches(Store.open(tmp_path / "store", network, images="memory://bucket"), Channel("1", 1), k=1).notes == ()
    monkeypatch.setenv("TRISCOPE_IMAGES", "memory://buck")
    assert patches(opened, Channel("1", 1), k=1).notes != ()
    monkeypatch.setenv("TRISCOPE_IMAGES", "memory://bucket/deep/")
    assert patches(opened, Channel("1", 1), k=1).notes == ()
