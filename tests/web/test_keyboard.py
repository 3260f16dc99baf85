"""The live page by arrows, Enter and letters alone: from page to page, without a pointer and without Tab."""

import re

from tests.browsers import wait_for_count


def test_the_units_of_a_layer_are_walked_by_arrows_home_and_end(opened):
    opened.show("network")
    page = opened.page
    name = page.locator(".numbers dt").first
    walk = (("ArrowRight", 0), ("ArrowRight", 1), ("End", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0))
    for key, unit in walk:
        page.keyboard.press(key)
        page.wait_for_selector(f".numbers dt:has-text('1:{unit}')")
        assert name.inner_text() == f"1:{unit}"
        assert page.locator("#said").inner_text().startswith(f"1:{unit}, largest ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("*")
    page.locator("#said", has_text="Starred").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_selector("main.page-unit h1:has-text('1:1@')")
    assert page.locator(".star").get_attribute("aria-pressed") == "true"
    page.keyboard.press("*")
    page.locator(".star[aria-pressed=false]").wait_for()


def test_a_unit_is_jumped_to_and_its_columns_are_reached(opened):
    opened.show("network")
    page = opened.page
    page.keyboard.press("/")
    page.keyboard.type("boat")
    page.keyboard.press("Enter")
    page.wait_for_selector("main.page-unit h1:has-text('boat')")
    page.locator("#jump").blur()
    for number in (3, 1, 2):
        page.keyboard.press(str(number))
        assert page.evaluate("[...document.querySelectorAll('.column')].indexOf(document.activeElement)") == number - 1
    page.keyboard.press("r")
    page.locator(".run .state", has_text=re.compile("step [1-9]")).wait_for()
    page.keyboard.press("Escape")
    page.locator(".run .state", has_text=re.compile("cancelled|done")).wait_for()
    page.locator(".run .history, .run .outcome").first.wait_for(state="attached")


def test_photos_and_pages_are_walked_by_keys(opened):
    opened.show("image")
    page = opened.page
    first = page.locator("h1").inner_text()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("h1:not(:has-text('one.png'))")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("h1:has-text('one.png')")
    assert page.locator("h1").inner_text() == first
    page.locator(".panel.ready").first.wait_for()
    page.keyboard.press("s")
    page.locator(".panel.ready .stack.over").first.wait_for()
    for name in ("collection", "studio", "camera", "network", "unit", "image"):
        page.keyboard.press("g")
        page.wait_for_selector(f"main.page-{name} h1")
        wait_for_count(page.locator("#bar [aria-current=page]"), 1)
    page.keyboard.press("?")
    page.locator("dialog.keys").wait_for()
    page.keyboard.press("Enter")  # on the one button that it has
    page.locator("dialog.keys").wait_for(state="detached")
