"""The pages in a browser: content, behaviour, no errors, no requests to other hosts, accessibility."""

import io
import re
import time
from collections.abc import Iterator

import PIL.Image
import pytest

from tests.browsers import wait_for_count
from tests.tabbing import walk
from tests.web.browsing import LOOKS, PAGES, Opened
from tests.web.conftest import HOSTILE, SAME
from triscope.methods import METHODS, ImagesArg, NetworkArg, Step, method
from triscope.results import Picture
from triscope.web.microscope import Microscope


@pytest.fixture(scope="module")
def running(page_of_collection):
    return page_of_collection


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_breaks_a_rule_of_accessibility_says_anything_or_asks_another_host(browser, running, look):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = Opened(browser, running, **LOOKS[look])
    try:
        wrong = {}
        for name in PAGES:
            page.show(name)
            # What stands in the frame is a page with tests of its own (tests/which/test_map_page.py).
            found = axe.run(page.page, context={"exclude": [["iframe"]]}, options={"iframes": False})
            wrong[name] = [(one["id"], one["nodes"][0]["html"][:120]) for one in found.response["violations"]]
            width = page.page.evaluate("document.documentElement.scrollWidth")
            assert width <= LOOKS[look]["viewport"]["width"], f"{name} is wider than the window"
        assert wrong == {name: [] for name in PAGES}
        assert page.said == []
        assert page.hosts() <= {running.url.split("/?")[0], "data:", "blob:"}
    finally:
        page.context.close()


@pytest.mark.parametrize("look", ["wide", "phone"])
def test_every_control_is_reached_by_tab_and_shows_it(browser, running, look):
    """On every page, from its bar to the last link; nothing keeps the focus, a frame least of all."""
    page = Opened(browser, running, **LOOKS[look])
    try:
        found = {}
        for name in PAGES:
            page.show(name)
            if name == "collection":
                frame = page.page.frame_locator("iframe.frame")
                frame.locator("#count", has_text="image").wait_for()
                frame.locator("#as-mosaic:enabled").wait_for()
            found[name] = walk(page.page)
        assert found == {name: ([], []) for name in PAGES}
    finally:
        page.context.close()


def test_the_layers_are_walked_by_keys_and_a_unit_is_opened_with_its_position(opened):
    opened.show("network")
    opened.page.keyboard.press("]")
    opened.page.wait_for_selector(".strip [aria-current]:has-text('2')")
    assert "layer=2" in opened.page.url
    opened.page.keyboard.press("[")
    opened.page.wait_for_selector("h1:has-text('1 ')")
    opened.page.wait_for_selector("canvas.tiles[data-drawn='4']")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowRight")
    opened.page.wait_for_selector(".numbers dt:has-text('1:1')")
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector("main.page-unit")
    assert re.search(r"u=1%3A1%40\d+%2C\d+", opened.page.url)


def test_the_number_under_the_pointer_is_exact(opened, running):
    opened.show("network")
    box = opened.page.locator("canvas.tiles").bounding_box()
    opened.page.mouse.move(box["x"] + 6, box["y"] + 6)
    text = opened.page.locator(".numbers div:has(dt:text-is('here')) dd")
    opened.page.locator(".numbers dd", has_text=" at 0, 0").first.wait_for()
    scope = running.microscope
    photo = scope.photos.listed()[0]["id"]
    values = scope.volume("1", photo).values
    shown = float(text.inner_text().split(" at ")[0].replace("−", "-"))
    assert shown == pytest.approx(float(values[0, 0, 0]), rel=1e-3, abs=1e-6)


def test_tiles_have_the_colours_of_their_numbers(opened, running):
    """The brightest position of a map is the brightest of its tile."""
    opened.show("network")
    scope = running.microscope
    facts = scope.volume("1", scope.photos.listed()[0]["id"]).facts()
    unit = max(range(4), key=lambda one: facts["max"][one])
    data = opened.page.locator("canvas.tiles").screenshot()
    with PIL.Image.open(io.BytesIO(data)) as image:
        pixels = image.convert("L")
    sizes = opened.page.evaluate(
        "(() => { const c = document.querySelector('canvas.tiles'); return [c.clientWidth, c.clientHeight]; })()"
    )
    tall = sizes[1] - 4
    wide = round(tall * facts["width"] / facts["height"])
    row, col = facts["peak"][unit]
    at = (2 + unit * (wide + 4) + (col + 0.5) * wide / facts["width"], 2 + (row + 0.5) * tall / facts["height"])
    assert pixels.getpixel((round(at[0]), round(at[1]))) > 200


