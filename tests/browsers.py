"""Chromium, driven by Playwright, for the tests that look at pages; without one of the two they are skipped."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A running browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright to drive a browser")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs a Chromium on the PATH")
    usual = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=[*usual, *flags])
        yield running
        running.close()


def wait_for_count(locator: Any, count: int) -> None:
    """Wait until so many elements are there, and no others; fails where they are not."""
    from playwright.sync_api import expect

    expect(locator).to_have_count(count)
