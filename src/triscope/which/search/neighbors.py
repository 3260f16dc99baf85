"""Nearest neighbours: the images of a collection most similar to one in a layer.

    cosine(a, b) = (a - m) . (b - m) / (|a - m| |b - m|),     m the collection's mean

**What it shows.** What a layer keeps of an image: neighbours in a deep layer share the thing shown, neighbours in
pixel space (`layer="input"`) share light and background.

**When it misleads.** A neighbour always exists: look at the score. The mean is that of the collection, so the scores
of two collections cannot be compared. Neighbours are found among the vectors that are kept: of a layer of maps, that
is the mean over positions, which forgets where things are.

**Reference.** A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural
networks", NIPS 2012 (section 6.1, figure 4, right), who use the Euclidean distance of the last hidden layer. Cosines
from the mean are the default here, because lengths mostly tell how strong an image's contrast is.
"""

import os
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope import render
from triscope.errors import ImageError, StoreError
from triscope.images import ImageSource, read_image
from triscope.images.samples import photo_file
from triscope.methods import QueryInput, Range, method
from triscope.which.database.schema import Column
from triscope.which.indexing.decoding import Embedder, decode, small
from triscope.which.search.gallery import Gallery
from triscope.which.search.vector_index import Hits, Metric, space
from triscope.which.store import Store, StoreArg, StoredLayerArg

Query: TypeAlias = ImageSource | int


@method("which")
def neighbors(
    store: StoreArg,
    query: Annotated[Query, QueryInput(help="the query image")],
    layer: StoredLayerArg | None = None,
    *,
    k: Annotated[int, Range(1, 10_000)] = 9,
    metric: Metric = "cosine",
    pool: Literal["mean", "max"] = "mean",
    where: str | None = None,
    exact: bool = False,
) -> Gallery:
    """The k images of a store that are nearest to an image in a layer's feature space, with their scores (k,), best
    first.

    Scores are cosine similarities in [-1, 1], or distances of 0 or more.

    The query is an image, or the row number of one in the store, which is then left out; in Python also a vector (D,)
    of the layer. Without a layer, the first one that the store keeps is used. Raises StoreError if the store does not
    keep the layer, and ImageError if the image cannot be read.

    k        number of images
    metric   cosine similarity (after subtracting the collection's mean) or euclidean distance
    pool     for a layer with activation maps: use the mean or the maximum over positions
    where    only images that meet this SQL condition: folder = 'cats', name LIKE '%2019%', width > 500
    exact    search all images with the full vectors, instead of choosing candidates by 256 principal components
    """
    column = store.find(layer or _first(store), pool)
    found = space(store, column)
    vector, shown, row = _vector(store, column, query)
    if vector.shape != (column.length,):
        raise StoreError(
            f"A vector of {column.layer} has {column.length} numbers; this one has the shape {tuple(vector.shape)}."
        )
    hits = found.search(vector, k, metric, where=where, exact=exact, without=() if row is None else (row,))
    return gallery(store, hits, f"{metric} in {column}", shown)


def gallery(store: Store, hits: Hits, score: str, query: Tensor | None) -> Gallery:
    """The results of a search, with their images and a note if some may be missing; `score` says what scores are."""
    return Gallery(
        hits.scores,
        rows=tuple(hits.rows.tolist()),
        names=store.names(hits.rows),
        pictures=store.thumbnails(hits.rows),
        score=score,
        query=query,
        notes=(hits.how,) if hits.how else (),
    )


def embed(store: Store, column: Column, image: ImageSource) -> tuple[Tensor, Tensor]:
    """The vector (D,) of an image, made as the store makes its own, and a small copy of the image (3, h, w)."""
    if isinstance(image, str | os.PathLike):
        decoded = decode(
            photo_file(image), store.preprocess, store.channels, exact=bool(store.about.preprocess["exact"])
        )
        if decoded.pixels is None or decoded.thumbnail is None:
            raise ImageError(decoded.error or "")
        pixels = torch.from_numpy(np.array(decoded.pixels)).permute(2, 0, 1)[None]
        shown = read_image(decoded.thumbnail)[0]
    else:
        pixels = store.network.prepare(image).images
        shown = render.visible(pixels[0].float())
    if column.pool == "pixels":
        values = small(pixels)
    else:
        if store.embedder is None:
            store.embedder = Embedder(store.network, store.columns, store.about.precision)
        values = store.embedder.only([column])(pixels)[column.name]
    return values[0].flatten().to(getattr(torch, column.dtype)).float(), shown


def _vector(store: Store, column: Column, query: Query | NDArray[Any]) -> tuple[Tensor, Tensor | None, int | None]:
    """The query's vector, image and row; None where unknown."""
    if isinstance(query, int | np.integer):
        row = range(store.table.count())[int(query)] if -store.table.count() <= query < store.table.count() else None
        if row is None or store.table.take([row], ["status"])["status"] != ["ok"]:
            raise StoreError(
                f"Row {query} has no vector; this store has rows 0 to {store.table.count() - 1}, and `errors()` "
                "lists those without."
            )
        return store.vectors(column, [row])[0], store.thumbnails([row])[0], row
    if isinstance(query, Tensor | np.ndarray) and query.ndim == 1:
        return torch.as_tensor(query).detach().float().cpu(), None, None
    return *embed(store, column, query), None


def _first(store: Store) -> str:
    return store.columns[0].layer
