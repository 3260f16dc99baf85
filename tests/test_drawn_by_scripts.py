"""Reports and results in notebooks where scripts run: drawn by the modules of the live page, and right; and without."""

import html
import re

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests import nets
from triscope import render
from triscope.pages.drawing import drawing_files, script
from triscope.reporting import report
from triscope.reporting.sections import SECTIONS
from triscope.results import Grid
from triscope.web.files import page_files

pytestmark = pytest.mark.usefixtures("brief")
SIZE = (48, 64)
SHOWN = ("First-layer filters", "Prediction", "Activation maps", "Saliency", "Guided backprop of the class")


@pytest.fixture(scope="module")
def net():
    return nets.network(nets.fill(nets.cnn()), name="tiny", size=SIZE, classes=["cup", "<script>dog", "bowl", "fox"])


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "cat.png"
    coarse = np.random.default_rng(0).integers(0, 255, (7, 9, 3), "uint8")
    PIL.Image.fromarray(coarse).resize(SIZE[::-1], PIL.Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def made(net, photo, tmp_path_factory):
    chosen = [one for one in SECTIONS if one.title in (*SHOWN, "Where, by eight methods")]
    return report(net, photo, sections=chosen).save(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser, made):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(made.as_uri())
    page.locator(".drawn .ends span").first.wait_for()
    yield page
    assert said == []
    page.close()


def number(text):
    """The number that a text begins with."""
    return float(re.match(r"−?[\d.]+(?:e[+−-]?\d+)?", text)[0].replace("−", "-"))


def framed(browser, result):
    """What a result shows in a notebook, in a browser."""
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.set_content(f"<!doctype html><title>notebook</title>{result._repr_html_()}")
    return page, page.frame_locator("iframe")


def pointed(page, stack, row, col, size):
    """Move the pointer to the middle of a position of a map."""
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    page.mouse.move(box["x"] + (col + 0.5) * box["width"] / size[1], box["y"] + (row + 0.5) * box["height"] / size[0])


def test_report_and_notebook_draw_by_the_modules_of_the_live_page():
    live = page_files()
    for name, module in drawing_files().items():
        if name.endswith(".js"):
            assert live[name] == module
            lines = [line for line in module.decode().splitlines() if len(line) > 40 and "/*" not in line]
            lines = [line for line in lines if not re.match(r"\s*(//|\*)|import |export ", line)]
            assert len(lines) > 10
            assert [line for line in lines if line.replace("</", "<\\/") not in script()] == []
    assert not re.search(r"\bfetch\(|EventSource|XMLHttpRequest|WebSocket|</", script())


def test_without_scripts_every_picture_and_number_is_shown(browser, made):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(made.as_uri())
    count = len(re.findall(r"<img", made.read_text("utf-8")))
    assert page.locator("img:visible").count() == count > 8
    assert page.locator("canvas, .drawn").count() == 0
    assert page.locator(".drawing .bars .value:visible").count() == 5
    context.close()


def test_with_scripts_maps_tiles_and_bars_are_drawn_in_their_places(opened):
    places = opened.locator(".drawing")
    assert places.count() == opened.locator(".drawing > .drawn").count() > 5
    assert opened.locator(".drawing > :not(.drawn):visible").count() == 0
    assert opened.locator(".drawn .stack").count() >= 4 + 5
    assert opened.locator(".drawn canvas.tiles").count() >= 2
    assert opened.locator(".drawn .bars li").count() == 5
    assert "<script>dog" in opened.locator(".drawn .bars").inner_text()


def test_the_number_under_the_pointer_is_the_maps_own(opened, net, photo):
    heat = ts.saliency(net, photo)
    place = opened.locator('.drawing[data-drawing*=\'"name":"saliency"\']').first
    for row, col in ((0, 0), (17, 40), (47, 63)):
        pointed(opened, place.locator(".stack"), row, col, SIZE)
        text = place.locator(".value").inner_text()
        assert f"at row {row}, column {col}" in text
        wanted = min(float(heat.values[0, 0, row, col]), heat.scale)
        assert number(text) == pytest.approx(wanted, abs=heat.scale / 200)


def test_colour_keeping_maps_are_read_too(opened, net, photo):
    heat = ts.guided_backprop(net, photo)
    place = opened.locator('.drawing[data-drawing*=\'"name":"guided_backprop"\']').first
    largest = heat.values[0].abs().amax(0)
    row, col = divmod(int(largest.argmax()), SIZE[1])
    pointed(opened, place.locator(".stack"), row, col, SIZE)
    shown = number(place.locator(".value").inner_text())
    assert abs(shown) == pytest.approx(min(float(largest[row, col]), heat.scale), abs=heat.scale / 100)


def test_one_pointer_reads_all_maps_of_the_photo(opened):
    pointed(opened, opened.locator(".drawn .stack").first, 10, 20, SIZE)
    texts = opened.locator(".drawn .panel .value").all_inner_texts()
    assert len(texts) >= 4 + 5
    assert {re.search(r"at row \d+, column \d+", text)[0] for text in texts} == {"at row 10, column 20"}
    opened.mouse.move(0, 0)
    assert all("score" in text for text in opened.locator(".drawn .panel .value").all_inner_texts())


def test_maps_under_which_a_photo_lies_are_read_from_their_levels(opened, net, photo):
    shown = ts.compare(net, photo)
    place = opened.locator('.drawing[data-drawing*=\'"name":"compare"\']')
    pointed(opened, place.locator(".stack").first, 30, 30, SIZE)
    for text, values in zip(place.locator(".panel .value").all_inner_texts(), shown.values[0, 0], strict=True):
        scale = render.scale_of(values[values != 0], 99.5)
        wanted = float(values[30, 30].clamp(-scale, scale))
        assert number(text) == pytest.approx(wanted, abs=scale / 100)


def test_the_photo_comes_through_a_map_by_a_slider(opened):
    place = opened.locator(".drawing:has(.stack)").first
    place.get_by_role("button", name="over the photo").click()
    assert "over" in place.locator(".stack").get_attribute("class")
    place.get_by_role("slider").fill("0.25")
    assert place.locator("canvas.heat").evaluate("(one) => one.style.opacity") == "0.25"


def test_tiles_tell_exact_numbers_also_by_keys(opened, net, photo):
    place = opened.locator(".drawing:has(canvas.tiles):has(.legend)").first
    title = re.search(r'"titles":\["([^"]+):\d+"', place.get_attribute("data-drawing"))[1]
    grid = ts.activations(net, photo, title, order="response", most=64)
    place.locator("canvas.tiles").focus()
    opened.keyboard.press("Home")
    text = place.locator(".value").inner_text()
    assert text.startswith(f"{grid.titles[0]}: largest ")
    assert number(text.partition("largest ")[2]) == pytest.approx(float(grid.values[0].max()), rel=1e-3)
    assert number(text.partition("mean ")[2]) == pytest.approx(float(grid.values[0].mean()), rel=1e-3)
    assert number(text.partition("here ")[2]) == pytest.approx(min(float(grid.values[0].max()), grid.scale), rel=0.02)


def test_a_picture_saved_from_the_page_is_what_the_command_writes(opened, net, photo, tmp_path):
    place = opened.locator('.drawing[data-drawing*=\'"name":"saliency"\']').first
    with opened.expect_download() as saved:
        place.get_by_role("link", name="png").click()
    saved.value.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes() == ts.saliency(net, photo).png()
    assert saved.value.suggested_filename == "saliency.png"


@pytest.mark.parametrize(
    ("ask", "seen"),
    [
        (ts.saliency, ".stack canvas.heat"),
        (lambda net, photo: ts.saliency(net, torch.rand(3, 3, *SIZE), 1), ".maps .stack >> nth=2"),
        (lambda net, photo: ts.compare(net, photo, methods=["saliency", "occlusion"]), ".maps .stack >> nth=1"),
        (lambda net, photo: ts.activations(net, photo, "0"), "canvas.tiles[data-drawn]"),
        (lambda net, photo: ts.filters(net), "canvas.tiles[data-drawn]"),
        (ts.predict, ".drawn .bars .value"),
    ],
    ids=["heatmap", "batch", "compare", "maps", "filters", "ranking"],
)
def test_a_result_in_a_notebook_is_a_sandboxed_frame(browser, net, photo, ask, seen):
    shown = ask(net, photo)._repr_html_()
    assert re.match(r'<iframe title="[^"]+" sandbox="allow-scripts" srcdoc="[^"]+" style="[^"]+"></iframe>$', shown)
    page, frame = framed(browser, ask(net, photo))
    said = []
    page.on("console", lambda message: said.append(message.text))
    frame.locator(seen).first.wait_for()
    assert frame.locator(".drawing > :not(.drawn):visible").count() == 0
    assert said == []
    page.close()


def test_in_a_notebook_without_scripts_the_picture_stays(net, photo):
    source = html.unescape(re.search('srcdoc="([^"]*)"', ts.saliency(net, photo)._repr_html_())[1])
    assert source.count("<img") == 1
    assert "default-src 'none'" in source


def test_what_is_only_a_picture_is_shown_as_a_picture(net, photo):
    assert ts.ascend(net, 1, steps=1, size=12)._repr_html_() is None
    assert ts.saliency(net, photo).overlay()._repr_html_() is None
    pictures = tuple(torch.rand(3, 4, 4) for _ in range(2))
    assert Grid(torch.rand(3, 4, 4), pictures=pictures, titles=("a", "b"), note="")._repr_html_() is None
