"""What every test may ask for."""

import os
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.browsers import chromium

# One thread for each of the processes that `make test` starts: two that wait for each other are slower than one alone.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers for a test, whichever tests ran before it."""
    torch.default_generator.manual_seed(0)  # that of the CPU: torch.manual_seed takes milliseconds to note who asks


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef) -> None:
    """The same random numbers for what tests share, whichever tests ran before it was made."""
    if fixturedef.scope != "function":
        torch.default_generator.manual_seed(zlib.crc32(fixturedef.argname.encode()))


@pytest.fixture(autouse=True, scope="session")
def signals() -> None:
    """Signals do what they do in a terminal, also where the tests were started in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test photos and networks that may not be shipped: $TRISCOPE_SHARED, else ../shared."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("TRISCOPE_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip("needs the test photos: set TRISCOPE_SHARED, or put shared/ beside the checkout")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A browser, where there is one."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def brief() -> Iterator[None]:
    """Images that a report has made are small, and made in a few steps: what is tested is the page around them."""
    from tests.fewer import fewer

    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("imagined._STEPS", 2),
            ("imagined._SHALLOW_STEPS", 2),
            ("imagined._DEEP_STEPS", 2),
            ("imagined._COMPARED_STEPS", 2),
            ("imagined._TEXTURE_STEPS", 4),
            ("imagined._FOOLING_STEPS", 2),
            ("imagined._SIDE", 64),
            ("imagined._SIDE_RAISED", 64),
            ("judged._STEPS", 2),
        ):
            patch.setattr(f"triscope.reporting.{name}", value)
        fewer(patch)
        yield
