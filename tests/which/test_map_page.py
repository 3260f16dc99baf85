"""The page of a map, in a browser: what it draws where, what it answers, and that no name becomes code."""

import csv
import functools
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.tabbing import walk
from triscope.which.maps.page import Shown, page
from triscope.which.maps.page.sprites import LIMIT, atlases, tile_side

SETTLED = (
    "new Promise(done => { const look = () => triscopeMap.moving ? requestAnimationFrame(look) : done(); look(); })"
)
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
HOSTILE = (
    "<script>window.pwned = 1</script>",
    "</script><img src=x onerror='window.pwned=2'>",
    'quote " and, comma',
    "two\nlines\ttab",
    "lone \udc80 surrogate",
    "$title {{data}} <!-- ${names}",
    "=1+1",
    "﷽ דוגמה 例.jpg",
)


def colour(index: int, count: int) -> tuple[int, int, int]:
    """Colours that are at least 40 apart in some channel, for up to 216 images."""
    assert count <= 216
    return (20 + index % 6 * 43, 20 + index // 6 % 6 * 43, 20 + index // 36 * 43)


def jpeg(fill: tuple[int, int, int], size: tuple[int, int] = (96, 64)) -> bytes:
    data = io.BytesIO()
    PIL.Image.new("RGB", size, fill).save(data, "JPEG", quality=95, subsampling=0)
    return data.getvalue()


def shown(count: int, **changes) -> Shown:
    """Images of one colour each, wide and upright in turn, far enough apart on the map to be seen one by one."""
    return replace(usual(count), **changes)


@functools.cache
def usual(count: int) -> Shown:
    columns = max(1, int(np.ceil(np.sqrt(count))))
    order = np.random.default_rng(5).permutation(count)
    places = np.stack([order % columns, order // columns], 1) / max(columns - 1, 1)
    near = np.argsort(
        np.abs(np.arange(count)[:, None] - np.arange(count)[None]) + 1e9 * np.eye(count), axis=1, kind="stable"
    )
    k = max(0, min(4, count - 1))
    return Shown(
        title="t-SNE of <classifier.5>",
        captions=("All & everything.", "Distances between groups carry no meaning."),
        names=tuple(HOSTILE[i] if i < len(HOSTILE) else f"photo {i:03}.jpg" for i in range(count)),
        thumbnails=tuple(jpeg(colour(i, count), [(96, 64), (64, 96)][i % 2]) for i in range(count)),
        places=places.astype(np.float32),
        cells=np.stack(np.divmod(np.arange(count), columns), 1).astype(np.int32),
        grid=(-(-count // columns), columns),
        neighbors=near[:, :k].astype(np.int32),
        scores=np.full((count, k), 0.5, np.float32),
        fields={"label": tuple(f"kind {i % 3}" for i in range(count))},
        rest=np.zeros((0, 2), np.float32),
    )


class Opened:
    """A page in a browser, and hands to use it with."""

    def __init__(self, window, path, what: Shown) -> None:
        path.write_bytes(page(what))
        self.address, self.asked, self.said = path.as_uri(), [], []
        self.page = window
        self.hears = {
            "request": lambda request: self.asked.append(request.url),
            "console": lambda message: self.said.append(message.text),
            "pageerror": lambda error: self.said.append(str(error)),
        }
        for event, hear in self.hears.items():
            self.page.on(event, hear)
        self.page.goto(self.address)
        self.page.evaluate("triscopeMap.ready")
        self.settle()
        self.box = self.page.locator("#canvas").bounding_box()

    def settle(self) -> None:
        self.page.evaluate(SETTLED)

    def place(self, index: int) -> tuple[float, float]:
        """Where a picture's middle is, in pixels of the window."""
        place = self.page.evaluate(f"triscopeMap.place({index})")
        return self.box["x"] + place["x"], self.box["y"] + place["y"]

    def pixels(self, count: int) -> np.ndarray:
        """(count, 4) what the canvas holds in the middle of each image; NaN where that is out of sight."""
        return np.array(
            self.page.evaluate(
                """count => { const canvas = document.getElementById("canvas"), copy = document.createElement("canvas");
                const {width, height} = Object.assign(copy, {width: canvas.width, height: canvas.height});
                const pen = copy.getContext("2d", {willReadFrequently: true}), sharp = devicePixelRatio;
                pen.drawImage(canvas, 0, 0);
                return Array.from({length: count}, (_, i) => { const {x, y} = triscopeMap.place(i);
                if (x < 0 || y < 0 || x * sharp >= width || y * sharp >= height) return [NaN, NaN, NaN, NaN];
                return [...pen.getImageData(Math.floor(x * sharp), Math.floor(y * sharp), 1, 1).data]; }) }""",
                count,
            ),
            dtype=float,
        )

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def close(self) -> None:
        """Nothing was asked of anyone, nobody complained, and no name became code."""
        assert [url for url in self.asked if not url.startswith(("data:", "blob:"))] == [self.address]
        assert self.said == []
        assert self.page.evaluate("window.pwned === undefined")
        for event, hear in self.hears.items():
            self.page.remove_listener(event, hear)
        self.page.mouse.move(0, 0)
        self.page.goto("about:blank")


@pytest.fixture(scope="module")
def window(browser):
    """The window that most tests share, for a new one takes longer than a test: each shows a page of its own in it."""
    return browser.new_page(viewport={"width": 1280, "height": 900})


@pytest.fixture
def opened(browser, window, tmp_path):
    """Opens a page; in a window of its own where its size or anything else about it is asked for."""
    made, own = [], []

    def start(what: Shown, **context) -> Opened:
        if context:
            own.append(browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **context}))
        assert context or not made, "the window is taken"
        made.append(Opened(own[-1] if context else window, tmp_path / f"map{len(made)}.html", what))
        return made[-1]

    yield start
    for one in made:
        one.close()
    for each in own:
        each.close()


def right_photos(one: Opened, count: int) -> int:
    """How many images are in sight; each of them must be the one that belongs there."""
    seen = one.pixels(count)
    there = np.isfinite(seen[:, 0])
    expected = np.array([colour(i, count) for i in range(count)])
    assert np.abs(seen[there, :3] - expected[there]).max() <= 12
    assert (seen[there, 3] == 255).all()
    return int(there.sum())


@pytest.mark.parametrize("sharp", [1, 2])
def test_every_thumbnail_is_the_right_photo(opened, sharp):
    """On the map, in the mosaic, closer by, and back again."""
    one = opened(shown(150), device_scale_factor=sharp)
    assert right_photos(one, 150) == 150
    one.page.click("#as-mosaic")
    one.settle()
    assert one.page.evaluate("triscopeMap.mode") == "mosaic"
    assert right_photos(one, 150) == 150
    one.page.mouse.move(*one.place(75))
    for _ in range(4):
        one.page.mouse.wheel(0, -300)
    one.settle()
    assert 2 <= right_photos(one, 150) < 150
    one.page.keyboard.press("m")
    one.settle()
    assert right_photos(one, 150) == 150
    one.page.mouse.move(*one.place(75))
    one.page.mouse.wheel(0, -300)
    one.settle()
    assert 2 <= right_photos(one, 150) < 150


def test_several_atlases_are_drawn_from_rightly(opened, monkeypatch):
    monkeypatch.setattr(atlases, "__defaults__", (4 * 128,))
    assert len(atlases(shown(150).thumbnails).jpegs) == 10
    one = opened(shown(150))
    assert right_photos(one, 150) == 150


def test_the_mosaic_puts_each_picture_into_its_cell(opened):
    one = opened(shown(12))
    one.page.keyboard.press("m")
    one.settle()
    x, y = np.array([one.place(i) for i in range(12)]).T
    side = x[1] - x[0]
    np.testing.assert_allclose(x - x[0], side * (np.arange(12) % 4), atol=0.01)
    np.testing.assert_allclose(y - y[0], side * (np.arange(12) // 4), atol=0.01)


def test_the_pointer_zooms_around_itself_and_drags(opened):
    one = opened(shown(30))
    spot = one.place(11)
    one.page.mouse.move(*spot)
    before = one.page.evaluate("triscopeMap.scale")
    one.page.mouse.wheel(0, -200)
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") > 1.3 * before
    assert one.place(11) == pytest.approx(spot, abs=1)  # a wheel stands on whole pixels
    one.page.mouse.down()
    one.page.mouse.move(spot[0] + 50, spot[1] - 30, steps=5)
    one.page.mouse.up()
    one.settle()
    assert one.place(11) == pytest.approx((spot[0] + 50, spot[1] - 30), abs=1)
    assert one.page.evaluate("triscopeMap.chosen") == -1
    one.page.keyboard.press("0")
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") == pytest.approx(before)


def test_two_fingers_zoom_and_a_tap_chooses(opened):
    one = opened(shown(30), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    one.box = one.page.locator("#canvas").bounding_box()
    before, (x, y) = one.page.evaluate("triscopeMap.scale"), one.place(13)
    hands = one.page.context.new_cdp_session(one.page)

    def touch(kind: str, *xs: float) -> None:
        points = [{"x": at, "y": y, "id": number} for number, at in enumerate(xs)]
        hands.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x - 20, x + 20)
    for apart in (25, 30, 35, 40):
        touch("touchMove", x - apart, x + apart)
    touch("touchEnd")
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") == pytest.approx(2 * before, rel=0.1)
    assert one.place(13) == pytest.approx((x, y), abs=3)
    assert one.page.evaluate("triscopeMap.chosen") == -1
    one.page.touchscreen.tap(*one.place(13))
    assert one.page.evaluate("triscopeMap.chosen") == 13
    assert one.text("#chosen .subject .name") == "photo 013.jpg"
    assert one.page.locator("#card").is_hidden()


def test_the_keyboard_alone_is_enough(opened):
    one = opened(shown(25))
    one.page.focus("#canvas")
    scale, (x, y) = one.page.evaluate("triscopeMap.scale"), one.place(20)
    one.page.keyboard.press("ArrowLeft")
    one.page.keyboard.press("ArrowDown")
    assert one.place(20) == pytest.approx((x + 60, y - 60))
    one.page.keyboard.press("0")
    one.settle()
    assert one.place(20) == pytest.approx((x, y))
    one.page.keyboard.press("+")
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") == pytest.approx(1.6 * scale)
    one.page.keyboard.press("-")
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") == pytest.approx(scale)
    one.page.keyboard.press("Enter")
    middle = np.array([one.box["x"] + one.box["width"] / 2, one.box["y"] + one.box["height"] / 2])
    far = [np.hypot(*(np.array(one.place(i)) - middle)) for i in range(25)]
    assert one.page.evaluate("triscopeMap.chosen") == int(np.argmin(far))
    one.page.keyboard.press("/")
    one.page.keyboard.type("m0")
    assert one.page.evaluate("triscopeMap.mode") == "map"
    assert one.page.input_value("#search") == "m0"


@pytest.mark.parametrize("size", ["wide", "phone"])
def test_every_control_is_reached_by_tab_and_shows_it(opened, size):
    one = opened(shown(25, color_by="label"), **(PHONE if size == "phone" else {"color_scheme": "light"}))
    one.page.focus("#canvas")
    one.page.keyboard.press("Enter")
    one.page.keyboard.press("x")
    one.settle()
    assert walk(one.page) == ([], [])


def test_arrows_walk_from_picture_to_picture_and_each_is_announced(opened):
    one = opened(shown(25))
    said = one.page.locator("#said")
    assert (said.get_attribute("role"), said.get_attribute("aria-live")) == ("status", "polite")
    one.page.focus("#canvas")
    one.page.keyboard.press("Enter")
    chosen = one.page.evaluate("triscopeMap.chosen")
    name = one.text("#chosen .subject .name")
    assert said.text_content().startswith(f"Selected: {name}, label kind {chosen % 3}. Nearest: ")
    grid = np.rint(np.array(shown(25).places) * 4).astype(int)  # five by five
    where = {tuple(place): i for i, place in enumerate(grid.tolist())}
    assert grid[chosen].tolist() == [2, 2]
    for key, place in (("ArrowRight", (3, 2)), ("ArrowDown", (3, 3)), ("ArrowLeft", (2, 3)), ("ArrowUp", (2, 2))):
        one.page.keyboard.press(key)
        one.settle()
        assert one.page.evaluate("triscopeMap.chosen") == where[place]
        assert one.text("#chosen .subject .name") in said.text_content()
    for _ in range(3):
        one.page.keyboard.press("ArrowRight")
    one.settle()
    assert one.page.evaluate("triscopeMap.chosen") == where[4, 2]
    assert said.text_content() == "No image further right."
    before = one.place(3)
    one.page.keyboard.press("Shift+ArrowLeft")
    assert one.place(3) == pytest.approx((before[0] + 60, before[1]))
    one.page.keyboard.press("Escape")
    assert said.text_content() == ""
    one.page.fill("#search", "nothing like it")
    one.page.focus("#canvas")
    one.page.keyboard.press("Enter")
    assert said.text_content() == "No image matches."


@pytest.mark.parametrize("mosaic", [False, True])
def test_every_picture_is_reached_by_arrows(opened, mosaic):
    one = opened(shown(20))
    if mosaic:
        one.page.keyboard.press("m")
        one.settle()
    one.page.focus("#canvas")
    one.page.keyboard.press("Enter")
    reached = {one.page.evaluate("triscopeMap.chosen")}
    for _ in range(8):
        one.page.keyboard.press("ArrowLeft")
        one.page.keyboard.press("ArrowUp")
    for line in range(4):
        for _ in range(6):
            reached.add(one.page.evaluate("triscopeMap.chosen"))
            one.page.keyboard.press("ArrowLeft" if line % 2 else "ArrowRight")
        one.page.keyboard.press("ArrowDown")
    assert reached == {*range(20)}


def test_on_a_phone_the_selection_is_a_sheet_and_a_finger_scrolls_past_the_map(opened):
    fields = {"label": tuple(f"kind {i}" for i in range(30))}
    one = opened(shown(30, fields=fields), **PHONE)
    one.page.select_option("#color", "0")  # a legend below, so that there is something to scroll to
    one.settle()
    touch = "getComputedStyle(document.getElementById('canvas')).touchAction"
    assert one.page.evaluate(touch) == "pan-y"
    hands = one.page.context.new_cdp_session(one.page)

    def drag(up: float) -> None:
        x, y = one.box["x"] + one.box["width"] / 2, one.box["y"] + 120
        for step in range(16):
            at = {"x": x, "y": y - up * step / 15, "id": 0}
            hands.send("Input.dispatchTouchEvent", {"type": "touchMove" if step else "touchStart", "touchPoints": [at]})
            one.page.wait_for_timeout(16)
        hands.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        one.page.wait_for_timeout(300)

    drag(250)
    assert one.page.evaluate("scrollY") > 100
    one.page.evaluate("scrollTo(0, 0)")
    one.page.touchscreen.tap(*one.place(13))
    one.settle()
    sheet = one.page.locator("#chosen").bounding_box()
    assert (sheet["x"], sheet["width"]) == (0, 390)
    assert sheet["y"] + sheet["height"] == pytest.approx(844, abs=1)
    assert one.place(13)[1] < sheet["y"]  # what was chosen is above it
    one.page.click("#closer")
    one.page.click("#closer")
    one.settle()
    assert one.page.evaluate(touch) == "none"
    before = one.place(13)
    drag(100)  # closer by, a finger moves the map
    assert one.page.evaluate("scrollY") == 0
    assert one.place(13)[1] == pytest.approx(before[1] - 100, abs=8)
    one.page.click("#close")
    assert one.page.locator("#chosen").is_hidden()
    one.page.click("#fit")
    one.settle()
    assert one.page.evaluate(touch) == "pan-y"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_an_accessibility_checker_finds_nothing(opened, scheme, size):
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python for axe-core")
    axe = next(Path(package.__file__).parent.rglob("axe.min.js")).read_text("utf-8")
    one = opened(shown(40), color_scheme=scheme, **(PHONE if size == "phone" else {}))
    one.page.evaluate(axe)
    for act in ("0", "one.page.select_option", "chosen", "lasso"):
        if act == "one.page.select_option":
            one.page.select_option("#color", "0")
        elif act == "chosen":
            one.page.focus("#canvas")
            one.page.keyboard.press("Enter")
            one.settle()
        elif act == "lasso":
            one.page.click("#lasso")
        found = one.page.evaluate("axe.run().then(found => found.violations.map(one => [one.id, one.nodes.length]))")
        assert found == [], act


def test_a_double_click_goes_closer(opened):
    one = opened(shown(25))
    before = one.page.evaluate("triscopeMap.scale")
    one.page.mouse.dblclick(*one.place(7))
    one.settle()
    assert one.page.evaluate("triscopeMap.scale") == pytest.approx(2.5 * before)


def test_hover_shows_the_name_as_text(opened):
    one = opened(shown(20))
    for index, hostile in enumerate(HOSTILE):
        one.page.mouse.move(*one.place(index))
        one.settle()
        assert one.page.locator("#card").is_visible()
        name = hostile.replace("\n", "\\n").replace("\t", "\\t").replace("\udc80", "\\x80")
        assert one.page.locator("#card .name").text_content() == name
        assert one.text("#card dd") == f"kind {index % 3}"
        middle = one.page.evaluate(
            """() => { const canvas = document.querySelector("#card canvas"), copy = document.createElement("canvas");
            const pen = copy.getContext("2d", {willReadFrequently: true});
            pen.drawImage(canvas, -canvas.width / 2, -canvas.height / 2);
            return [...pen.getImageData(0, 0, 1, 1).data]; }"""
        )
        np.testing.assert_allclose(middle[:3], colour(index, 20), atol=12)
        one.page.mouse.move(one.box["x"] + 2, one.box["y"] + 2)
        assert one.page.locator("#card").is_hidden()


def test_search_dims_what_does_not_match_and_says_how_many_do(opened):
    one = opened(shown(30))
    one.page.keyboard.press("/")
    one.page.keyboard.type("PHOTO 01")
    one.settle()
    assert one.text("#count") == "10 of 30 match"
    assert one.page.locator("#count").get_attribute("aria-live") == "polite"
    clear = one.pixels(30)[:, 3] == 255
    assert clear.tolist() == [10 <= i < 20 for i in range(30)]
    one.page.fill("#search", "kind 2")
    one.settle()
    assert one.text("#count") == "10 of 30 match"
    one.page.fill("#search", "<script>window")
    assert one.text("#count") == "1 of 30 match"
    one.page.keyboard.press("Escape")
    one.settle()
    assert one.text("#count") == "30 images"
    assert one.page.input_value("#search") == ""


def test_colours_follow_a_field_and_the_legend_filters(opened):
    one = opened(shown(30))
    one.page.select_option("#color", label="label")
    one.settle()
    assert one.page.locator("#legend li").all_inner_texts() == ["kind 0\n10", "kind 1\n10", "kind 2\n10"]
    place = one.page.evaluate("triscopeMap.place(10)")  # wide, and of kind 1
    edge = one.page.evaluate(
        """({x, y, side}) => [...document.getElementById("canvas").getContext("2d")
        .getImageData(Math.round(x - side / 2 - 1.5), Math.round(y), 1, 1).data]""",
        place,
    )
    assert edge[:3] == [0xE6, 0x9F, 0x00]
    one.page.click("#legend li:nth-child(2) button")
    one.settle()
    assert one.page.evaluate("triscopeMap.lit") == 10
    assert one.text("#count") == "10 of 30 match"
    one.page.click("#legend li:nth-child(1) button")
    assert one.page.evaluate("triscopeMap.lit") == 20
    one.page.click("#legend li:nth-child(1) button")
    one.page.click("#legend li:nth-child(2) button")
    assert one.page.evaluate("triscopeMap.lit") == 30


def test_thirty_values_have_thirty_colours_and_more_share_a_grey_that_is_said(opened):
    fields = {
        "hostile <b>": tuple(HOSTILE[i % 8] if i < 16 else f"value {i}" for i in range(60)),
        "folder": tuple(f"folder {i % 30}" for i in range(60)),
    }
    one = opened(shown(60, fields=fields))
    one.page.select_option("#color", "0")
    assert one.page.locator("#legend li").count() == 36
    assert one.page.locator("#legend h2").text_content() == "hostile <b>"
    assert one.page.locator("#legend li").last.inner_text() == "17 others\n17"
    one.page.select_option("#color", "1")
    dots = "[...document.querySelectorAll('#legend i')].map(dot => getComputedStyle(dot).backgroundColor)"
    assert len({*one.page.evaluate(dots)}) == 30


def test_numbers_are_coloured_by_ranges(opened):
    one = opened(shown(60, fields={"year": (None, *range(1941, 2000))}))
    one.page.select_option("#color", "0")
    rows = one.page.locator("#legend li").all_inner_texts()
    assert rows[0] == "1941 to 1949\n9"
    assert rows[-1] == "(none)\n1"
    assert len(rows) == 7
    assert sum(int(row.split("\n")[1]) for row in rows) == 60
    one.page.click("#legend li:nth-child(1) button")
    one.settle()
    assert one.page.evaluate("triscopeMap.lit") == 9


def test_a_click_shows_the_nearest_neighbours(opened):
    one = opened(shown(30, scores=np.tile(np.float32([0.9, 0.8, np.nan, 0.6]), (30, 1))))
    one.page.mouse.click(*one.place(20))
    one.settle()
    assert one.text("#chosen .subject .name") == "photo 020.jpg"
    assert one.page.locator(".near .name").all_inner_texts() == [f"photo {i:03}.jpg" for i in (19, 21, 18, 22)]
    assert one.page.locator(".near .score").all_inner_texts() == ["0.900", "0.800", "", "0.600"]
    assert (one.pixels(30)[18:23, 3] == 255).all()
    one.page.click(".near li:nth-child(2) button")
    assert one.text("#chosen .subject .name") == "photo 021.jpg"
    one.page.keyboard.press("Escape")
    assert one.page.locator("#chosen").is_hidden()


@pytest.mark.parametrize("way", ["key", "button"])
def test_the_lasso_picks_and_exports(opened, way):
    one = opened(shown(30))
    places = np.array([one.place(i) for i in range(30)])
    left, top = places.min(0)
    inside = np.flatnonzero((places < np.array([left, top]) + 180).all(1))
    assert 1 < len(inside) < 30
    corners = [(left - 20, top - 20), (left + 180, top - 20), (left + 180, top + 180), (left - 20, top + 180)]
    if way == "key":
        one.page.keyboard.down("Shift")
    else:
        one.page.click("#lasso")
    one.page.mouse.move(*corners[0])
    one.page.mouse.down()
    for corner in corners[1:]:
        one.page.mouse.move(*corner, steps=4)
    one.page.mouse.up()
    if way == "key":
        one.page.keyboard.up("Shift")
    assert one.page.locator("#lasso").get_attribute("aria-pressed") == "false"
    assert one.page.evaluate("triscopeMap.picked") == inside.tolist()
    with one.page.expect_download() as download:
        one.page.click("#export")
    with download.value.path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    what = shown(30)
    assert rows[0] == ["name", "label", "x", "y"]
    shapes = {"\n": "\\n", "\t": "\\t", "\udc80": "\\x80"}
    names = [re.sub("[\n\t\udc80]", lambda found: shapes[found[0]], what.names[i]) for i in inside]
    assert [row[0] for row in rows[1:]] == names
    np.testing.assert_allclose([list(map(float, row[2:])) for row in rows[1:]], what.places[inside], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_pictures(opened, count):
    one = opened(shown(count))
    assert right_photos(one, count) == count if count else True
    one.page.keyboard.press("m")
    one.settle()
    for index in range(count):
        one.page.mouse.click(*one.place(index))
        assert one.page.evaluate("triscopeMap.chosen") == index
        assert one.page.locator(".near li").count() == count - 1


def test_pictures_all_in_one_place(opened):
    one = opened(shown(10, places=np.full((10, 2), 0.5, np.float32)))
    one.page.mouse.move(*one.place(0))
    assert one.page.locator("#card").is_visible()
    one.page.keyboard.press("m")
    one.settle()
    assert right_photos(one, 10) == 10


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_fits_the_screen_and_follows_the_scheme(opened, width, scheme):
    one = opened(shown(40), viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    paper = one.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) > 600) == (scheme == "light")
    aside = one.page.locator("aside").bounding_box()
    assert (aside["y"] >= one.box["y"] + one.box["height"] - 1) == (width < 600)
    assert one.text("h1") == "t-SNE of <classifier.5>"


def test_by_night_nothing_is_white_but_letters(opened):
    one = opened(shown(40, fields={"label": tuple(f"kind {i}" for i in range(40))}), color_scheme="dark")
    one.page.select_option("#color", "0")
    one.page.focus("#canvas")
    one.page.keyboard.press("Enter")
    one.settle()
    with PIL.Image.open(io.BytesIO(one.page.screenshot())) as screen:
        white = (np.asarray(screen.convert("RGB")) > 235).all(2)
    lines = np.lib.stride_tricks.sliding_window_view(white, 12, axis=1).all(2)  # no letter is so wide
    assert not lines.any()
    said = " ".join(one.text(".captions").split())
    assert said == "All & everything. Distances between groups carry no meaning."


def test_less_motion_where_that_is_asked_for(opened):
    one = opened(shown(40), reduced_motion="reduce")
    one.page.keyboard.press("m")
    one.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert not one.page.evaluate("triscopeMap.moving")
    assert right_photos(one, 40) == 40


@pytest.mark.slow
def test_twenty_thousand_pictures(opened):
    count = 20_000
    random = np.random.default_rng(0)
    few = [jpeg(colour(i, 216), (48, 32)) for i in range(216)]
    what = shown(
        216,
        names=tuple(f"{i}.jpg" for i in range(count)),
        thumbnails=tuple(few[i % 216] for i in range(count)),
        places=random.random((count, 2), np.float32),
        cells=np.stack(np.divmod(np.arange(count), 160), 1).astype(np.int32),
        grid=(125, 160),
        neighbors=random.integers(0, count, (count, 8), np.int32),
        scores=random.random((count, 8), np.float32),
        fields={"label": tuple(str(i % 216) for i in range(count))},
        rest=random.random((30_000, 2), np.float32),
    )
    one = opened(what)
    one.page.keyboard.press("m")
    one.settle()
    seen = one.pixels(count)
    expected = np.array([colour(i % 216, 216) for i in range(count)])
    assert np.abs(seen[:, :3] - expected).max() <= 12
    one.page.fill("#search", "19999")
    assert one.text("#count") == "1 of 20,000 match"


def decoded(data: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def tiles(made) -> Iterator[np.ndarray]:
    for sheet in map(decoded, made.jpegs):
        for top in range(0, sheet.shape[0], made.layout.tile):
            for left in range(0, sheet.shape[1], made.layout.tile):
                yield sheet[top : top + made.layout.tile, left : left + made.layout.tile]


@pytest.mark.parametrize(("count", "limit"), [(1, 4096), (7, 4096), (30, 256), (501, 400)])
def test_no_tile_bleeds_into_its_neighbour(count, limit):
    """To the last pixel of its tile an image is its own: black ones beside white ones show it."""
    fills = [(0, 0, 0) if (i * i) % 3 else (255, 255, 255) for i in range(count)]
    made = atlases([jpeg(fill, [(90, 41), (50, 128), (1, 128)][i % 3]) for i, fill in enumerate(fills)], limit)
    found = list(tiles(made))
    assert max(max(decoded(sheet).shape[:2]) for sheet in made.jpegs) <= limit
    for fill, tile in zip(fills, found, strict=False):
        assert np.abs(tile - fill).max() <= 2
    assert all(max(size) == made.layout.tile for size in made.sizes)
    assert [made.tones[0], len(made.tones)] == ["#ffffff", count]


def test_tiles_keep_the_blocks_of_a_jpeg_apart():
    sides = [tile_side(count) for count in (1, 500, 501, 2_000, 2_001, 6_000, 6_001, 20_000)]
    assert sides == sorted(sides, reverse=True)
    assert all(side % 16 == 0 for side in sides)
    assert 20_000 * sides[-1] ** 2 <= 2 * LIMIT**2


def test_a_picture_keeps_its_proportions_and_its_content():
    random = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)
    image = PIL.Image.fromarray(random).resize((96, 128), PIL.Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "PNG")
    made = atlases([data.getvalue()])
    assert made.sizes == [[96, 128]]
    inner = next(tiles(made))[:, 16:112]
    assert np.abs(inner - np.asarray(image).astype(int)).mean() < 4


def test_1596_photos_stay_under_four_megabytes(shared):
    files = sorted((shared / "images" / "caltech").rglob("*.jpg"))
    assert len(files) == 1596
    small = []
    for file in files[::4]:
        with PIL.Image.open(file) as image:
            image.draft("RGB", (256, 256))  # decoded at about that size, which is quicker
            image.thumbnail((128, 128))
            data = io.BytesIO()
            image.convert("RGB").save(data, "JPEG", quality=90)
            small.append(data.getvalue())
    count = len(files)
    what = shown(
        2,
        names=tuple(str(file) for file in files),
        thumbnails=tuple(small * 4),
        places=np.random.default_rng(0).random((count, 2), np.float32),
        cells=np.stack(np.divmod(np.arange(count), 40), 1).astype(np.int32),
        grid=(40, 40),
        neighbors=np.random.default_rng(1).integers(0, count, (count, 12), np.int32),
        scores=np.random.default_rng(2).random((count, 12), np.float32),
        fields={"label": tuple(file.parent.name for file in files)},
    )
    assert len(page(what)) < 4_000_000


def test_a_page_says_what_does_not_fit():
    with pytest.raises(ValueError, match="thumbnails are 2, names 3"):
        shown(3, thumbnails=(b"", b""))
    with pytest.raises(ValueError, match="'label' has 1 values for 3"):
        shown(3, fields={"label": ("one",)})
    with pytest.raises(ValueError, match="not a number"):
        shown(2, places=np.float32([[0, 1], [np.nan, 0]]))


def test_the_policy_names_the_script_and_the_style_by_their_digests():
    html = page(shown(3)).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert html.count("<script") == 2
    assert not re.search(r"\s(on\w+|style)=", html.split("<script", maxsplit=1)[0].split("</style>")[1])


def test_a_page_begins_with_the_colours_it_was_given(opened):
    one = opened(shown(30, color_by="label"))
    assert one.page.locator("#legend").is_visible()
    assert one.page.locator("#color option:checked").inner_text() == "label"
