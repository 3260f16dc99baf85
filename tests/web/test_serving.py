"""The page as it is started and ended: from the command line, from Python, with a folder that is indexed meanwhile."""

import gc
import os
import re
import signal
import time

import httpx
import pytest

import triscope as ts
from tests.processes import TRISCOPE, started
from tests.web.conftest import paint, tiny
from triscope.errors import OptionError, StoreError
from triscope.web.microscope import Microscope
from triscope.web.serving import serve


def until(condition):
    for _ in range(3000):
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        paint(folder / f"{seed}.png", seed)
    return folder


def test_the_command_prints_an_address_indexes_the_folder_and_ends_with_ctrl_c(folder):
    with started(TRISCOPE, "app", os.fspath(folder), "--no-open") as process:
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url.split("?")[0], timeout=60, trust_env=False) as client:
            assert client.get(url, follow_redirects=True).status_code == 200
            known = until(lambda: (told := client.get("/api/collection").json()) and not told["indexing"] and told)
            assert (known["name"], known["pictures"]) == ("photos", 3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 0
    assert "Traceback" not in err, err[:3000]


def test_a_folder_that_is_none_and_a_host_without_a_token_are_refused_with_a_sentence(folder):
    for words, said in (
        ([os.fspath(folder / "nothing")], "is not a folder"),
        (["--host", "0.0.0.0", "--no-token", "--no-open"], "not served without its token"),
    ):
        with started(TRISCOPE, "app", *words) as process:
            _, err = process.communicate()
        assert process.returncode == 1
        assert said in err


def test_from_python_the_page_is_served_until_it_is_closed(folder):
    page = ts.app(tiny(), photos=[folder / "0.png"])
    try:
        assert httpx.get(page.url, follow_redirects=True, trust_env=False).status_code == 200
        assert page.url in page._repr_html_()
    finally:
        page.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url, trust_env=False)
    assert not page.microscope.worker._thread.is_alive()


def test_a_folder_is_indexed_while_questions_are_answered(folder):
    scope = Microscope([tiny()])
    try:
        scope.index(folder, folder / ".triscope")
        until(lambda: scope.store is not None and scope.indexing is None)
        assert scope.collection().facts()["pictures"] == 3
        scope.note("3:1", "stripes", star=True)
        assert (folder / ".triscope/notes.json").is_file()
    finally:
        scope.close()


def test_each_network_indexes_the_folder_into_a_store_of_its_own(folder):
    scope = Microscope([tiny(), tiny("other", 1)])
    try:
        scope.index(folder, folder / ".triscope")
        until(lambda: all(one.store is not None and one.indexing is None for one in scope.collections))
        stores = [scope.require_store(number) for number in (0, 1)]
        assert stores[0].path == folder / ".triscope"
        assert re.fullmatch(r"\.triscope-other-[0-9a-f]{8}", stores[1].path.name)
        for number in (0, 1):
            found = scope.scores("3:1", number)
            job = scope.job({"method": "top", "network": number, "inputs": {"objective": "3:1"}})
            until(lambda job=job: job.over)
            assert job.result.entries() == ts.top(stores[number], "3:1").entries()
            each = [scope.score("3:1", f"row-{row}{'.1' if number else ''}", number) for row in range(3)]
            assert found["most"] == pytest.approx(max(each), rel=1e-2)
            assert found["least"] == pytest.approx(min(each), rel=1e-2)
        with pytest.raises(StoreError, match="no such image"):
            scope.photo("row-3.1")
        with pytest.raises(OptionError, match="2 networks"):
            scope.photo("row-0.7")
    finally:
        scope.close()
    again = Microscope([tiny(), tiny("other", 1)])
    try:
        again.worker.background = lambda steps: None
        again.index(folder, folder / ".triscope")
        assert [len(one.require_store()) for one in again.collections] == [3, 3]  # before anything is indexed anew
    finally:
        again.close()


def test_until_a_second_network_has_indexed_anything_it_says_so(folder):
    scope = Microscope([tiny(), tiny("other", 1)])
    try:
        scope.worker.background = lambda steps: None
        scope.index(folder, folder / "elsewhere")
        with pytest.raises(StoreError, match="No photo is indexed by other yet"):
            scope.require_store(1)
    finally:
        scope.close()


def test_a_folder_without_photos_is_said_to_have_none(tmp_path):
    scope = Microscope([tiny()])
    try:
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
        scope.index(tmp_path / "empty", tmp_path / "store")
        assert until(lambda: scope.indexing and scope.indexing["error"]).startswith("empty holds no image")
        assert scope.about()["collections"][0]["indexing"]["error"]
    finally:
        scope.close()


def test_why_a_folder_cannot_be_indexed_is_told(tmp_path):
    scope = Microscope([tiny()])
    try:
        (tmp_path / "file").write_text("no folder")
        scope.index(tmp_path, tmp_path / "file")
        assert until(lambda: scope.indexing and scope.indexing.get("error"))
    finally:
        scope.close()


def test_a_port_that_is_taken_is_refused_with_a_sentence():
    page = serve(Microscope([tiny()]))
    scope = Microscope([tiny()])
    try:
        with pytest.raises(OptionError, match="--port 0 takes a free one"):
            serve(scope, port=page.port)
    finally:
        page.close()
        scope.close()


def test_memory_is_flat_over_many_requests(client):
    """What hundreds of requests leave behind is not hundreds of anything."""
    photo = client.get("/api/about").json()["photos"][0]["id"]

    def ask(times):
        for number in range(times):
            assert client.get(f"/api/layer?layer=1&photo={photo}").status_code == 200
            client.get(f"/api/jobs/none{number}")
        gc.collect()
        return len(gc.get_objects())

    ask(10)
    before = ask(10)
    assert ask(60) - before < 120


def test_networks_of_one_name_are_numbered():
    scope = Microscope([tiny(), tiny("tiny", 1), tiny("other")])
    try:
        assert [one["name"] for one in scope.about()["networks"]] == ["tiny (1)", "tiny (2)", "other"]
    finally:
        scope.close()
