"""t-SNE: a plane on which each image's nearest neighbours are near.

    minimise KL(P || Q)      p_ij of Gaussians so wide that `perplexity` neighbours count,  q_ij ~ 1 / (1 + d_ij^2)

It is openTSNE's, on the 50 strongest principal components, from the first two of them.

**What it shows.** Which images are alike for a layer: groups stand apart even where thousands of numbers tell them
apart.

**When it misleads.** Distances between groups, their sizes and their density carry no meaning, and neither do the axes.
With too small a perplexity noise breaks into groups; look at several.

**References.** L. van der Maaten, G. Hinton, "Visualizing data using t-SNE", JMLR 2008; P. Policar, M. Strazar, B.
Zupan, "openTSNE: a modular Python library for t-SNE dimensionality reduction and embedding", 2019; D. Kobak, P.
Berens, "The art of using t-SNE for single-cell transcriptomics", 2019 (initialisation, learning rate).
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor

from triscope.errors import StoreError
from triscope.methods import Range, Step, method
from triscope.which.database.freed import give_back
from triscope.which.maps.kept import are_numbers, keep, recall
from triscope.which.maps.map import Form, Map, check_field
from triscope.which.maps.pca import left_out, look_up, plane
from triscope.which.maps.reduction import Coordinates
from triscope.which.store import StoreArg, StoredLayerArg

if TYPE_CHECKING:
    from openTSNE import TSNEEmbedding

_EARLY, _EXAGGERATION = 250, 12
_SLICE = 25  # iterations between two steps
_FEWEST = 4  # images: fewer have no neighbourhoods
_TRANSFORM = 250
_MEANING = "Distances between groups, and how large or dense they are, carry no meaning."


@method("which")
def tsne(
    store: StoreArg,
    layer: StoredLayerArg | None = None,
    *,
    perplexity: Annotated[float, Range(1, 1000)] = 30.0,
    steps: Annotated[int, Range(25, 10_000)] = 750,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    form: Form = "map",
    size: Annotated[int, Range(64, 16_384)] = 2048,
    color_by: str | None = None,
) -> Generator[Step[Map]]:
    """The images of a store, placed by t-SNE of a layer's activations: similar ones lie close together (van der Maaten
    and Hinton, 2008).

    Values (N, 2).

    Without a layer, the last one that the store keeps is used. The map is saved in the store and reused when the same
    options are given again. Raises StoreError if the store does not keep the layer, or holds no image.

    perplexity   approximate number of neighbours that matter to each image; at most a third of the number of images
    steps        number of steps
    seed         random seed
    form         map (each image at its place), or mosaic (images on a grid, each in a cell near its place)
    size         side of the drawn image, in pixels
    color_by     colour the images' frames by this metadata: folder, or a column of the collection's CSV file
    """
    column, found = look_up(store, layer)
    count = len(found.rows)
    near = min(perplexity, max(1.0, (count - 1) / 3))

    def made(values: Tensor, notes: tuple[str, ...] = ()) -> Map:
        def placing(projected: Tensor) -> Tensor:
            return place(found, values, near, projected, seed)

        kept = f"{found.values.shape[1]} principal components, which keep {float(found.kept.sum()):.1%} of the variance"
        said = (
            f"{count:,} images by {column.length:,} numbers of {column.layer}: t-SNE with a perplexity of {near:g}, "
            f"on {kept}."
        )
        captions = (said, "Images that lie together are alike for the layer.", _MEANING, *left_out(store))
        return Map(
            values, store, column, found, f"t-SNE of {column.layer}", (*captions, *notes), placing, form, size,
            color_by, {"perplexity": near, "variance": found.kept.tolist()}, notes=notes,
        )  # fmt: skip

    if color_by is not None:
        check_field(made(plane(found.values)), color_by)
    if found.flat or count < _FEWEST:
        few = f"{count} image{'s are' if count > 1 else ' is'} too few for t-SNE"
        why = few if count < _FEWEST else "All vectors are the same"
        yield Step(steps, steps, 0.0, {}, made(plane(found.values), (f"{why}, so PCA's places are shown.",)))
        return
    key = {"method": "tsne", "column": column.name, "perplexity": near, "steps": steps, "seed": seed}
    known = recall(store, key) or {}
    if are_numbers(known.get("score"), (), torch.float64) and are_numbers(known.get("values"), (count, 2)):
        yield Step(steps, steps, float(known["score"]), {}, made(known["values"]))
        return
    for done, divergence, values in _run(found, near, steps, seed):
        yield Step(done, steps, -divergence, {"divergence": divergence}, made(values))
    keep(store, key, {"values": values, "score": torch.tensor(-divergence, dtype=torch.float64)})
    give_back()


def _run(found: Coordinates, perplexity: float, steps: int, seed: int) -> Iterator[tuple[int, float, Tensor]]:
    """The steps done, the Kullback-Leibler divergence, and the places (N, 2)."""
    embedding = _embedding(found, _beginning(found, seed), perplexity, seed)
    early = min(_EARLY, steps // 3)
    done = 0
    while done < steps:
        calm = done >= early
        some = min(_SLICE, (steps if calm else early) - done)
        factor = None if calm else _EXAGGERATION
        embedding.optimize(n_iter=some, exaggeration=factor, momentum=0.8, inplace=True)
        done += some
        yield done, float(embedding.kl_divergence), torch.from_numpy(np.array(embedding, np.float32))


def _beginning(found: Coordinates, seed: int) -> Any:
    """The first two components, small, and with a little noise that parts what is the same."""
    start = plane(found.values).double().numpy()
    noise = np.random.default_rng(seed).normal(size=start.shape)
    return start / start[:, 0].std() * 1e-4 + 1e-8 * noise


def _embedding(found: Coordinates, start: Any, perplexity: float, seed: int) -> "TSNEEmbedding":
    try:
        import openTSNE
    except ImportError as error:
        raise StoreError(
            "t-SNE needs openTSNE, which is not installed: pip install 'triscope[collections]'."
        ) from error

    affinities = openTSNE.affinity.PerplexityBasedNN(
        found.values.double().numpy(), perplexity=perplexity, n_jobs=1, random_state=seed
    )
    return openTSNE.TSNEEmbedding(start, affinities, n_jobs=1, random_state=seed)


def place(found: Coordinates, values: Tensor, perplexity: float, projected: Tensor, seed: int) -> Tensor:
    """Where vectors (M, R), seen along the components, lie on a map with the places `values` (N, 2): (M, 2)."""
    if found.flat or len(values) < _FEWEST:
        return plane(projected)
    embedding = _embedding(found, values.double().numpy(), perplexity, seed)
    placed = embedding.prepare_partial(
        projected.double().numpy(), initialization="median", perplexity=min(5.0, perplexity), k=min(10, len(values) - 1)
    )
    placed.optimize(n_iter=_TRANSFORM, learning_rate=0.1, momentum=0.8, exaggeration=1.5, inplace=True)
    return torch.from_numpy(np.array(placed, np.float32))
