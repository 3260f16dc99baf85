"""A first-time user's path through the live page, walked in Chromium: what docs/first-path.md shows.

    python docs/site/first_path.py        in an empty folder: writes images of the page, and times.json

Times are seconds since the command was typed. Without Playwright or a Chromium on the PATH it says so and ends with 3.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from triscope.images import read_image, to_pil
from triscope.images.samples import SAMPLES, sample_photo

MY_FILE = """import triscope as ts


def net():
    return ts.load("pocket")
"""
COMMAND = ("app", "photos", "-m", "my.py:net", "--no-open")
_WAIT = 300_000  # milliseconds
_STEPS = 64


def make_photos(folder: Path) -> None:
    """Crops of the sample photos, nine of each."""
    folder.mkdir()
    for name in SAMPLES:
        whole = to_pil(read_image(sample_photo(name))[0]).convert("RGB")
        side = min(whole.size) * 2 // 3
        for place in range(9):
            left, top = ((full - side) * part // 2 for full, part in zip(whole.size, divmod(place, 3), strict=True))
            whole.crop((left, top, left + side, top + side)).save(folder / f"{name}-{place}.jpg")


def walk(browser: Any, here: Path) -> dict[str, float]:
    """Walk the path in `here`, an empty folder; returns when each station was reached."""
    (here / "my.py").write_text(MY_FILE, "utf-8")
    make_photos(here / "photos")
    times: dict[str, float] = {}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "triscope", *COMMAND],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            page.set_default_timeout(_WAIT)

            def reached(name: str) -> None:
                times[name] = round(time.perf_counter() - began, 1)
                page.wait_for_timeout(300)  # what fades in has
                page.screenshot(path=here / f"{name}.png")

            times["address"] = round(time.perf_counter() - began, 1)
            _look_around(page, url, reached)
            with page.expect_download() as saved:
                page.locator(".run .files a", has_text="png").first.click()
            saved.value.save_as(here / "exported.png")
            times["exported"] = round(time.perf_counter() - began, 1)
        finally:
            server.terminate()
            server.wait(timeout=60)
    return times


def _look_around(page: Any, url: str, reached: Callable[[str], None]) -> None:
    """From the first page to a unit that sees something, and what would excite it."""
    base = url.partition("?")[0]
    page.goto(url)
    page.wait_for_selector("canvas.tiles[data-drawn]")
    reached("network")
    page.goto(f"{base}#/collection")
    page.frame_locator("iframe.frame").locator("#count", has_text=f"{9 * len(SAMPLES)} images").wait_for()
    reached("collection")
    page.goto(f"{base}#/network?layer=features.9&sort=max")
    page.wait_for_selector("canvas.tiles[data-layer='features.9']")
    page.locator("canvas.tiles").focus()
    for key in ("ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(".panel.ready")
    page.locator(".found img").first.wait_for()
    page.get_by_label("Note on this unit").fill("faces?")
    reached("unit")
    page.locator(".run summary", has_text="options").click()
    page.get_by_label("steps", exact=True).fill(str(_STEPS))
    page.locator(".run button.main").click()
    page.locator(".run .state", has_text="done").wait_for()
    page.locator(".run .files a").first.wait_for()
    page.locator(".run summary", has_text="options").click()
    page.evaluate("scrollTo(0, 0)")
    reached("ascended")


def main() -> int:
    """Walk it here; whether it could be walked."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        sys.stderr.write("There is no browser to be driven: install Playwright and Chromium.\n")
        return 3
    here = Path.cwd()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        times = walk(browser, here)
        browser.close()
    (here / "times.json").write_text(json.dumps(times), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
