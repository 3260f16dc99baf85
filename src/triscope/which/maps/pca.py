"""PCA: the plane through the vectors in which they differ most.

    x = (v - m) . d1,    y = (v - m) . d2        m the mean; d1, d2 the directions of greatest variance

**What it shows.** The strongest differences between images, for this layer, with distances that mean something: the
map is a shadow of the vectors, and what is far apart on it is far apart for the layer.

**When it misleads.** Two components of thousands keep a small part of the variance, which the caption states: images
that lie on each other may differ in all the rest.

**Reference.** K. Pearson, "On lines and planes of closest fit to systems of points in space", 1901; I. Jolliffe,
"Principal component analysis", 2002.
"""

from typing import Annotated

import torch
from torch import Tensor

from triscope.errors import StoreError
from triscope.images import printable
from triscope.methods import Range, method
from triscope.which.database.schema import Column
from triscope.which.maps.map import Form, Map, check_field
from triscope.which.maps.reduction import Coordinates, coordinates
from triscope.which.store import Store, StoreArg, StoredLayerArg


@method("which")
def pca(
    store: StoreArg,
    layer: StoredLayerArg | None = None,
    *,
    form: Form = "map",
    size: Annotated[int, Range(64, 16_384)] = 2048,
    color_by: str | None = None,
) -> Map:
    """The images of a store, placed by the first two principal components of a layer's activations.

    Values (N, 2).

    Without a layer, the last one that the store keeps is used. Raises StoreError if the store does not keep the layer,
    or holds no image.

    form       map (each image at its place), or mosaic (images on a grid, each in a cell near its place)
    size       side of the drawn image, in pixels
    color_by   colour the images' frames by this metadata: folder, or a column of the collection's CSV file
    """
    column, found = look_up(store, layer)
    values = plane(found.values)
    across, up, *_ = [*found.kept[:2].tolist(), 0.0, 0.0]
    said = (
        f"{len(found.rows):,} images by {column.length:,} numbers of {column.layer}: the two strongest of their "
        f"principal components, which keep "
        f"{across:.1%} (across) and {up:.1%} (up) of the variance."
    )
    captions = (
        said,
        "What is far apart here is far apart for the layer; what lies together may differ in all the other components.",
    )
    notes = ("All vectors are the same, so all images lie in one place.",) if found.flat else ()
    made = Map(
        values, store, column, found, f"PCA of {column.layer}", (*captions, *left_out(store), *notes), plane, form,
        size, color_by, {"variance": found.kept.tolist()}, notes=notes,
    )  # fmt: skip
    if color_by is not None:
        check_field(made, color_by)
    return made


def look_up(store: Store, layer: str | None) -> tuple[Column, Coordinates]:
    """The column that stands for a layer, or for the last that the store keeps, and its images' coordinates."""
    column = stored_column(store, layer)
    return column, coordinates(store, column)


def stored_column(store: Store, layer: str | None) -> Column:
    """The column that stands for a layer, or for the last that the store keeps."""
    kept = [column.layer for column in store.columns if column.pool != "pixels"]
    inner = [name for name in kept if name != "output"]
    column = store.find(layer or (inner or kept)[-1])
    if not len(store):
        raise StoreError(f"{printable(store.path)} has no image that could be shown; index some first.")
    return column


def left_out(store: Store) -> tuple[str, ...]:
    """A sentence on the images that are not on a map because they have no vector, where there are such."""
    count = store.table.count("status = 'error'")
    if not count:
        return ()
    return (f"{count:,} more image{'s' if count > 1 else ''} could not be used and are not on it.",)


def plane(values: Tensor) -> Tensor:
    """The first two of some coordinates (N, R), zeros where there are fewer."""
    return torch.nn.functional.pad(values[:, :2], (0, max(0, 2 - values.shape[1])))
