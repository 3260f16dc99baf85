"""The collection: photos that are drawn around on a map, and the cells of a table of counts."""

import re
import threading

import numpy as np
import pytest

import triscope as ts
from benchmarks.quality._made import fill
from tests.browsers import wait_for_count
from tests.web.browsing import LOOKS, Opened
from tests.web.conftest import SAME, finished, paint, tiny
from triscope.web.microscope import Microscope
from triscope.web.packed import unpacked
from triscope.web.serving import serve
from triscope.which.maps import reduction
from triscope.which.maps.map import unit
from triscope.which.maps.page import sprites
from triscope.which.maps.page.sprites import atlases
from triscope.which.maps.pca import pca
from triscope.which.maps.rough import rough_map
from triscope.which.search.selection import Selected
from triscope.which.store import Store


def frame_of(page):
    page.wait_for_selector("iframe.frame")
    frame = page.frame_locator("iframe.frame")
    frame.locator("#count", has_text="image").wait_for()
    return frame


def test_a_map_in_the_page_leaves_its_heading_to_the_page(opened):
    opened.go("#/collection?method=pca")
    frame = frame_of(opened.page)
    assert frame.locator("header").bounding_box()["height"] <= 1
    place, stage = opened.page.locator("iframe.frame").bounding_box(), frame.locator("#stage").bounding_box()
    assert abs(stage["y"] + stage["height"] - place["y"] - place["height"]) < 4


def latest(running, kind):
    return [job.result for job in running.microscope.worker.jobs.values() if isinstance(job.result, kind)][-1]


def test_photos_that_are_drawn_around_are_told_from_the_rest(opened, page_of_collection):
    opened.go("#/collection?method=pca")
    page = opened.page
    frame = frame_of(page)
    frame.locator("#lasso").click()
    frame.locator("#canvas").scroll_into_view_if_needed()
    box = frame.locator("#canvas").bounding_box()
    left, top, right, bottom = box["x"] + 3, box["y"] + 3, box["x"] + box["width"] * 0.6, box["y"] + box["height"] - 4
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.locator(".near .mean img").wait_for()
    said = frame.locator("#picked h2").inner_text()
    found = latest(page_of_collection, Selected)
    assert 2 <= len(found.rows) < 14
    assert said == f"{len(found.rows)} images selected"
    wait_for_count(page.locator(".near .units tr"), 12)
    assert page.locator(".near .units th").first.inner_text() in (found.units[0].unit, found.units[0].name)
    wait_for_count(page.locator(".near .gallery img"), min(9, 14 - len(found.rows)))
    assert "rows=" in page.url
    page.reload()
    page.locator(".near .mean img").wait_for()


def test_a_selection_is_made_by_keys_alone(opened, page_of_collection):
    opened.go("#/collection?method=pca")
    frame = frame_of(opened.page)
    canvas = frame.locator("#canvas")
    canvas.focus()
    for key in ("Enter", "x", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "x"):
        canvas.press(key)
    taken = int(frame.locator("#picked h2").inner_text().split()[0])
    assert taken in (0, 1, 2)  # the second is the first again where the walk led back
    frame.locator("#search").fill("cat/")
    canvas.focus()
    canvas.press("a")
    frame.locator("#picked h2", has_text="6 images selected").wait_for()
    opened.page.locator(".near .detail", has_text="mean image of 6 photos").wait_for()
    found = latest(page_of_collection, Selected)
    store = page_of_collection.microscope.store
    assert {name.split("/")[0] for name in store.names(found.rows)} == {"cat"}


def test_a_unit_that_tells_a_selection_apart_leads_to_its_page(opened):
    opened.go("#/collection?method=pca&rows=2,3,5")
    opened.page.wait_for_selector(".near .units")
    frame_of(opened.page)
    across = opened.page.locator(".near").bounding_box()["x"]
    opened.page.evaluate("document.querySelector('iframe.frame').remove()")  # as it was before the map came
    assert opened.page.locator(".near").bounding_box()["x"] == across  # a link that jumps is missed by a click
    opened.page.locator(".near .units a").first.click()
    opened.page.wait_for_selector("main.page-unit")


def test_a_cell_of_the_table_shows_its_photos_which_are_asked_why(opened, page_of_collection):
    opened.go("#/collection?method=confusion")
    page = opened.page
    page.locator(".sheet-of-counts button").first.wait_for()
    total = sum(int(one.inner_text()) for one in page.locator(".sheet-of-counts button").all())
    assert total == len(page_of_collection.microscope.store)
    wrong = page.locator(".sheet-of-counts tr:has(th:text-is('cat')) td:not(.right) button").first
    wrong.focus()
    page.keyboard.press("Enter")
    page.locator(".cell .gallery img").first.wait_for()
    assert page.locator(".cell .gallery li").count() == int(wrong.inner_text())
    assert "and not cat?" in page.locator(".cell .detail").inner_text()
    page.locator(".cell .gallery a").first.click()
    page.wait_for_selector("main.page-image")
    page.locator(".panel.ready").first.wait_for()
    assert re.fullmatch(r"\d - 0", page.locator("#ask").input_value())


