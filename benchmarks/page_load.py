"""Memory of the live page over 500 requests and 60 tabs: `python -m benchmarks.page_load`."""

import gc
import shutil
import threading
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

import triscope as ts
from benchmarks.page import FLAGS
from triscope.images.samples import sample_photo

SAME = {"Sec-Fetch-Site": "same-origin"}


def resident() -> float:
    """Memory of this process, which serves, in MB."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def requests(client: httpx.Client, photo: str) -> None:
    """500 requests of five kinds, and the memory after each hundred."""
    layers = ["features.0", "features.4", "features.9"]
    print(f"{'memory before':<40}{resident():8.0f} MB", flush=True)
    for turn in range(100):
        layer = layers[turn % 3]
        client.get(f"/api/layer/tiles?layer={layer}&photo={photo}").raise_for_status()
        client.get(f"/api/predictions?photo={photo}").raise_for_status()
        client.get(f"/api/photos/{photo}/seen").raise_for_status()
        question = {"method": "saliency", "inputs": {"images": photo, "objective": str(turn % 7)}}
        job = client.post("/api/jobs", json=question, headers=SAME).json()
        client.get(f"/api/jobs/{job['id']}").raise_for_status()
        if turn % 20 == 19:
            print(f"{f'memory after {5 * (turn + 1)} requests':<40}{resident():8.0f} MB", flush=True)


def main() -> None:
    """Print the figures."""
    running = ts.app(ts.load("pocket"), photos=[sample_photo("cat")])
    base = running.url.split("?")[0]
    worker = running.microscope.worker
    with httpx.Client(base_url=base, trust_env=False, follow_redirects=True, timeout=60) as client:
        client.get(running.url)
        photo = client.get("/api/about").json()["photos"][0]["id"]
        requests(client, photo)
    threads = threading.active_count()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for _ in range(60):
            page = browser.new_page()
            page.goto(running.url)
            page.goto(f"{base}#/unit?u=281")
            page.wait_for_selector("h1")
            page.close()
        browser.close()
    until = time.monotonic() + 20
    while any(job.listeners for job in worker.jobs.values()) and time.monotonic() < until:
        time.sleep(0.1)
    left = sum(len(job.listeners) for job in worker.jobs.values())
    going = sum(not job.over for job in worker.jobs.values())
    print(f"after 60 tabs: {left} listeners, {going} jobs going on, {threading.active_count() - threads} more threads")
    print(f"{'memory after 60 tabs':<40}{resident():8.0f} MB")
    running.close()


if __name__ == "__main__":
    main()
