"""A map in the live page, piece by piece: the places first, and thumbnails as they are made.

places      where the images are: points can be shown
names       their names and metadata: they can be searched and pointed at
cells       the cells of the mosaic
sheet/N     a sheet of thumbnails, once it is made
near/N      the nearest neighbours of image N
"""

import threading
from collections.abc import Mapping
from typing import Any

from triscope.errors import OptionError, TriscopeError
from triscope.web.packed import packed
from triscope.which.maps import pieces
from triscope.which.maps.map import Map
from triscope.which.maps.page.sprites import Sheet, layout_of, sheets_of
from triscope.which.store import Store

_KEPT = 2  # collections, or versions of one, whose thumbnails are in memory


class Thumbnails:
    """The thumbnails of a map, made sheet by sheet in a thread of its own, which yields to other threads."""

    def __init__(self, made: Map) -> None:
        self.total = layout_of(len(made.shown)).sheets(len(made.shown))
        self.sheets: list[Sheet] = []
        self.error = ""
        self._closed = False
        rows = made.rows[made.shown]
        self.thread = threading.Thread(
            target=self._make, args=(made.store, rows), name="triscope-thumbnails", daemon=True
        )
        self.thread.start()

    def close(self) -> None:
        """Stop making them."""
        self._closed = True

    def _make(self, store: Store, rows: Any) -> None:
        try:
            for sheet in sheets_of(store, rows, aside=True):
                self.sheets.append(sheet)
                if self._closed and len(self.sheets) < self.total:  # once there are all, they are kept
                    return
        except TriscopeError as error:
            self.error = str(error)
        except Exception as error:  # noqa: BLE001 - nothing catches it in this thread: the map shows it
            self.error = f"The thumbnails cannot be made: {error!r}"


class MapPieces:
    """The pieces of maps, and the thumbnails that are being made for them."""

    def __init__(self) -> None:
        self._thumbnails: dict[tuple[str, int, int], Thumbnails] = {}
        self._lock = threading.Lock()

    def thumbnails(self, made: Map) -> Thumbnails:
        """The thumbnails of a map's images, begun if they are not."""
        key = (str(made.store.path), made.store.table.version, len(made.shown))
        with self._lock:
            known = self._thumbnails.pop(key, None) or Thumbnails(made)
            self._thumbnails[key] = known
            while len(self._thumbnails) > _KEPT:
                self._thumbnails.pop(next(iter(self._thumbnails))).close()
        return known

    def close(self) -> None:
        """Stop making thumbnails."""
        with self._lock:
            for one in self._thumbnails.values():
                one.close()

    def piece(self, made: Any, name: str, number: int) -> bytes:
        """A piece of a map, packed. Raises OptionError where there is no such piece."""
        if not isinstance(made, Map):
            raise OptionError("Only maps are given piece by piece.")
        match name:
            case "places":
                return packed(*pieces.places(made))
            case "names":
                return packed(*pieces.names(made))
            case "cells":
                return packed(*pieces.grid_cells(made))
            case "near":
                return packed(*pieces.near(made, number))
            case "sheet":
                return self._sheet(made, number)
        raise OptionError(f"A map has no piece {name[:40]!r}.")

    def _sheet(self, made: Map, number: int) -> bytes:
        """A sheet of thumbnails, or a note that it is not made yet."""
        known = self.thumbnails(made)
        if not 0 <= number < known.total:
            raise OptionError("The map has no such sheet of thumbnails.")
        if number < len(known.sheets):
            return packed(*pieces.thumbnails(known.sheets[number], number))
        if known.error:
            raise OptionError(known.error)
        told: Mapping[str, Any] = {"waiting": True, "made": len(known.sheets), "total": known.total}
        return packed(told, {})
