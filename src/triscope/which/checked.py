"""Check stores of versions that did not verify that the rows of a layer are images.

Up to 0.1, windows folded into the batch, rows of proposals and tables of positions were filed as the vectors of images.
Newer stores record that their layers were checked (`About.checked`). Others are compared with their network as soon as
it is loaded. Until then, only torchvision's networks and pocket are known to have no such layers (except MaxViT); for
any other network there is a warning.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from triscope.errors import StoreError, TriscopeWarning
from triscope.network import Layer, Network
from triscope.which.database.about import About
from triscope.which.database.schema import Column

_WITH_WINDOWS = ("maxvit_t",)


def warn_if_unsure(network: str, source: Mapping[str, Any] | None, label: str) -> None:
    """Warn of a store of an old version whose network may have layers whose rows are not images."""
    name = (source or {}).get("name")
    if isinstance(name, str) and ":" not in name and "/" not in name and name not in _WITH_WINDOWS:
        return
    warnings.warn(
        f"{label} was made by a version of triscope that could take windows, proposals or tables of positions for "
        f"images, and may hold wrong vectors. Index the folder once more, and it is compared with {network}.",
        TriscopeWarning,
        stacklevel=4,
    )


def check_network(about: About, network: Network, label: str) -> None:
    """Raise StoreError where a network is not the one that made the store called `label`, or an old version stored
    wrong vectors.
    """
    if network.sha256 != about.sha256:
        raise StoreError(
            f"{label} was made by {about.network} with other weights; numbers of two networks are not mixed. Give the "
            "network that made it, or index into another folder."
        )
    if not about.checked:
        refuse_wrong(about.columns, network, label)


def refuse_wrong(columns: Iterable[Column], network: Network, label: str) -> None:
    """Raise StoreError where an old version stored vectors under the wrong images or positions."""
    for column in columns:
        if column.layer not in ("input", "output") and (reason := _wrong(network.layer(column.layer), column)):
            raise StoreError(
                f"{label} was made by a version of triscope that {reason}: its vectors of that layer are wrong. Build "
                f"it again: delete {label}, or index into another folder."
            )


def _wrong(layer: Layer, column: Column) -> str | None:
    """What an old version did wrong with a layer; None where it did right."""
    layout = layer.layout
    if not layout.pictures:
        return f"took the rows of {layer.name} for images, though it {layer.note}"
    straight = layout.kind in ("maps", "maps-last", "tokens") and not layout.suffix
    if layout.kind == "vector" or (straight and column.grid == layer.grid):
        return None
    return f"did not know where {layer.name} keeps the positions of each image"
