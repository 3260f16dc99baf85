"""The units of a network as a static site: from a disk, from a web server, for everybody, nothing from elsewhere."""

import functools
import http.server
import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

import triscope as ts
from tests import processes
from tests.tabbing import walk
from tests.web.conftest import HOSTILE, paint, tiny
from triscope.cli import main
from triscope.errors import StoreError
from triscope.pages.bundle import bundled
from triscope.unit_folder.manifest import TABLE
from triscope.which.store import Store

LOOKS = {
    "wide": {"viewport": {"width": 1280, "height": 900}},
    "tablet": {"viewport": {"width": 768, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
}
PAGES = {"front": "index.html", "layer": "3.html", "unit": "3.html#2", "class": "output.html#2"}
OPTIONS = {"size": 24, "steps": 2, "precision": "float32"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Units of two layers with patches, and of one that the store does not keep."""
    root = tmp_path_factory.mktemp("units")
    (root / "photos").mkdir()
    for seed, name in enumerate(("one.png", "<img src=x onerror=alert(1)>.png", "three.png")):
        paint(root / "photos" / name, seed)
    network = tiny()
    store = Store.build(network, root / "photos", layers=["3", "output"])
    return ts.UnitFolder.build(network, ["1", "3", "output"], root / "u", store=store, k=3, **OPTIONS)


@pytest.fixture(scope="module")
def site(folder, tmp_path_factory):
    store = ts.Store.open(folder.path.parent / "photos", tiny())
    return ts.export_app(folder, tmp_path_factory.mktemp("site"), maps=[ts.pca(store), ts.tsne(store)]).parent


@pytest.fixture(scope="module")
def served(site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Opened:
    """A page of the site in a browser; what it asked for, and what it said."""

    def __init__(self, browser, base, **look):
        self.asked, self.said, self.base = [], [], base
        self.context = browser.new_context(**look)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def _failed(self, request) -> None:
        if request.failure != "net::ERR_ABORTED":  # as where a page is left before its images are there
            self.said.append(f"failed: {request.url}")

    def go(self, name):
        self.page.goto("about:blank")
        self.page.goto(self.base + PAGES.get(name, name))
        self.page.wait_for_selector("h1")


@pytest.fixture(params=["disk", "server"])
def base(request, site):
    return f"{site.as_uri()}/" if request.param == "disk" else request.getfixturevalue("served")


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_suits_everybody_and_asks_nothing_from_elsewhere(browser, base, look):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    opened = Opened(browser, base, **LOOKS[look])
    try:
        for name in PAGES:
            opened.go(name)
            opened.page.wait_for_function("() => [...document.images].every((one) => one.complete && one.naturalWidth)")
            checked = axe.run(opened.page).response
            assert checked["passes"], name
            assert [(one["id"], one["nodes"][0]["html"][:120]) for one in checked["violations"]] == [], name
            assert walk(opened.page) == ([], []), name
            width = opened.page.evaluate("document.documentElement.scrollWidth")
            assert width <= LOOKS[look]["viewport"]["width"], f"{name} is wider than the window"
        assert opened.said == []
        assert len(opened.asked) >= len(PAGES)
        assert {url for url in opened.asked if not url.startswith((base, "data:", "about:"))} == set()
    finally:
        opened.context.close()


def test_a_unit_has_an_address_of_its_own_and_is_walked_to_by_keys(browser, base, folder):
    opened = Opened(browser, base, **LOOKS["wide"])
    page = opened.page
    try:
        opened.go("front")
        assert page.locator("main h2").all_inner_texts() == ["1", "3", "output"]
        page.keyboard.press("Tab")
        page.get_by_role("link", name=re.compile("^3 ReLU")).click()
        page.wait_for_selector(".wall a")
        assert page.locator(".wall a").count() == 6
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('3:1')")
        assert page.url.endswith("3.html#1")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("h1:has-text('3:2')")
        unit = next(one for one in folder.units if one.unit == "3:2")
        assert page.locator(".patches li").count() == len(unit.patches) == 3
        assert page.locator(".patch").first.get_attribute("aria-label") == unit.patches[0].name
        assert page.locator("code").inner_text() == (
            "triscope units 3 --channels 2 -o units --size 24 --steps 2 --precision float32"
        )
        page.keyboard.press("Escape")
        page.wait_for_selector(".wall a")
        page.keyboard.press("]")
        page.wait_for_selector("h1:has-text('output')")
        page.go_back()
        page.wait_for_selector("h1:has-text('3')")
        opened.go("1.html#0")
        assert "does not keep this layer" in page.locator(".which").inner_text()
        assert opened.said == []
    finally:
        opened.context.close()


def test_units_are_sorted_found_and_hidden(browser, site, folder):
    opened = Opened(browser, f"{site.as_uri()}/", **LOOKS["wide"])
    page = opened.page
    shown = lambda: [int(one.get_attribute("data-unit")) for one in page.locator(".wall a").all()]  # noqa: E731
    try:
        opened.go("layer")
        page.select_option("#sort", "score")
        own = [one for one in folder.units if one.layer == "3"]
        assert shown() == [one.channel for one in sorted(own, key=lambda one: -one.score)]
        page.select_option("#sort", "photo")
        assert shown() == [one.channel for one in sorted(own, key=lambda one: (-one.patches[0].score, one.channel))]
        page.fill("#find", "4")
        page.wait_for_selector(".wall[data-drawn='1']")
        assert shown() == [4]
        page.fill("#find", "nothing like this")
        page.wait_for_selector(".wall[data-drawn='0']", state="attached")
        assert "No unit matches" in page.locator("main").inner_text()
        opened.go("output.html")
        page.fill("#jump", "boat")
        page.press("#jump", "Enter")
        page.wait_for_selector("h1:has-text('boat')")
        assert opened.said == []
    finally:
        opened.context.close()


def test_hostile_names_stay_text(browser, site):
    opened = Opened(browser, f"{site.as_uri()}/", **LOOKS["wide"])
    try:
        opened.go("class")
        assert HOSTILE in opened.page.locator("h1").inner_text()
        assert opened.page.evaluate("window.pwned") is None
        assert opened.page.locator("main img[src=x]").count() == 0
    finally:
        opened.context.close()
    for page in site.glob("*.html"):
        assert "<img src=x" not in page.read_text("utf-8")


def test_without_a_script_every_picture_is_there(browser, site, folder):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto((site / "3.html").as_uri())
        assert page.locator(".wall img:visible").count() == sum(one.layer == "3" for one in folder.units)
        page.goto((site / "index.html").as_uri())
        assert page.locator(".layers a:visible").count() == 3
    finally:
        context.close()


def test_the_site_holds_the_pictures_and_each_page_names_its_script(folder, site):
    for unit in folder.units:
        place = folder.picture(unit)
        assert (site / place.relative_to(folder.path)).read_bytes() == place.read_bytes()
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        assert "default-src 'none'" in text
        assert len(re.findall(r"<script", text)) == 2
        assert not re.search(r"""(?:src|href)=["']https?:""", text)


def test_layers_without_units_are_named_and_a_folder_without_units_is_refused(folder, tmp_path):
    table = json.loads((folder.path / TABLE).read_text())
    shutil.copytree(folder.path, tmp_path / "u")
    table["units"] = [one for one in table["units"] if one["layer"] != "1"]
    (tmp_path / "u" / TABLE).write_text(json.dumps(table))
    front = ts.export_app(tmp_path / "u", tmp_path / "site").read_text("utf-8")
    assert re.findall(r'<li><a href="([^"]*)"><h2>([^<]*)</h2><span class="soft">\w+, (\d+) of', front) == [
        ("3.html", "3", "6"),
        ("output.html", "output", "5"),
    ]
    assert "Not in this copy: 1." in front
    assert not (tmp_path / "site/1.html").exists()
    (tmp_path / "u" / TABLE).write_text(json.dumps(table | {"units": []}))
    with pytest.raises(StoreError, match="no finished units yet"):
        ts.export_app(tmp_path / "u", tmp_path / "site")


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_photo_on_a_map_of_the_site_leads_to_the_units_it_activates_most(site, served, folder, browser, way):
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / "index.html").as_uri() if way == "file" else f"{served}/index.html")
    page.locator(".photo-maps a", has_text="PCA").click()
    page.locator("#count", has_text="3 images").wait_for()
    page.locator("#search").fill("three.png")
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    best = [one for one in folder.units if one.patches and one.patches[0].name == "three.png"]
    leads = page.locator(".leads a")
    leads.first.wait_for()
    assert {one.inner_text() for one in leads.all()[: len(best)]} == {one.title or one.unit for one in best[:12]}
    unit = next(one for one in folder.units if (one.title or one.unit) == leads.first.inner_text())
    leads.first.click()
    page.locator("h1", has_text=unit.title or unit.unit).wait_for()
    page.locator("nav a", has_text="t-SNE").click()
    page.locator(".kicker a", has_text="All layers").click()
    page.locator(".layers").wait_for()
    page.close()
    assert said == []


def test_the_command_makes_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("from tests.web.conftest import tiny\n\ndef make():\n    return tiny()\n")
    monkeypatch.setattr("triscope.cli.export._STEPS", 1)
    call = functools.partial(CliRunner().invoke, main, catch_exceptions=False)
    words = ["app", "--export", "site", "-m", "model.py:make"]
    done = call([*words, "--layer", "1"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "site/index.html\n"
    assert len(ts.UnitFolder.open("site/units")) == 4
    assert call(["app", "--export", "again", "--units", "site/units"]).exit_code == 0
    assert Path("again/index.html").is_file()
    assert [path.name for path in Path("again").glob("collection*")] == []
    Path("photos").mkdir()
    for seed in range(5):
        paint(Path("photos") / f"{seed}.png", seed)
    Store.build(tiny(), "photos", layers=["3", "output"])
    done = call(["app", "photos", "--export", "third", "--units", "site/units", "--map", "tsne"])
    assert done.exit_code == 0, done.output
    assert re.search(r"t-SNE of 3: 5 photos, \d\.\d MB, [\d,]+ bytes per photo", done.output)
    assert [path.name for path in Path("third").glob("collection*")] == ["collection-tsne.html"]
    assert "name its folder" in call(["app", "--export", "site", "--units", "site/units", "--map", "pca"]).output
    for wrong in (words, [*words, "--layer", "1", "--units", "u"], ["app", "--units", "u"]):
        refused = call(wrong)
        assert refused.exit_code == 1
        assert "--units" in refused.output


def test_a_site_is_written_where_no_server_is_installed(folder, tmp_path):
    program = (
        "import sys\n"
        "for name in ('starlette', 'uvicorn'): sys.modules[name] = None\n"
        "import triscope as ts\n"
        "print(ts.export_app(sys.argv[1], sys.argv[2]).name)"
    )
    code, out, err = processes.ran(program, str(folder.path), str(tmp_path / "site"), fresh=True)
    assert (code, out) == (0, "index.html\n"), err


def test_modules_become_one_script_in_the_order_of_their_imports(browser):
    modules = {
        "a.js": 'import { two } from "./b.js";\nimport { one } from "./c.js";\none(two);\n',
        "b.js": 'import { one } from "./c.js";\n\nexport const two = 2 * one();\n',
        "c.js": "let hidden = 1;\nexport function one() { return hidden; }\n",
    }
    script = bundled("a.js", modules.__getitem__)
    assert re.findall(r"^const module_(\w)", script, re.MULTILINE) == ["c", "b", "a"]
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    page = browser.new_page()
    assert page.evaluate(f"() => {{ {script}\nreturn module_b_js.two; }}") == 2
    page.close()