def test_the_methods_of_where_are_cycled_by_a_key(opened):
    opened.show("unit")
    first = opened.page.locator("#where").input_value()
    opened.page.keyboard.press("b")
    opened.page.wait_for_selector(f".panel:not([data-method='{first}'])")
    second = opened.page.locator("#where").input_value()
    assert second != first
    assert f"where={second}" in opened.page.url


def test_an_ascent_runs_live_and_is_cancelled_with_what_it_has(opened):
    opened.show("unit")
    opened.page.locator(".run .options summary").click()
    opened.page.get_by_label("steps", exact=True).fill("5000")
    opened.page.get_by_label("size", exact=True).fill("32")
    opened.page.keyboard.press("Escape")
    opened.page.locator(".run button.main").click()
    opened.page.locator(".state", has_text=re.compile("step [1-9]")).wait_for()
    opened.page.locator("img.live").wait_for()
    opened.page.locator(".run button", has_text="Cancel").click()
    opened.page.locator(".state", has_text="the latest result is kept").wait_for()
    opened.page.locator(".run .files a", has_text="png").wait_for()
    assert "ts.ascend(network, '3:2@2,3'" in opened.page.locator(".run .same code").last.text_content()


def test_photos_of_the_collection_are_found_for_a_unit(opened):
    opened.go("#/unit?u=3%3A2")
    opened.page.locator(".histogram").wait_for()
    opened.page.locator(".found .gallery img").first.wait_for()
    wait_for_count(opened.page.locator(".found .gallery"), 2)


def test_notes_and_stars_are_kept_in_the_store(opened, running):
    opened.go("#/unit?u=3%3A1")
    opened.page.locator(".note-field input").fill("<b>stripes</b>")
    opened.page.locator(".note-field input").press("Enter")
    opened.page.locator(".star").click()
    opened.page.locator(".star[aria-pressed=true]").wait_for()
    again = Microscope([running.microscope.networks[0]], running.microscope.store)
    again.close()
    assert again.notes["3:1"] == {"text": "<b>stripes</b>", "star": True}


def test_a_click_on_a_class_asks_about_it_and_hostile_names_stay_text(opened):
    opened.show("image")
    opened.page.locator(".bars button", has_text="tiger cat").click()
    assert "unit=tiger+cat" in opened.page.url
    opened.page.locator(".panel.ready .value", has_text="tiger cat").first.wait_for()
    opened.page.locator(".bars button", has_text="<img src=x").click()
    opened.page.locator(".panel .value").first.wait_for()
    assert opened.page.evaluate("window.pwned === undefined")
    assert HOSTILE in opened.page.locator(".bars").inner_text()


def test_one_pointer_reads_all_maps(opened):
    opened.show("image")
    opened.page.locator(".panel.ready").nth(1).wait_for()
    opened.page.locator(".panel.ready .stack").first.hover(position={"x": 50, "y": 60})
    texts = [one.inner_text() for one in opened.page.locator(".panel.ready .value").all()]
    places = {re.search(r"row \d+, column \d+", text)[0] for text in texts if "row" in text}
    assert len(texts) >= 2
    assert len(places) == 1


def test_a_photo_chosen_on_the_map_shows_its_neighbours(opened):
    opened.show("collection")
    frame = opened.page.frame_locator("iframe.frame")
    frame.locator("#canvas").focus()
    frame.locator("#canvas").press("Enter")
    opened.page.locator(".near .gallery img").first.wait_for()
    assert "row=" in opened.page.url


def test_a_dropped_picture_restores_its_settings(opened, client_of, tmp_path):
    question = {"method": "ascend", "inputs": {"objective": "3:1"}, "options": {"steps": 3, "size": 24, "seed": 7}}
    saved = tmp_path / "saved.png"
    saved.write_bytes(client_of(question))
    opened.show("studio")
    opened.page.locator("#recipe").set_input_files(saved)
    opened.page.locator("details.options[open]").wait_for()
    assert opened.page.get_by_label("seed", exact=True).input_value() == "7"
    assert opened.page.get_by_label("Unit", exact=True).input_value() == "3:1"


@pytest.fixture
def client_of(running):
    """Asks a method and gives its PNG."""
    import httpx

    from tests.web.conftest import finished

    def ask(question) -> bytes:
        with httpx.Client(base_url=running.url.split("?")[0], timeout=60, trust_env=False) as client:
            client.get(running.url, follow_redirects=True)
            job = finished(client, question)
            return client.get(f"/api/jobs/{job['id']}/file?form=.png", headers=SAME).content

    return ask


