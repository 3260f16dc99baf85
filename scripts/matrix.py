"""Write the table of docs/matrix.md from what the matrix test recorded: `python scripts/matrix.py FILE [--older]`.

The file is made by `TRISCOPE_MATRIX=FILE pytest -n 2 -m "slow or not slow" tests/matrix`, as `make test-all` does;
networks that it does not have are left out, and so is what other code than the present answered. With --older that is
shown, too, and counted on the page.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.matrix import journal, table
from tests.matrix.rows import ROWS


def main(path: Path, older: bool) -> None:
    """Write it."""
    rows = {name: row for name, row in journal.recorded(path).items() if older or row.code == journal.code()}
    others = sum(row.code != journal.code() for name, row in rows.items() if name in ROWS)
    said = f"Made with {', '.join(journal.installed())}."
    if others:
        said += f" {others} of the networks were last asked with older code."
    table.write({name: row.cells for name, row in rows.items()}, ROWS, said)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--older" in sys.argv[2:])
