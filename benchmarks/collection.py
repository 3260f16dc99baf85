"""Loading time and frame rate of the map of a large collection, in Chromium.

    python -m benchmarks.collection [--store FOLDER] [--count 21000] [--tsne]

The collection is synthetic: vectors as in `benchmarks.search`, thumbnails cut from the sample photos. It is opened in
the live page for the first time, and again by a restarted server. A map counts as usable when it can be moved and
searched; positions computed from all images, and thumbnails, may come later. Then the map is dragged and zoomed for two
seconds each, and frames are counted; the same is done with the page that `triscope pca -o map.html` writes.
"""

import argparse
import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
from playwright.sync_api import Frame, Page, sync_playwright

import triscope as ts
from benchmarks.page import FLAGS, Spent, report
from benchmarks.quality._made import fill
from benchmarks.search import Made
from triscope.images.samples import SAMPLES, sample_photo
from triscope.web.microscope import Microscope
from triscope.web.serving import serve
from triscope.which.store import Store

_LENGTH = 512
_GAP = 33.4  # milliseconds between frames of which there are thirty a second
_MOVING = """async ([kind, seconds]) => {
  const canvas = document.getElementById('canvas');
  const box = canvas.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const at = (name, dx) => canvas.dispatchEvent(new PointerEvent(name,
    { pointerId: 7, clientX: x + dx, clientY: y + dx / 3, bubbles: true, buttons: 1 }));
  canvas.setPointerCapture = () => undefined;
  const gaps = [];
  let before = 0;
  const began = performance.now();
  if (kind === 'pan') at('pointerdown', 0);
  await new Promise((done) => {
    const step = (now) => {
      if (before) gaps.push(now - before);
      before = now;
      const share = (performance.now() - began) / 1000;
      if (kind === 'pan') at('pointermove', 220 * Math.sin(3 * share));
      else canvas.dispatchEvent(new WheelEvent('wheel',
        { deltaY: share % 2 < 1 ? -24 : 24, clientX: x, clientY: y, bubbles: true, cancelable: true }));
      if (share > seconds) done(); else requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  });
  if (kind === 'pan') at('pointerup', 0);
  return gaps;
}"""


def thumbnails() -> list[bytes]:
    """Six hundred small JPEGs of 128 x 96 pixels, cut from the sample photos."""
    random, found = np.random.default_rng(0), []
    photos = [PIL.Image.open(sample_photo(name)).convert("RGB") for name in SAMPLES]
    for number in range(600):
        photo = photos[number % len(photos)]
        wide = int(random.integers(96, min(photo.size)))
        left, top = (int(random.integers(0, side - wide + 1)) for side in photo.size)
        cut = photo.resize((128, 96), box=(left, top, left + wide, top + wide * 3 // 4))
        data = io.BytesIO()
        cut.save(data, "JPEG", quality=85)
        found.append(data.getvalue())
    return found


def made(place: Path, count: int) -> Store:
    """The collection, made once at `place`."""
    small = thumbnails()
    store, _ = fill(place, count, Made(count, _LENGTH), _LENGTH, lambda number: small[number % len(small)])
    return store


def moves(frame: Page | Frame, what: str) -> None:
    """Frames a second while the map is dragged, and zoomed in and out."""
    for kind in ("pan", "zoom"):
        gaps = np.array(frame.evaluate(_MOVING, [kind, 2.0]))
        print(
            f"{f'{what}, {kind}':<58}{1000 / gaps.mean():8.1f} frames/s, {np.mean(gaps > _GAP):.0%} of them after more "
            f"than {_GAP:.0f} ms, the slowest after {gaps.max():.0f} ms",
            flush=True,
        )


@contextmanager
def live(page: Page, store: Store, what: str, method: str = "pca") -> Iterator[Frame]:
    """Open the collection on a new server, and print how long that takes; the server is closed at the end."""
    fresh = Store.open(store.path, store.network)
    running = serve(Microscope([fresh.network], fresh, photos=[sample_photo("cat")]))
    page.goto(running.url)
    page.wait_for_selector("h1")
    spent, began = Spent(), time.perf_counter()
    page.goto(f"{running.url.split('?')[0]}#/collection?method={method}")
    frame = page.frame_locator("iframe.frame")
    frame.locator("#count", has_text="image").wait_for(timeout=600_000)
    report(f"{method}, {what}", time.perf_counter() - began, spent())
    page.locator(".outcome .files").wait_for(timeout=600_000)
    frame.locator("#note:empty").wait_for(timeout=600_000, state="attached")
    report("  until it is whole and every thumbnail is there", time.perf_counter() - began, spent())
    yield page.frames[-1]
    running.close()


def main() -> None:
    """Make the collection where there is none, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--count", type=int, default=21_000)
    parser.add_argument("--tsne", action="store_true", help="also t-SNE, which is computed on the first request")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(given.store or Path(folder) / "store", given.count, tsne=given.tsne)


def measure(place: Path, count: int, *, tsne: bool) -> None:
    """Print the figures."""
    began = time.perf_counter()
    store = made(place, count)
    print(f"{f'a collection of {count:,} images is made':<58}{time.perf_counter() - began:8.3f} s", flush=True)
    shutil.rmtree(place / "maps", ignore_errors=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        with live(page, store, "as the server meets it for the first time"):
            pass
        with live(page, store, "when the server is started again") as frame:
            moves(frame, "in the live page")
        for what in ("computed", "kept") if tsne else ():
            with live(page, store, what, "tsne"):
                pass
        spent, began = Spent(), time.perf_counter()
        file = ts.pca(store).save(place.parent / "map.html")
        report(
            f"the page as a file of {file.stat().st_size / 1e6:.1f} MB, written", time.perf_counter() - began, spent()
        )
        spent, began = Spent(), time.perf_counter()
        page.goto(file.as_uri())
        page.locator("#count", has_text="image").wait_for(timeout=600_000)
        report("and opened, until it can be used", time.perf_counter() - began, spent())
        moves(page, "opened from the disk")
        browser.close()


if __name__ == "__main__":
    main()
