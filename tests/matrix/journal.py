"""What came of each network, kept in a file as it comes, so that a run that ended early goes on where it was.

A row counts for the code that answered it: what the rows ask of triscope, the tests that judge, and the packages.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.matrix.judging import Cell

Cells = Mapping[str, Cell]

PACKAGES = (
    "torch", "torchvision", "timm", "transformers", "segmentation-models-pytorch", "monai", "open_clip_torch",
    "ultralytics",
)  # fmt: skip
_ROOT = Path(__file__).parents[2]
_UNASKED = ("cli", "cluster", "metrics", "pages", "redoing", "reporting", "unit_folder", "watching", "web")
_TESTS = ("tests/matrix", "tests/nets.py", "tests/network/families.py")


@dataclass(frozen=True)
class Row:
    """What came of a network: its cells, the code that answered, and what that took."""

    name: str
    cells: Cells
    code: str
    seconds: float = 0
    megabytes: int = 0

    @property
    def sound(self) -> bool:
        """Whether every cell is fine, or refused in a sentence; other rows are run again."""
        return all(cell.verdict in ("fine", "refused") for cell in self.cells.values())


def installed() -> list[str]:
    """The packages whose networks are tried, with their versions."""
    known = []
    for package in PACKAGES:
        try:
            known.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return known


@functools.cache
def code() -> str:
    """A name for the code that answers and judges: a hash of its files, and of the packages' versions."""
    source = _ROOT / "src/triscope"
    files = [path for path in source.rglob("*.py") if path.relative_to(source).parts[0] not in _UNASKED]
    for place in _TESTS:
        files += sorted((_ROOT / place).rglob("*.py")) or [_ROOT / place]
    digest = hashlib.sha256("\n".join(installed()).encode())
    for path in sorted(files):
        digest.update(f"{path.relative_to(_ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def record(path: Path, row: Row) -> None:
    """Append a row; whole, also where two processes write at once."""
    cells = {column: [cell.verdict, cell.said] for column, cell in row.cells.items()}
    line = json.dumps([row.name, cells, row.code, row.seconds, row.megabytes])
    with path.open("ab", buffering=0) as file:
        file.write(f"{line}\n".encode())


def recorded(path: Path) -> dict[str, Row]:
    """The last row of each network."""
    found = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        name, cells, *rest = json.loads(line)
        found[name] = Row(name, {column: Cell(*both) for column, both in cells.items()}, *rest)
    return found