def test_the_table_names_the_rows_of_each_cell(page_of_collection):
    import httpx

    with httpx.Client(base_url=page_of_collection.url.split("?")[0], timeout=60, trust_env=False) as client:
        client.get(page_of_collection.url, follow_redirects=True)
        job = finished(client, {"method": "confusion"})
        table = client.get(f"/api/jobs/{job['id']}/facts").json()["matrix"]
        store = page_of_collection.microscope.store
        assert [line["total"] for line in table["lines"]] == [
            sum(cell["count"] for cell in line["cells"] if cell) for line in table["lines"]
        ]
        for line in table["lines"]:
            for answer, cell in zip(table["answers"], line["cells"], strict=True):
                if cell is None:
                    continue
                known = store.table.take(cell["rows"], ["folder", "answer"])
                assert {name or "(none)" for name in known["folder"]} == {line["label"]}
                assert set(known["answer"]) == {answer}
                assert len(cell["rows"]) == cell["count"]
                wrong = line["label"] in ("cat", "dog") and answer != line["label"]
                assert cell["question"] == f"Why {answer}{', and not ' + line['label'] if wrong else ''}?"
                assert (" - " in cell["unit"]) == wrong
        picked = finished(client, {"method": "selection", "options": {"rows": [2, 3]}})
        mean = client.get(f"/api/jobs/{picked['id']}/facts").json()["mean"]
        assert client.get(f"/api/jobs/{picked['id']}/parts/{mean}", headers=SAME).content.startswith(b"\xff\xd8")
        wrong = finished(client, {"method": "selection", "options": {"rows": [999]}})
        assert "Row 999 has no vector" in wrong["error"]


@pytest.fixture
def large(tmp_path, monkeypatch) -> Store:
    """A collection that counts as a large one, of which nothing was kept."""
    for name in ("web.collected", "which.maps.kept", "which.maps.rough"):
        monkeypatch.setattr(f"triscope.{name}.WORTH", 0)
    (tmp_path / "photos").mkdir()
    for seed in range(5):
        paint(tmp_path / "photos" / f"{seed}.png", seed)
    return Store.build(tiny(), tmp_path / "photos", layers=["3", "output"])


def wait_for_threads(name: str) -> None:
    for thread in [one for one in threading.enumerate() if one.name == name]:
        thread.join(60)


def test_the_map_of_a_large_collection_is_made_before_anybody_asks(large):
    scope = Microscope([large.network], large)
    wait_for_threads("triscope-map")
    wait_for_threads("triscope-thumbnails")
    scope.close()
    kept = {file.name.split("-")[0] for file in (large.path / "maps").iterdir()}
    assert kept == {"components", "sprites"}


def test_a_map_that_is_not_made_yet_begins_with_the_plane_of_a_few_pictures(large, monkeypatch, browser):
    """Its images go to where those of all are once these are found; thumbnails come as they are made."""
    whole, made = threading.Event(), threading.Event()

    def later(wait, make):
        def waits(*given, **how):
            assert wait.wait(60)
            return make(*given, **how)

        return waits

    monkeypatch.setattr("triscope.which.maps.reduction._coordinates", later(whole, reduction._coordinates))
    monkeypatch.setattr("triscope.which.maps.page.sprites._made", later(made, sprites._made))
    page = serve(Microscope([large.network], large))
    opened = Opened(browser, page, **LOOKS["wide"])
    opened.go("#/collection?method=pca")
    frame = frame_of(opened.page)
    assert frame.locator("#count").inner_text() == "5 images"
    assert "the exact one follows" in frame.locator("#note").inner_text()
    frame.locator("#search").fill("3.png")
    frame.locator("#count", has_text="1 of 5 match").wait_for()
    whole.set()
    frame.locator("#as-mosaic:enabled").wait_for()
    frame.locator("#note", has_text=re.compile("^Thumbnails are being prepared: 0%.$")).wait_for()
    window = opened.page.frames[-1]
    window.wait_for_function("() => !triscopeMap.moving")
    places = np.array([list(window.evaluate(f"triscopeMap.place({i})").values())[:2] for i in range(5)])
    expected = unit(pca(large).values)
    spans = [np.ptp(values, 0).max() for values in (places, expected)]
    assert np.allclose((places - places.mean(0)) / spans[0], (expected - expected.mean(0)) / spans[1], atol=1e-4)
    assert window.evaluate("triscopeMap.sheets") == 0
    made.set()
    frame.locator("#note:empty").wait_for(state="attached")
    window.wait_for_function("() => triscopeMap.sheets === 1")
    opened.context.close()
    page.close()
    assert opened.said == []


