"""The collection: photos that are drawn around on a map, and the cells of a table of counts."""

import re
import threading

from tests.web.conftest import SAME, finished, paint, tiny
from triscope.web.microscope import Microscope
from triscope.which.search.selection import Selected
from triscope.which.store import Store


def frame_of(page):
    page.wait_for_selector("iframe.frame")
    frame = page.frame_locator("iframe.frame")
    frame.locator("#count", has_text="picture").wait_for()
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
    assert said == f"{len(found.rows)} pictures selected"
    assert page.locator(".near .units tr").count() == 12
    assert page.locator(".near .units th").first.inner_text() in (found.units[0].unit, found.units[0].name)
    assert page.locator(".near .gallery img").count() == min(9, 14 - len(found.rows))
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
    frame.locator("#picked h2", has_text="6 pictures selected").wait_for()
    opened.page.locator(".near .detail", has_text="mean picture of 6 photos").wait_for()
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
        for row, col, count, rows in table["cells"]:
            known = store.table.take(rows, ["folder", "answer"])
            assert {name or "(none)" for name in known["folder"]} == {table["labels"][row]}
            assert set(known["answer"]) == {table["answers"][col]}
            assert len(rows) == count
        picked = finished(client, {"method": "selection", "options": {"rows": [2, 3]}})
        mean = client.get(f"/api/jobs/{picked['id']}/facts").json()["mean"]
        assert client.get(f"/api/jobs/{picked['id']}/parts/{mean}", headers=SAME).content.startswith(b"\xff\xd8")
        wrong = finished(client, {"method": "selection", "options": {"rows": [999]}})
        assert "Row 999 has no vector" in wrong["error"]


def test_the_map_of_a_large_collection_is_made_before_anybody_asks(tmp_path, monkeypatch):
    for name in ("web.microscope", "which.maps.kept"):
        monkeypatch.setattr(f"triscope.{name}.WORTH", 0)
    (tmp_path / "photos").mkdir()
    for seed in range(4):
        paint(tmp_path / "photos" / f"{seed}.png", seed)
    network = tiny()
    store = Store.build(network, tmp_path / "photos", layers=["3", "output"])
    scope = Microscope([network], store)
    for thread in [one for one in threading.enumerate() if one.name == "triscope-map"]:
        thread.join(60)
    scope.close()
    kept = {file.name.split("-")[0] for file in (store.path / "maps").iterdir()}
    assert kept == {"components", "near", "sprites"}