def test_a_new_method_of_the_catalogue_is_on_the_page_without_a_line_of_script(browser, running):
    @method("what")
    def brighten(network: NetworkArg, images: ImagesArg, *, weight: float = 1.5) -> Iterator[Step[Picture]]:
        """A photo made brighter.

        weight    what each pixel is multiplied by
        """
        for index in range(1, 4):
            yield Step(index, 3, float(index), {}, Picture((images.images * weight).clamp(0, 1)))

    page = Opened(browser, running, **LOOKS["wide"])
    try:
        page.show("studio")
        page.page.locator(".methods a", has_text="Brighten").click()
        page.page.locator("h1", has_text="Brighten").wait_for()
        page.page.locator(".options summary").click()
        page.page.get_by_text("what each pixel is multiplied by").wait_for()
        page.page.get_by_label("weight", exact=True).fill("0.5")
        page.page.locator("button.main").click()
        page.page.locator(".state", has_text="done, step 3 of 3").wait_for()
        assert "weight=0.5" in page.page.locator(".same code").last.text_content()
        assert page.said == []
    finally:
        del METHODS["brighten"]
        page.context.close()


def test_the_camera_is_frozen_and_walked_on_with(opened):
    opened.show("camera")
    opened.page.locator(".bars li").first.wait_for()
    opened.page.locator("canvas.tiles[data-drawn]").wait_for()
    opened.page.locator("#cam-method").select_option(index=1)
    opened.page.locator(".stack.over").wait_for()
    opened.page.keyboard.press("f")
    opened.page.get_by_role("link", name="Ask about this frame").click()
    opened.page.wait_for_selector("main.page-image h1:has-text('camera')")


def test_another_network_is_asked_the_same(opened):
    opened.show("image")
    opened.page.get_by_label("Network", exact=True).select_option("1")
    opened.page.wait_for_selector("h1:has-text('as other sees it')")
    opened.page.wait_for_selector(".panel.ready")
    assert "network=1" in opened.page.url


def test_keys_are_listed(opened):
    opened.show("network")
    opened.page.keyboard.press("?")
    opened.page.locator("dialog.keys").wait_for()
    assert opened.page.locator("dialog.keys dt").count() >= 8


def test_tabs_that_are_closed_leave_nothing_behind(browser, running):
    for _ in range(5):
        page = Opened(browser, running, **LOOKS["wide"])
        page.go("#/image")
        page.page.wait_for_selector("h1:has-text('one.png')")
        page.context.close()
    jobs = running.microscope.worker.jobs.values()
    for _ in range(300):
        if not any(job.listeners for job in jobs):
            break
        time.sleep(0.05)
    assert not any(job.listeners for job in jobs)


def test_several_pictures_of_a_unit_are_asked_for_at_once(opened, running):
    opened.go("#/unit?u=3%3A2")
    opened.page.get_by_role("group", name="diverse").get_by_role("button", name="4", exact=True).click()
    opened.page.locator(".run .options summary").click()
    opened.page.get_by_label("steps", exact=True).fill("3")
    opened.page.get_by_label("size", exact=True).fill("24")
    opened.page.locator(".run button.main").click()
    opened.page.locator(".state", has_text="done, step 3 of 3").wait_for()
    result = next(
        job.result for job in reversed(running.microscope.worker.jobs.values()) if job.about["method"] == "ascend"
    )
    assert len(result) == 4
    assert "diverse=4" in opened.page.locator(".run .same code").last.text_content()


def test_what_only_asks_channels_says_nothing_about_a_class(opened):
    opened.go("#/unit?u=1")
    opened.page.locator(".found .gallery img").first.wait_for()
    opened.page.wait_for_timeout(300)
    assert "cuts out what one unit sees" not in opened.page.locator(".column").last.inner_text()


def test_the_way_of_an_ascent_is_saved_as_a_moving_picture(opened):
    opened.go("#/studio?method=ascend")
    opened.page.get_by_label("Unit", exact=True).fill("1:2")
    opened.page.locator("summary", has_text="options").click()
    opened.page.get_by_label("steps", exact=True).fill("60")
    opened.page.get_by_label("size", exact=True).fill("64")
    opened.page.locator("button.main").click()
    link = opened.page.locator(".files a", has_text="the steps as")
    link.wait_for()
    with opened.page.expect_download() as saved:
        link.click()
    with PIL.Image.open(saved.value.path()) as image:
        assert image.is_animated
        assert image.n_frames > 10
