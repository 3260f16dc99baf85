"""Quality of nearest neighbours: agreement of labels, and recall of the default search.

python -m benchmarks.quality.neighbors FOLDER --weights FILE     FOLDER/LABEL/photo.jpg; SqueezeNet 1.1's weights
python -m benchmarks.quality.neighbors --synthetic               100,000 x 4096 synthetic vectors: recall, time, memory
python -m benchmarks.quality.neighbors --ivf 200000              that many x 512: recall and time of the IVF index
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import triscope as ts
from triscope.objectives.base import Need
from triscope.which.database.projections import fit
from triscope.which.database.schema import Column
from triscope.which.search.vector_index import Metric, Space, space
from triscope.which.store import Store

LAYER = "features.12"
METRICS: tuple[Metric, ...] = ("cosine", "euclidean")


def labels_that_agree(folder: Path, weights: str, place: Path) -> None:
    """1-NN, leaving one out, here and by scikit-learn on float32 features computed one by one."""
    from sklearn.neighbors import NearestNeighbors

    network = ts.load("squeezenet1_1", weights=weights)
    store = Store.build(network, folder, place, layers=[LAYER], precision="float32")
    rows = range(len(store))
    labels = np.array([name.split("/")[0] for name in store.names(rows)])
    print(f"{len(store)} photos, {len(set(labels))} labels, mean-centred, cosine")
    images = [network.prepare(path).images for path in store.files(rows)]
    with torch.no_grad():
        features = [network.look(image, [Need(LAYER, "mean")])[Need(LAYER, "mean")] for image in images]
    pixels = [torch.nn.functional.interpolate(image, size=16, mode="area") for image in images]
    for layer, independent in ((LAYER, features), ("input", pixels)):
        column = store.find(layer)
        found = space(store, column)
        vectors = store.vectors(column, rows)
        nearest = [found.search(vectors[row], 1, "cosine", without=[row]).rows[0] for row in rows]
        ours = 100 * (labels[nearest] == labels).mean()
        centred = torch.cat(independent).flatten(1).float().numpy()
        centred = centred - centred.mean(0)
        order = NearestNeighbors(n_neighbors=2, metric="cosine").fit(centred).kneighbors(centred, return_distance=False)
        # Two equal images may come in either order.
        theirs = 100 * (labels[np.where(order[:, 0] == rows, order[:, 1], order[:, 0])] == labels).mean()
        print(
            f"  {layer:12} here {ours:.2f} %   scikit-learn {theirs:.2f} %   difference {abs(ours - theirs):.2f} points"
        )
        print(f"  {layer:12} recall@10 of the default search: {recall(found, vectors[::8], 'cosine', skip=8):.4f}")


def recall(found: Space, queries: torch.Tensor, metric: Metric, skip: int | None = None) -> float:
    """How many of the exact search's ten the default search finds."""
    shares = []
    for number, query in enumerate(queries):
        own = [number * skip] if skip else []
        default = found.search(query, 10, metric, without=own).rows
        shares.append(len(np.intersect1d(default, found.search(query, 10, metric, exact=True, without=own).rows)) / 10)
    return float(np.mean(shares))


def made(count: int, length: int, seed: int) -> NDArray[np.float16]:
    """Vectors like those behind a ReLU: sparse, positive, of some 60 directions of falling strength, in clusters."""
    random = np.random.default_rng(seed)
    shape = np.random.default_rng(0)
    inner = 60
    centres = shape.normal(size=(400, inner)) * np.linspace(2, 0.3, inner)
    lift = shape.normal(size=(inner, length)).astype(np.float32) / np.sqrt(inner)
    points = centres[random.integers(0, len(centres), count)] + random.normal(size=(count, inner)) * np.linspace(
        1, 0.2, inner
    )
    values = points.astype(np.float32) @ lift + 0.15 * random.normal(size=(count, length)).astype(np.float32)
    return np.maximum(values - 0.6, 0).astype(np.float16)


