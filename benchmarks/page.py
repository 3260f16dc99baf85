"""How quick the live page is, in Chromium on the bundled network: `python -m benchmarks.page`."""

import shutil
import time

import httpx
import torch
from playwright.sync_api import sync_playwright
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


def report(what: str, seconds: float) -> None:
    """Print one figure."""
    print(f"{what:<58}{seconds:8.3f} s")


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
        began = time.perf_counter()
        page.locator(".strip button", has_text="1").first.click()
        page.wait_for_selector("canvas.tiles[data-layer='1'][data-drawn='512']")
        report("512 tiles of 56 x 56, from the click until they are drawn", time.perf_counter() - began)
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
            page.wait_for_timeout(6000)
            rate = page.locator("[data-rate]").get_attribute("data-rate")
            print(f"{'camera, maps and classes, ' + (method or 'no heatmap'):<58}{rate:>8} frames/s")
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
