"""What every test may ask for."""

import os
from pathlib import Path

import pytest
import torch

# The suite is planned for two cores; more threads on a larger machine would only change the order of float sums.
torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers for a test, whichever tests ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test photos and networks that may not be shipped: $TRISCOPE_SHARED, else ../shared."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("TRISCOPE_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip("needs the test photos: set TRISCOPE_SHARED, or put shared/ beside the checkout")
    return folder