def test_the_pieces_of_a_map_say_what_its_page_does(page_of_collection):
    import httpx

    with httpx.Client(base_url=page_of_collection.url.split("?")[0], timeout=60, trust_env=False) as client:
        client.get(page_of_collection.url, follow_redirects=True)
        job = finished(client, {"method": "pca"})["id"]

        def piece(name: str, number: object = "") -> tuple:
            return unpacked(client.get(f"/api/jobs/{job}/pieces/{name}", params={"number": number}).content)

        made = pca(page_of_collection.microscope.store)
        told, parts = piece("places")
        assert np.array_equal(np.frombuffer(parts["places"], "<f4").reshape(-1, 2), unit(made.values))
        assert np.frombuffer(parts["rows"], "<i4").tolist() == made.rows.tolist()
        assert piece("names")[0]["names"] == list(made.names)
        grid, parts = piece("cells")
        cells = np.frombuffer(parts["cells"], "<i4").reshape(-1, 2)
        assert len({tuple(cell) for cell in cells}) == len(made) == 14
        assert (cells < grid["grid"]).all()
        indices, scores = made.neighbors()
        for place in range(14):
            found = piece("near", place)[0]["found"]
            assert [one for one, _ in found] == indices[place].tolist()
            assert np.allclose([far for _, far in found], scores[place], atol=1e-5)
        wait_for_threads("triscope-thumbnails")
        _, parts = piece("sheet", 0)
        whole = atlases([bytes(one) for one in made.store.table.take(made.rows, ["thumbnail"])["thumbnail"]])
        assert parts["jpeg"] == whole.jpegs[0]
        assert told["sheets"] == 1
        for name, number in (("near", 14), ("near", "x"), ("sheet", 1), ("other", "")):
            answer = client.get(f"/api/jobs/{job}/pieces/{name}", params={"number": number})
            assert (answer.status_code, len(answer.json()["error"]) > 10) == (400, True)
        other = finished(client, {"method": "confusion"})["id"]
        assert client.get(f"/api/jobs/{other}/pieces/places").status_code == 400


def test_a_layer_that_is_not_kept_is_told_with_the_command_that_adds_it(page_of_collection):
    scope = page_of_collection.microscope
    job = scope.job({"method": "top", "inputs": {"objective": "0:1"}})
    while not job.over:
        threading.Event().wait(0.01)
    assert "To add it: triscope index " in job.error
    assert job.error.endswith("--layer 0")


def test_the_plane_of_a_few_pictures_is_nearly_that_of_all(tmp_path, monkeypatch):
    """Of vectors along two strong directions and many weak ones, the places agree but for signs."""
    monkeypatch.setattr("triscope.which.maps.kept.WORTH", 100)
    monkeypatch.setattr("triscope.which.maps.rough.WORTH", 100)
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(64, 64)))[0] * np.r_[9, 5, np.full(62, 0.3)]
    vectors = (random.normal(size=(3000, 64)) @ axes.T).astype(np.float16)
    store, _ = fill(tmp_path / "store", 3000, lambda start, many: vectors[start : start + many], 64)
    rough, exact = rough_map(store, None), pca(store)
    assert rough.rows.tolist() == exact.rows.tolist()
    ours, theirs = rough.values.numpy(), exact.values.numpy()
    alike = [abs(np.corrcoef(ours[:, axis], theirs[:, axis])[0, 1]) for axis in (0, 1)]
    assert min(alike) > 0.98
    assert np.allclose(rough.kept[:2], exact.kept[:2], atol=0.08)
    assert rough_map(store, None) is None


def test_two_networks_say_side_by_side_which_photos_do(browser, tmp_path):
    """Each by a store of its own; what is near a photo is found for both."""
    (tmp_path / "photos").mkdir()
    files = [paint(tmp_path / "photos" / f"{seed}.png", seed) for seed in range(5)]
    networks = [tiny(), tiny("other", 1)]
    stores = [Store.build(one, tmp_path / "photos", tmp_path / one.name, layers=["3", "output"]) for one in networks]
    page = serve(Microscope(networks, stores, photos=files[:1]))
    opened = Opened(browser, page, **LOOKS["wide"])
    opened.go("#/unit?u=3%3A2&beside=1")
    opened.page.locator(".column").nth(2).locator(".gallery img").nth(12).wait_for(state="attached")
    column = opened.page.locator(".column").nth(2)
    column.locator(".scores svg").nth(1).wait_for(state="attached")
    assert column.locator(".scores svg").count() == 2
    best = [ts.top(store, "3:2").entries()[0]["row"] for store in stores]
    links = [one.get_attribute("href") for one in column.locator(".found:first-of-type .gallery a:first-of-type").all()]
    assert any(f"photo=row-{best[0]}&" in f"{link}&" for link in links)
    assert any(f"photo=row-{best[1]}.1&" in f"{link}&" for link in links)
    opened.go("#/collection?method=pca&row=2&beside=1")
    opened.page.locator(".near h3", has_text="by other").wait_for()
    opened.page.locator(".near .found").nth(1).locator(".gallery img").first.wait_for()
    opened.go("#/collection?method=pca&row=2&network=1")
    frame_of(opened.page)
    opened.page.locator(".near .gallery img").first.wait_for()
    assert "row-2.1" in opened.page.locator(".near .chosen").get_attribute("src")
    opened.context.close()
    page.close()
    assert opened.said == []
