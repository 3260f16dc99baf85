"""The microscope: a live page for your own network, your own images and your camera, offline.

serving     the page on this machine: started, opened, closed
guard       checks of every request: host, token, origin, size
site        the application and its files; `page/` holds them, in plain ES modules
routes      the HTTP routes; job_routes those of jobs; requests reads and checks requests
microscope  networks, photos, a collection, notes
asking      from a request to the call of a method, by what the method declares
jobs        one worker per device
described, answers, volumes, photos, camera, recipes    methods, results, layers and images as the page gets them
"""

import os
import webbrowser
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triscope.network import Network
    from triscope.web.serving import Running
    from triscope.which.store import Store

__all__ = ["app"]


def app(
    network: "Network | Sequence[Network]",
    *,
    store: "Store | Sequence[Store] | None" = None,
    photos: Iterable[str | os.PathLike[str]] = (),
    port: int = 0,
    open_page: bool = False,
) -> "Running":
    """A live page about a network, served from this process on this machine alone until it is closed.

    Of several networks the first is shown, and the others can be chosen on the page. Raises OptionError where the port
    is taken, or starlette and uvicorn are not installed.

    store       a collection, for its images, maps and neighbours; of several networks, one for each in their order
    photos      files of photos that the page offers; some of the store's, or the sample photos, if left out
    port        0 is any that is free
    open_page   open it in a browser
    """
    from triscope.network import Network
    from triscope.web.microscope import Microscope, samples, some_pictures
    from triscope.web.serving import serve

    networks = [network] if isinstance(network, Network) else list(network)
    files = [Path(photo) for photo in photos]
    stores = list(store) if isinstance(store, Sequence) else [store] if store is not None else []
    if not files and stores and stores[0].root is not None:
        files = some_pictures(stores[0].root)
    running = serve(Microscope(networks, stores, photos=files or samples()), port=port)
    if open_page:
        webbrowser.open(running.url)
    return running
