"""How often a store was scanned, over all processes: a file of the cache that is a byte longer after each scan."""

from contextlib import suppress
from pathlib import Path


class ScanTally:
    """The scans of one column at one version of its store; where the cache cannot be written to, those of this process.

    The file is `NAME.VERSION.scans` in `folder`, and `name` is the first two of these.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.scans"
        self._old = f"{name.rpartition('.')[0]}.*.scans"
        self._here = 0

    def __int__(self) -> int:
        try:
            return max(self._here, self._path.stat().st_size)
        except OSError:
            return self._here

    def add(self) -> None:
        """One more."""
        self._here += 1
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._remove()
            with self._path.open("ab") as file:
                file.write(b".")

    def clear(self) -> None:
        """Reset to zero."""
        self._here = 0
        with suppress(OSError):
            self._remove()

    def _remove(self) -> None:
        for old in self._path.parent.glob(self._old):
            old.unlink(missing_ok=True)
