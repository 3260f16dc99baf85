"""Write the table of docs/matrix.md from what the matrix test recorded: `python scripts/matrix.py FILE`.

The file is made by `TRISCOPE_MATRIX=FILE pytest -m "slow or not slow" tests/matrix`, as `make test-all` does; networks
that it does not have are left out.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.matrix import table
from tests.matrix.rows import ROWS

_PACKAGES = (
    "torch", "torchvision", "timm", "transformers", "segmentation-models-pytorch", "monai", "open_clip_torch",
    "ultralytics",
)  # fmt: skip


def main(path: Path) -> None:
    """Write it."""
    known = []
    for package in _PACKAGES:
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    table.write(table.recorded(path), ROWS, f"Made with {', '.join(known)}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
