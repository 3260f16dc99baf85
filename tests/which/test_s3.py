"""Images and stores in S3, by a server on this machine: the same rows as from a folder into a folder."""

import json
import os
import threading
import urllib.request

import pytest

from tests.processes import TRISCOPE, ran, started
from tests.which.test_indexing import LAYERS, build, contents
from tests.which.test_places import parquet, sample, tar
from triscope.errors import StoreError
from triscope.which.checking import check
from triscope.which.collection import Collection
from triscope.which.database import lease
from triscope.which.database.durable import locked
from triscope.which.database.location import folder_of
from triscope.which.search.neighbors import neighbors
from triscope.which.store import Store

pytest.importorskip("s3fs", reason="needs s3fs: pip install 'triscope[remote]'")
pytest.importorskip("upath", reason="needs universal-pathlib: pip install 'triscope[remote]'")
moto = pytest.importorskip("moto.server", reason="needs moto: make test-all")
# The server and the client leave sockets to the garbage collector.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SECRET = "hush-hush-9f2c"


@pytest.fixture
def s3(monkeypatch):
    """A server of S3 with an empty bucket, which the environment names; what opens it."""
    import fsspec

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    known = {"AWS_ACCESS_KEY_ID": "key-of-tests", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
    known |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"").close()
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    yield system
    server.stop()


@pytest.fixture
def files(s3, photos):
    """Seven photos in the bucket, and the folder that they come from."""
    folder = photos(7)
    for path in folder.rglob("*.*"):
        s3.pipe_file(f"bucket/photos/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return folder


def test_images_and_stores_in_s3_are_those_of_a_folder(s3, files, network, tmp_path):
    expected = contents(build(network, files, tmp_path / "expected"))
    assert contents(build(network, "s3://bucket/photos", tmp_path / "store")) == expected
    assert contents(build(network, files, "s3://bucket/stores/one")) == expected
    store = build(network, "s3://bucket/photos", "s3://bucket/stores/two")
    assert contents(store) == expected
    assert not s3.exists("bucket/stores/two/lock")
    s3.rm_file("bucket/photos/cats/001.jpg")
    s3.pipe_file("bucket/photos/cats/002.png", (files / "dogs" / "000.png").read_bytes())
    again = contents(build(network, "s3://bucket/photos", "s3://bucket/stores/two"))
    assert set(expected) - set(again) == {"cats/001.jpg"}
    assert again["cats/002.png"] == expected["dogs/000.png"]
    assert check("s3://bucket/stores/two").wrong == {}


def test_a_store_in_s3_is_searched_and_given_layers(s3, files, network):
    build(network, "s3://bucket/photos", "s3://bucket/store", layers=["7"])
    store = build(network, "s3://bucket/photos", "s3://bucket/store", layers=["1"])
    assert [column.layer for column in store.columns] == ["7", "1", "1", "1", "input"]
    assert not s3.glob("bucket/store/adding-*")
    found = neighbors(Store.open("s3://bucket/store", network), 0, "7", k=3)
    assert len(found.names) == 3
    assert "bucket" not in found.recipe.to_json()


def test_shards_and_tables_in_s3_are_those_of_a_folder(s3, files, network, tmp_path):
    photos = sorted(path for path in files.rglob("*.*") if path.is_file())
    members: dict[str, bytes] = {}
    for number, path in enumerate(photos):
        members |= sample(path, f"{number:03}", label=path.parent.name)
    shard = tar(tmp_path / "shards" / "0.tar", members)
    table = parquet(tmp_path / "tables" / "a.parquet", photos, label=[0] * 7)
    for path in (shard, table):
        s3.pipe_file(f"bucket/{path.name}", path.read_bytes())
    for local, remote in ((shard, "s3://bucket/{0..0}.tar"), (table, "s3://bucket/a.parquet")):
        expected = contents(build(network, str(local), tmp_path / f"{local.name}-here"))
        assert contents(build(network, remote, tmp_path / f"{local.name}-there")) == expected
        assert len(expected) == 7


def test_credentials_stand_nowhere(s3, files, network, tmp_path, monkeypatch):
    store = build(network, "s3://bucket/photos", tmp_path / "store")
    neighbors(store, 0, "7", k=2).save(tmp_path / "found.json")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "photos" not in path.parts)
    assert SECRET.encode() not in kept
    assert b"key-of-tests" not in kept
    assert "bucket" not in json.dumps(json.loads((tmp_path / "found.json").read_text())["recipe"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, out, err = ran(TRISCOPE, "index", "s3://bucket/photos", "--store", str(tmp_path / "other"))
    assert code == 1
    assert "s3://bucket/photos cannot be read" in err
    assert "Traceback" not in err
    assert SECRET not in out + err


def test_what_s3_does_not_give_is_said(s3, files, network, tmp_path):
    with pytest.raises(StoreError, match=r"s3://nonesuch/photos (does not exist|holds nothing)"):
        list(Collection("s3://nonesuch/photos"))
    with pytest.raises(StoreError, match="s3://bucket/none holds no store"):
        Store.open("s3://bucket/none")
    with pytest.raises(StoreError, match=r"not at ftp://host/store"):
        build(network, files, "ftp://host/store")


def test_one_writer_at_a_time_and_a_lock_that_was_left_is_taken_away(s3, monkeypatch):
    monkeypatch.setattr(lease, "_RENEWED", 0.2)
    monkeypatch.setattr(lease, "_STALE", 1.5)
    monkeypatch.setattr(lease, "_ASKED", 0.05)
    folder, order = folder_of("s3://bucket/locked"), []

    def write(name: str) -> None:
        with locked(folder):
            order.append(f"{name} begins")
            threading.Event().wait(2.5)  # longer than a lock without a sign of life is held
            order.append(f"{name} ends")

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [told.split()[1] for told in order] == ["begins", "ends"] * 2
    s3.pipe_file("bucket/locked/lock", b"left by a process that was killed")
    with locked(folder):
        order.append("c")
    assert order[-1] == "c"


def test_a_writer_that_was_killed_is_gone_on_from(s3, files, network, tmp_path):
    program = (
        "import os, sys\nfrom tests.which.conftest import tiny_network\n"
        "from triscope.which.indexing.index import Pace, index\n"
        f"for step in index(tiny_network(), 's3://bucket/photos', 's3://bucket/store', layers={LAYERS!r},\n"
        "                  precision='float32', pace=Pace(batch=2, unit=2)):\n"
        "    if step.stored >= 4: os._exit(9)\n"
    )
    with started(program) as process:
        assert process.wait() == 9, process.stderr.read()
    assert len(Store.open("s3://bucket/store")) == 4
    assert os.environ["AWS_ACCESS_KEY_ID"] == "key-of-tests"
    expected = contents(build(network, files, tmp_path / "expected", batch=2))
    assert contents(build(network, "s3://bucket/photos", "s3://bucket/store", batch=2)) == expected
