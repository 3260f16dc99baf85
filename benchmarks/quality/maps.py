"""Quality of PCA and t-SNE maps: `python -m benchmarks.quality.maps CALTECH NETWORK WEIGHTS LAYER`.

Trustworthiness and agreement with the nearest neighbour's label, compared with openTSNE called directly on the same
components; held-out photos placed afterwards; components compared with scikit-learn's full SVD; and the time for 20,000
synthetic vectors.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import openTSNE
import sklearn.decomposition
import sklearn.manifold
import torch
from numpy.typing import NDArray
from scipy.linalg import subspace_angles

import triscope as ts
from triscope.which.database.projections import fit
from triscope.which.maps.reduction import Coordinates, coordinates
from triscope.which.maps.tsne import _run

HELD_BACK = 0.1


def main(words: list[str]) -> None:
    """Print the figures."""
    folder, name, weights, layer = words
    torch.set_num_threads(2)
    network = ts.load(name, weights=weights)
    files = sorted(Path(folder).glob("*/*.jpg"))
    chosen = np.random.default_rng(0).permutation(len(files))
    back = {files[place] for place in chosen[: round(HELD_BACK * len(files))]}
    with tempfile.TemporaryDirectory() as place:
        store = ts.Store.build(network, files, Path(place) / "all", layers=[layer], precision="float32")
        whole(store, layer)
        rest = [file for file in files if file not in back]
        store = ts.Store.build(network, rest, Path(place) / "rest", layers=[layer], precision="float32")
        placed(store, sorted(back))
    made()


def whole(store: ts.Store, layer: str) -> None:
    """The maps of all photos."""
    column = store.find(layer)
    found = coordinates(store, column)
    vectors = store.vectors(column, found.rows).double().numpy()
    exact = sklearn.decomposition.PCA(50, svd_solver="full").fit(vectors)
    angle = np.degrees(subspace_angles(found.projection.directions[:50].numpy().T, exact.components_.T).max())
    off = np.abs(found.kept.numpy() - exact.explained_variance_ratio_).max()
    print(f"components and the full SVD: angle {angle:.4f} degrees, explained variance off by {off:.1e}")
    labels = np.array([file.parent.name for file in store.files(found.rows)])
    points = found.values.double().numpy()
    by_hand = openTSNE.TSNE(perplexity=30, initialization="pca", random_state=0, n_jobs=1).fit(points)
    maps = {"PCA": ts.pca(store).values, "t-SNE": ts.tsne(store).values, "openTSNE by hand": np.asarray(by_hand)}
    for name, places in maps.items():
        kept = sklearn.manifold.trustworthiness(points, np.asarray(places), n_neighbors=10)
        print(f"{name}: trustworthiness {kept:.4f}, same label {agreement(np.asarray(places), labels):.1%}")


def placed(store: ts.Store, files: list[Path]) -> None:
    """Held-out photos, placed on the map."""
    made = ts.tsne(store)
    labels = np.array([file.parent.name for file in store.files(made.rows)])
    theirs = np.array([file.parent.name for file in files])
    nearest = torch.cdist(made.transform(files), made.values).argmin(1).numpy()
    print(f"nearest neighbour with the same label: fitted photos {agreement(made.values.numpy(), labels):.1%}")
    print(f"{len(files)} photos placed afterwards {np.mean(labels[nearest] == theirs):.1%}")


def made(count: int = 20_000) -> None:
    """t-SNE of synthetic vectors: 50 components, 40 clusters."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 50)) * 3
    values = torch.from_numpy((centres[random.integers(0, 40, count)] + random.normal(size=(count, 50))).astype("f"))
    projection = fit(values, 50)
    found = Coordinates(np.arange(count), projection(values)[0], projection, projection.variance)
    start = time.process_time()
    for _ in _run(found, 30, 750, 0):
        pass
    print(f"{count:,} synthetic vectors of 50 numbers: {time.process_time() - start:.0f} s of CPU time")


def agreement(places: NDArray[np.float32], labels: NDArray[np.str_]) -> float:
    """How many have a nearest neighbour of the same label."""
    points = torch.as_tensor(places).double()
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    return float(np.mean(labels[distances.argmin(1).numpy()] == labels))


if __name__ == "__main__":
    main(sys.argv[1:])
