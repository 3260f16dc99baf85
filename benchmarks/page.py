"""Speed of the live page, in Chromium on the bundled network: `python -m benchmarks.page`.

Besides wall-clock time, the CPU time of the server and of the browser is printed: on a shared machine only this can be
compared.
"""

import os
import shutil
import time
from pathlib import Path

import httpx
import torch
from playwright.sync_api import Page, sync_playwright
from torch import nn

import triscope as ts
from triscope.images.samples import sample_photo
from triscope.web.files import page_files

FLAGS = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def wide() -> ts.Network:
    """A network with a layer of 512 maps of 56 x 56."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 512, 5, stride=4, padding=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return ts.Network(module, size=224, name="wide")


def report(what: str, seconds: float, spent: tuple[float, float] | None = None, times: int = 1) -> None:
    """Print one figure, and the processor time of server and browser for each of `times`."""
    own = f"   server {1000 * spent[0] / times:6.1f} ms, browser {1000 * spent[1] / times:6.1f} ms" if spent else ""
    print(f"{what:<58}{seconds:8.3f} s{own}", flush=True)


class Spent:
    """Processor time since it was made: of this process, which serves, and of those below it, which are the browser."""

    def __init__(self) -> None:
        self.began = self._now()

    def __call__(self) -> tuple[float, float]:
        """(server, browser) in seconds."""
        server, browser = self._now()
        return server - self.began[0], browser - self.began[1]

    @staticmethod
    def _now() -> tuple[float, float]:
        parents, ticks = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            parents[int(folder.name)], ticks[int(folder.name)] = int(fields[1]), int(fields[11]) + int(fields[12])

        def below(process: int) -> bool:
            while process > 1:
                process = parents.get(process, 0)
                if process == os.getpid():
                    return True
            return False

        children = sum(spent for process, spent in ticks.items() if below(process))
        return time.process_time(), children / os.sysconf("SC_CLK_TCK")


def tiles(page: Page) -> None:
    """Each of two layers of 512 maps, one after the other; the page measures from the click to the frame after it."""
    page.evaluate(
        """() => { window.took = []; document.addEventListener('click', () => {
        const began = performance.now(); const canvas = document.querySelector('canvas.tiles');
        new MutationObserver((_, eye) => { eye.disconnect();
          requestAnimationFrame(() => took.push(performance.now() - began));
        }).observe(canvas, { attributeFilter: ['data-layer'] }); }, true); }"""
    )
    spent, turns = Spent(), 6
    for turn in range(turns):
        page.locator(".strip button").nth(1 - turn % 2).click()
        page.wait_for_selector(f"canvas.tiles[data-layer='{1 - turn % 2}'][data-drawn='512']")
        page.wait_for_timeout(50)
    took = sorted(page.evaluate("took"))
    report("512 tiles of 56 x 56, from the click to the drawn frame", took[len(took) // 2] / 1000, spent(), turns)


def camera(page: Page, method: str) -> None:
    """Frames a second over five seconds."""
    state = page.locator("[data-rate]")
    before, spent, began = int(state.get_attribute("data-frames") or 0), Spent(), time.perf_counter()
    page.wait_for_timeout(5000)
    frames = int(state.get_attribute("data-frames") or 0) - before
    seconds = time.perf_counter() - began
    report(
        f"camera, maps and classes, {method}: {frames / seconds:.1f} frames/s",
        seconds / max(1, frames),
        spent(),
        frames,
    )


def main() -> None:
    """Print the figures."""
    print(f"{'all files of the page':<58}{sum(map(len, page_files().values())) / 1000:8.0f} kB")
    running = ts.app([ts.load("pocket"), wide()], photos=[sample_photo("cat")])
    base = running.url.split("?")[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for turn in ("first visit", "second visit"):
            page.goto(running.url)
            page.wait_for_selector("canvas.tiles[data-drawn]")
            paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            report(f"first paint, {turn}", paint / 1000)
            page.goto("about:blank")
        page.goto(f"{base}#/network?network=1&layer=0")
        page.wait_for_selector("canvas.tiles[data-drawn='512']")
        tiles(page)
        began = time.perf_counter()
        page.goto(f"{base}#/unit?u=features.9%3A42")
        page.wait_for_selector(".panel.ready")
        report("unit page, until where it looks is drawn", time.perf_counter() - began)
        page.locator(".run button.main").click()
        page.locator(".state", has_text="step 3").wait_for()
        began = time.perf_counter()
        page.locator(".run button", has_text="Cancel").click()
        page.locator(".state", has_text="cancelled").wait_for()
        report("cancel, until the page says so", time.perf_counter() - began)
        for method in (None, "grad_cam"):
            page.goto(f"{base}#/camera?layer=features.4{f'&method={method}' if method else ''}")
            page.wait_for_selector("[data-rate]")
            page.wait_for_timeout(2000)
            camera(page, method or "no heatmap")
        browser.close()
    with httpx.Client(base_url=base, trust_env=False, follow_redirects=True) as client:
        client.get(running.url)
        same = {"Sec-Fetch-Site": "same-origin"}
        question = {"method": "ascend", "inputs": {"objective": "281"}, "options": {"steps": 1000}}
        job = client.post("/api/jobs", json=question, headers=same).json()
        time.sleep(2)
        began = time.perf_counter()
        client.post(f"/api/jobs/{job['id']}/cancel", headers=same)
        report("cancel, the answer", time.perf_counter() - began)
        client.post("/api/jobs", json={"method": "predict", "inputs": {"images": next(
            iter(client.get("/api/about").json()["photos"]))["id"]}}, headers=same)  # fmt: skip
        report("cancel, until the worker answers the next question", time.perf_counter() - began)
    running.close()


if __name__ == "__main__":
    main()
