"""The studio: earlier images beside the latest, settings restored from an image that is dropped; what is saved."""

import io

import PIL.Image

import triscope as ts
from tests.web.conftest import tiny


def ascended(page, times: int = 1) -> None:
    for _ in range(times):
        page.locator(".run button.main").click()
        page.locator(".state", has_text="done").wait_for()
        page.locator(".outcome .files").first.wait_for()


def test_an_earlier_picture_stands_beside_the_latest(opened):
    page = opened.page
    opened.go('#/studio?method=ascend&said={"inputs":{"objective":"1"},"options":{"steps":3,"size":24}}')
    ascended(page, 2)
    page.get_by_role("button", name="beside the latest").click()
    page.locator(".two canvas").wait_for()
    seen = page.locator(".two canvas").get_attribute("aria-label")
    assert seen == "the earlier | the latest"
    with page.expect_download() as saved:
        page.locator(".two .files a").click()
    with PIL.Image.open(saved.value.path()) as picture:
        assert picture.size == (448, 448)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100


def test_a_picture_that_is_dropped_anywhere_restores_its_settings(opened, tmp_path):
    page = opened.page
    file = ts.ascend(tiny(), "dog", steps=7, size=24, seed=5).save(tmp_path / "made.png")
    opened.go("#/studio?method=saliency")
    page.locator("h1", has_text="Saliency").wait_for()
    drop(page, file.read_bytes())
    page.locator("h1", has_text="Ascend").wait_for()
    assert page.get_by_label("steps", exact=True).input_value() == "7"
    assert page.get_by_label("seed", exact=True).input_value() == "5"


def test_a_picture_without_a_recipe_becomes_a_photo(opened):
    page = opened.page
    opened.go("#/studio?method=saliency")
    page.locator("h1", has_text="Saliency").wait_for()
    data = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (200, 30, 90)).save(data, "PNG")
    before = page.locator(".studio .thumb img").count()
    drop(page, data.getvalue())
    page.wait_for_selector("main.page-image")
    page.locator("h1", has_text="dropped.png").wait_for()
    opened.go("#/studio?method=saliency")
    page.locator(".studio .thumb img").nth(before).wait_for()
    assert all("400" in line for line in opened.said)  # the browser notes that there was no recipe
    opened.said.clear()


def test_a_layer_is_saved_as_it_is_seen_by_a_key(opened):
    page = opened.page
    opened.go("#/network?layer=1")
    page.wait_for_selector("canvas.tiles[data-layer='1']")
    with page.expect_download() as saved:
        page.keyboard.press("e")
    with PIL.Image.open(saved.value.path()) as picture:
        canvas = page.locator("canvas.tiles")
        assert picture.size == (canvas.evaluate("one => one.width"), canvas.evaluate("one => one.height"))


def drop(page, data: bytes) -> None:
    """Drop a file on the heading of the page."""
    moved = page.evaluate_handle(
        """bytes => { const moved = new DataTransfer();
        moved.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" })); return moved; }""",
        list(data),
    )
    page.dispatch_event("h1", "drop", {"dataTransfer": moved})
