"""A folder of photos as one network sees it: its store, the progress of indexing, and the preparation of its map."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from triscope.errors import StoreError, TriscopeError
from triscope.images import printable, slug
from triscope.network import Network
from triscope.web.map_pieces import MapPieces
from triscope.which.maps.kept import WORTH
from triscope.which.maps.pca import pca
from triscope.which.store import GOOD, Store


class Collected:
    """The collection of one network. `opened` is called each time its store is reopened."""

    def __init__(
        self,
        network: Network,
        store: Store | None,
        maps: MapPieces,
        opened: Callable[[Store], None] = lambda store: None,
    ) -> None:
        self.network, self.store, self.maps, self._opened = network, store, maps, opened
        self.indexing: dict[str, Any] | None = None
        if store is not None:
            self._prepare(store)

    def require_store(self) -> Store:
        """The store. Raises StoreError where there is none."""
        if self.store is not None:
            return self.store
        if self.indexing is None:
            raise StoreError("No collection is open. Start the page with a folder of photos: triscope app FOLDER.")
        name, text = printable(self.network.name), self.indexing["text"] or "another network comes first"
        raise StoreError(self.indexing["error"] or f"No photo is indexed by {name} yet: {text}.")

    def facts(self) -> dict[str, Any] | None:
        """The collection as the page gets it; None where there is none."""
        if self.store is None:
            return {"name": "", "pictures": 0, "layers": [], "indexing": self.indexing} if self.indexing else None
        root = self.store.root
        return {
            "name": printable(root.name if root else self.store.path.name),
            "pictures": len(self.store),
            "layers": list(dict.fromkeys(column.layer for column in self.store.columns)),
            "indexing": self.indexing,
        }

    def index(self, folder: Path, place: Path) -> Iterator[object]:
        """Index a folder, step by step; the store can be used as soon as it exists. Raises nothing."""
        self.indexing = _progress()
        if self.store is None:
            self._open(place)
        return self._index(folder, place)

    def _index(self, folder: Path, place: Path) -> Iterator[object]:
        from triscope.which.indexing.index import Pace, index

        self.indexing = _progress(text="looking for images")
        try:
            for progress in index(self.network, folder, place, pace=Pace(batch=8)):
                self.indexing = _progress(progress.done, progress.total, str(progress))
                if self.store is None and progress.stored:
                    self._open(place)
                yield progress
            self._open(place)
            if self.store is None:
                name = printable(folder.absolute().name)
                self.indexing = _progress(error=f"{name} holds no image that can be read; add some and start again.")
                return
            self.indexing = None
            self._prepare(self.store)
        except Exception as error:  # noqa: BLE001 - nothing catches it in this thread: the page shows it
            said = str(error) if isinstance(error, TriscopeError) else f"Indexing failed: {error!r}"
            self.indexing = _progress(error=said)

    def _open(self, place: Path) -> None:
        with suppress(StoreError):
            store = Store.open(place, self.network)
            if store.table.count(GOOD):
                self.store = store
                self._opened(store)

    def _prepare(self, store: Store) -> None:
        """Prepare the map of a large collection before it is requested; it is kept with the store."""

        def body() -> None:
            with suppress(TriscopeError):
                self.maps.thumbnails(pca(store))

        if len(store) >= WORTH:
            threading.Thread(target=body, name="triscope-map", daemon=True).start()


def _progress(done: int = 0, total: int = 0, text: str = "", error: str | None = None) -> dict[str, Any]:
    return {"done": done, "total": total, "text": text, "error": error}


def place_beside(place: Path, network: Network) -> Path:
    """The store of a further network for a folder whose first store is at `place`: each network has its own."""
    return place.with_name(f"{place.name}-{slug(network.name)}-{network.sha256[:8]}")
