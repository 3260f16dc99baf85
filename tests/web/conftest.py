"""A page about a tiny network and two photos, asked without a browser."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from triscope.network import Network

pytest.importorskip("starlette", reason="needs the page's server: pip install 'triscope[app]'")
pytest.importorskip("httpx", reason="needs httpx to ask the page")

import httpx

from tests.browsers import chromium
from tests.web.browsing import LOOKS, Opened
from triscope.web.microscope import Microscope
from triscope.web.serving import Running, serve
from triscope.which.store import Store

ANY = httpx.Limits(max_connections=None)
SAME = {"Sec-Fetch-Site": "same-origin"}
HOSTILE = "<img src=x onerror='window.pwned=1'>"


def tiny(name: str = "tiny", seed: int = 0) -> Network:
    """Two layers of maps and five classes, one of them with a hostile name; looks at 24 x 32 pixels."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 5),
    )  # fmt: skip
    classes = ("cat", "dog", HOSTILE, "tiger cat", "boat")
    return Network(module, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.3), size=(24, 32), classes=classes, name=name)


def paint(path: Path, seed: int = 0, size: tuple[int, int] = (40, 56)) -> Path:
    """An image of coarse noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    PIL.Image.fromarray(coarse).resize(size[::-1], PIL.Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("web")
    photos = [paint(folder / f"{name}.png", seed) for seed, name in enumerate(("one", "<b>two"))]
    page = serve(Microscope([tiny(), tiny("other", 1)], photos=photos, notes=folder / "notes.json"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(running) -> Iterator[httpx.Client]:
    """A browser that has opened the address: it has the cookie."""
    with httpx.Client(base_url=running.url.split("?")[0], timeout=60, trust_env=False, limits=ANY) as client:
        assert client.get(running.url, follow_redirects=True).status_code == 200
        yield client


def finished(client: httpx.Client, question: dict) -> dict:
    """A job that was asked, once it is over."""
    answer = client.post("/api/jobs", json=question, headers=SAME)
    assert answer.status_code == 201, answer.text
    with client.stream("GET", f"/api/jobs/{answer.json()['id']}/events") as stream:
        told = [line.removeprefix("data:") for line in stream.iter_lines() if line.startswith("data:")]
    return json.loads(told[-1])


@pytest.fixture(scope="module")
def browser():
    """A browser with a camera."""
    with chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream") as running:
        yield running


@pytest.fixture(scope="module")
def page_of_collection(tmp_path_factory):
    """A page about two tiny networks and a small collection; one photo has a hostile name."""
    folder = tmp_path_factory.mktemp("photos")
    photos = [paint(folder / name, seed) for seed, name in enumerate(("one.png", "<img src=x onerror=alert(1)>.png"))]
    for seed in range(2, 14):
        kind = folder / ("cat" if seed % 2 else "dog")
        kind.mkdir(exist_ok=True)
        paint(kind / f"{seed}.png", seed)
    network = tiny()
    store = Store.build(network, folder, layers=["1", "3", "output"])
    page = serve(Microscope([network, tiny("other", 1)], store, photos=photos))
    yield page
    page.close()


@pytest.fixture
def opened(browser, page_of_collection) -> Iterator[Opened]:
    page = Opened(browser, page_of_collection, **LOOKS["wide"])
    yield page
    page.context.close()
    assert page.said == []
