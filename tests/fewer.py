"""Fewer steps, samples and masks than usual, for tests that do not depend on their number."""

from typing import Any

import pytest

from triscope.methods import Option

LARGEST = {"steps": 3, "samples": 4, "masks": 6, "orders": 2, "octaves": 2, "baselines": 2, "diverse": 2}


def fewer(patch: pytest.MonkeyPatch, **largest: int) -> None:
    """Limit the integer options of these names."""
    read, largest = Option.read, LARGEST | largest

    def few(self: Option, value: Any) -> Any:
        found = read(self, value)
        most = largest.get(self.name) if (self.name, self.default) != ("steps", 750) else 50  # t-SNE speaks every 25
        whole = isinstance(found, int) and not isinstance(found, bool)
        return min(found, most) if most is not None and whole else found

    patch.setattr(Option, "read", few)