def synthetic(place: Path, count: int = 100_000, length: int = 4096) -> None:
    """Recall, times and memory on synthetic vectors, and the time of the principal components."""
    store, column = _filled(place, count, length)
    queries = torch.from_numpy(made(50, length, seed=999)).float()
    before = _own_memory()
    found = space(store, column)
    assert found.projection is not None
    first = _seconds(lambda: found.search(queries[0], 10, "cosine"), 1)
    exact_first = _seconds(lambda: found.search(queries[0], 10, "cosine", exact=True), 1)
    # In turn, so that other load on the machine affects both equally.
    pairs = [
        [_seconds(partial(found.search, query, 10, "cosine", exact=exact), 1) for exact in (False, True)]
        for query in queries
    ]
    default, exact = (float(np.median(times)) for times in zip(*pairs, strict=True))
    print(
        f"{count} x {length}: default {1000 * default:.1f} ms, exact {1000 * exact:.1f} ms: {exact / default:.1f} times"
    )
    print(f"  first query: default {first:.1f} s, exact {exact_first:.1f} s")
    print(f"  private memory: {before:.0f} MB before, {_own_memory():.0f} MB after")
    for metric in METRICS:
        print(f"  recall@10, {metric}: {recall(found, queries, metric):.4f}")


def indexed(place: Path, count: int, length: int = 512) -> None:
    """Recall and times of the index on the projections, compared with the default scan."""
    store, column = _filled(place, count, length)
    queries = torch.from_numpy(made(50, length, seed=999)).float()
    scan = Space(store, column)
    scan.search(queries[0], 10, "cosine")  # from here on it goes without the index
    start = time.perf_counter()
    store.add_index(column.layer)
    print(f"{count} x {length}: index built in {time.perf_counter() - start:.0f} s")
    found = space(store, column)
    found.search(queries[0], 10, "cosine")
    pairs = [[_seconds(partial(some.search, query, 10, "cosine"), 1) for some in (scan, found)] for query in queries]
    flat, quick = (float(np.median(times)) for times in zip(*pairs, strict=True))
    shares = [
        len(np.intersect1d(found.search(query, 10, "cosine").rows, scan.search(query, 10, "cosine", exact=True).rows))
        for query in queries
    ]
    print(f"  scan {1000 * flat:.1f} ms, index {1000 * quick:.1f} ms: {flat / quick:.1f} times")
    print(f"  recall@10 of the index: {np.mean(shares) / 10:.4f}, of the scan: {recall(scan, queries, 'cosine'):.4f}")
    print(f"  private memory: {_own_memory():.0f} MB")


def components(length: int = 4096, count: int = 20_000) -> None:
    """PCA-256, here and by scikit-learn's randomised solver, on the same vectors in the same process."""
    from sklearn.decomposition import PCA

    rows = torch.from_numpy(made(count, length, seed=1))
    start = time.perf_counter()
    ours = fit(rows)
    middle = time.perf_counter()
    theirs = PCA(256, svd_solver="randomized", random_state=0).fit(rows.float().numpy())
    end = time.perf_counter()
    kept = float(ours.variance.sum()) / float(theirs.explained_variance_.sum())
    print(f"PCA-256 of {count} x {length}: here {middle - start:.1f} s, scikit-learn {end - middle:.1f} s")
    print(f"  variance kept: {kept:.5f} of scikit-learn's")


def _filled(place: Path, count: int, length: int) -> tuple[Store, Column]:
    """A store of synthetic vectors: they replace those of tiny images during indexing."""
    from benchmarks.quality._made import fill

    return fill(place, count, lambda start, many: made(many, length, seed=1000 + start), length)


def _own_memory() -> float:
    """Megabytes of this process beyond page cache."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status["RssAnon"].split()[0]) / 1024


def _seconds(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--store", type=Path, help="the folder of the store, which is made if missing")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--components", action="store_true")
    parser.add_argument("--ivf", type=int, metavar="COUNT")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or Path(folder)
        if given.folder:
            labels_that_agree(given.folder, given.weights, place)
        if given.components:
            components()
        if given.synthetic:
            synthetic(place)
        if given.ivf:
            indexed(place, given.ivf)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, page cache included")


if __name__ == "__main__":
    main()
