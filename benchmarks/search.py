"""Time, recall and memory of nearest-neighbour searches among many vectors.

    python -m benchmarks.search [--store FOLDER] [--count 1000000] [--length 512] [--queries 50] [--threads 2]

The vectors are synthetic, with a spectrum and clusters like those of a network's features: the variance along the i-th
direction falls as a power of i; a part of it is between groups of 500 vectors on average, which are spread around 40
larger ones; negative values are set to zero, as by a ReLU. Queries are drawn from the same distribution.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality._made import fill
from triscope.which.database.projections import RANK
from triscope.which.search.vector_index import Space

_EXPONENT = 1.2
_BETWEEN = 0.6
_GROUP = 500
_LARGER = 40
_SCANNED = 25_000


class Made:
    """Vectors drawn from a mixture that is the same for every seed."""

    def __init__(self, count: int, length: int) -> None:
        random = np.random.default_rng(0)
        self._inner = inner = min(256, length)
        self._length = length
        strengths = np.arange(1, inner + 1) ** (-_EXPONENT / 2)
        self._strengths = (strengths / np.linalg.norm(strengths)).astype(np.float32)
        larger = random.normal(size=(_LARGER, inner))
        groups = max(_LARGER, count // _GROUP)
        own = random.normal(size=(groups, inner))
        centres = np.sqrt(0.5) * larger[random.integers(0, _LARGER, groups)] + np.sqrt(0.5) * own
        self._centres = (np.sqrt(_BETWEEN) * centres).astype(np.float32)
        lift = np.linalg.qr(random.normal(size=(length, inner)))[0].T
        self._lift = (lift * np.sqrt(length)).astype(np.float32)

    def __call__(self, start: int, many: int) -> NDArray[np.float16]:
        """`many` vectors (many, length), float16."""
        random = np.random.default_rng(1000 + start)
        points = self._centres[random.integers(0, len(self._centres), many)]
        points = points + np.float32(np.sqrt(1 - _BETWEEN)) * random.standard_normal((many, self._inner), np.float32)
        values = (points * self._strengths) @ self._lift + 0.05 * random.standard_normal(
            (many, self._length), np.float32
        )
        return np.maximum(values + 0.25, 0).astype(np.float16)


def main() -> None:
    """Make the store where there is none, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if min(given.count, given.length) <= RANK:
        parser.error(f"more than {RANK} vectors, of more than {RANK} numbers: searches of fewer have no cells")
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        measure(given.store or Path(folder), given.count, given.length, given.queries)


def measure(place: Path, count: int, length: int, many: int) -> None:
    """Print what a search takes."""
    made = Made(count, length)
    start = time.perf_counter()
    store, column = fill(place, count, made, length)
    print(f"{count:,} x {length}: store made in {time.perf_counter() - start:.0f} s, {_size(place):,.0f} MB")
    queries = torch.from_numpy(made(10**9, many)).float()
    found = Space(store, column)
    for what in ("the first query", "the second", "the third"):
        print(f"  {what}: {_first(found, queries[0])}")
    start = time.perf_counter()
    found.make_cells()
    print(f"  making the cells: {time.perf_counter() - start:.2f} s")
    found = Space(store, column)  # as a later process has it
    print(f"  the first query with cells: {_first(found, queries[0])}")
    print(f"  cache: {_size(place / 'cache'):,.0f} MB of disk")
    _each(found, queries)  # what has been asked about once lies in memory
    hits, times = _each(found, queries)
    own, whole = _resident("RssAnon"), _resident("VmRSS")
    print(f"  warm: {times}; resident: {own:,.0f} MB private, {whole:,.0f} MB with pages of files")
    right = _exactly(found, queries)
    print(f"  recall@10: {_recall(hits, right):.4f}; {_beside_a_scan(found, queries)}")
    where = "key % 100 = 7"
    _each(found, queries[:1], where)
    hits, times = _each(found, queries, where)
    right = _exactly(found, queries, np.flatnonzero(np.arange(count) % 100 == 7))
    print(f"  a condition that 1 % meet: {times}; recall@10 {_recall(hits, right):.4f}")
    start = time.perf_counter()
    several = [hit.rows for hit in found.search_all(queries, 10, "cosine")]
    seconds = time.perf_counter() - start
    right = _exactly(found, queries)
    print(f"  {many} queries at once: {1000 * seconds / many:.1f} ms each; recall@10 {_recall(several, right):.4f}")


def _first(found: Space, query: torch.Tensor) -> str:
    start = time.perf_counter()
    how = found.search(query, 10, "cosine").how
    return f"{time.perf_counter() - start:.2f} s. {how or 'All are looked at.'}"


def _each(found: Space, queries: torch.Tensor, where: str | None = None) -> tuple[list[Any], str]:
    """The rows for each query, and what a search took."""
    hits, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        hits.append(found.search(query, 10, "cosine", where=where).rows)
        seconds.append(time.perf_counter() - start)
    low, middle, high = np.quantile(seconds, [0, 0.5, 0.9]) * 1000
    return hits, f"{middle:.1f} ms (best {low:.1f}, nine of ten below {high:.1f})"


def _beside_a_scan(found: Space, queries: torch.Tensor) -> str:
    """CPU time of searches and of a float32 scan of all vectors, in turn, so that other load affects both equally."""
    vectors = found.mapped[:_SCANNED].float() - found.mean
    kinds: dict[str, list[float]] = {"search": [], "scan": []}
    for query in queries:
        start = time.process_time()
        found.search(query, 10, "cosine")
        between = time.process_time()
        torch.mv(vectors, query - found.mean)
        kinds["search"].append(between - start)
        kinds["scan"].append((time.process_time() - between) * len(found) / len(vectors))
    search, scan = (1000 * float(np.median(seconds)) for seconds in kinds.values())
    return f"in processor time {search:.1f} ms, a float32 scan of all {scan:.1f} ms: {scan / search:.1f} times"


def _exactly(found: Space, queries: torch.Tensor, some: Any = None) -> list[Any]:
    """The ten nearest rows of each query in float32, of all or of some rows."""
    rows = torch.arange(len(found)) if some is None else torch.from_numpy(some)
    best = torch.full((len(queries), 10), -2.0)
    places = torch.zeros(len(queries), 10, dtype=torch.int64)
    for part in torch.split(rows, 65_536):
        vectors = found.mapped[part].float() - found.mean
        lengths = vectors.norm(dim=1).clamp(min=1e-9)
        products = (vectors @ (queries - found.mean).T / lengths[:, None]).T
        best, order = torch.cat([best, products], 1).topk(10, dim=1)
        places = torch.cat([places, part.expand(len(queries), -1)], 1).gather(1, order)
    return [found.rows[one.numpy()] for one in places]


def _recall(hits: list[Any], right: list[Any]) -> float:
    return float(np.mean([len(np.intersect1d(one, other)) / 10 for one, other in zip(hits, right, strict=True)]))


def _size(place: Path) -> float:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) / 2**20


def _resident(kind: str) -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) / 1024


if __name__ == "__main__":
    main()
