"""The site that `make docs` has built: links lead somewhere, nothing comes from other hosts, and everybody can read it.

`make docs` names its folder in TRISCOPE_SITE; images of some pages are left beside it, to be looked at.
"""

import os
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browsers import chromium

pytestmark = pytest.mark.slow
LOOKS = {"wide": (1280, "light"), "phone": (390, "light"), "dark": (1280, "dark")}
#: Pages of each sort: lists, images, formulas and long tables, signatures, code with output.
LOOKED_AT = (
    "docs/index",
    "README",
    "docs/lecture",
    "docs/methods/relevance",
    "docs/reference/index",
    "docs/reference/names/objectives",
    "docs/gallery/index",
    "docs/gallery/where",
    "docs/matrix",
)
_LOADED = {"img": "src", "script": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        loaded = given.get(_LOADED.get(tag, ""), "")
        if loaded and given.get("rel") not in ("canonical", "next", "prev", "search", "index"):
            self.loads.append(loaded)


@pytest.fixture(scope="module")
def site() -> Path:
    built = Path(os.environ.get("TRISCOPE_SITE", "build/docs")).resolve()
    if not (built / "docs/index.html").exists():
        pytest.skip("needs the site: make docs")
    return built


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}


def test_links_lead_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            there = urlsplit(link)
            if there.scheme or there.netloc:
                continue
            target = (path.parent / unquote(there.path)).resolve() if there.path else path
            known = pages[target].anchors if target in pages else set()
            if not target.is_file() or (there.fragment and target in pages and unquote(there.fragment) not in known):
                broken.append((path.name, link))
    assert broken == []
    assert len(pages) > 70


def test_nothing_is_loaded_from_another_host(pages):
    assert [(path.name, one) for path, page in pages.items() for one in page.loads if urlsplit(one).netloc] == []


def test_pictures_are_described(pages, site):
    lecture = (site / "docs/lecture.html").read_text("utf-8")
    assert lecture.count("<img") >= 15
    assert "<!-- figure" not in lecture
    assert 'alt=""' not in lecture


def test_formulas_are_mathml_and_need_no_script(pages, site):
    shown = (site / "docs/methods/saliency.html").read_text("utf-8")
    assert "<math" in shown
    assert not any("mathjax" in one.lower() for page in pages.values() for one in page.loads)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium("--allow-file-access-from-files") as running:
        yield running


@pytest.mark.parametrize("look", LOOKS)
def test_no_page_breaks_a_rule_of_accessibility_or_asks_another_host(browser, site, look):
    package = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python for axe-core")
    axe = next(Path(package.__file__).parent.rglob("axe.min.js")).read_text("utf-8")
    width, scheme = LOOKS[look]
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked, said, wrong = [], [], {}
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    pictures = site.parent / "pictures"
    pictures.mkdir(exist_ok=True)
    for name in LOOKED_AT:
        page.goto((site / f"{name}.html").as_uri())
        page.evaluate(axe)
        found = page.evaluate(
            "axe.run().then(f => f.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)]))"
        )
        wide = page.evaluate("document.documentElement.scrollWidth")
        wrong |= {name: [*found, *([f"{wide} pixels wide"] if wide > width else [])]}
        page.screenshot(path=pictures / f"{name.replace('/', '-')}-{look}.png")
    page.close()
    assert {name: found for name, found in wrong.items() if found} == {}
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
