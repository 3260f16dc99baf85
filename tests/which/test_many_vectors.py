"""Searching among many vectors: by cells, among those that meet a condition, and for several queries at once."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

import triscope as ts
from benchmarks.quality._made import fill
from triscope.errors import StoreError
from triscope.which.search import stored_vectors, vector_index
from triscope.which.search.cells import Cells
from triscope.which.search.highest import Best
from triscope.which.search.neighbors import neighbors
from triscope.which.search.vector_index import Space

COUNT, LENGTH = 3000, 300
THREADS = 2


def clustered(start: int, many: int) -> np.ndarray:
    """Vectors in 30 groups, with directions of falling strength."""
    shape, random = np.random.default_rng(0), np.random.default_rng(start + 1)
    centres = shape.normal(size=(30, 40))
    points = centres[random.integers(0, 30, many)] + 0.5 * random.normal(size=(many, 40))
    lift = np.random.default_rng(2).normal(size=(40, LENGTH)) / np.arange(1, 41)[:, None] ** 0.5
    return (points @ lift + 0.05 * random.normal(size=(many, LENGTH))).astype(np.float16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("made") / "store", COUNT, clustered, LENGTH)


@pytest.fixture
def found(made, monkeypatch):
    """The vectors, as if there were many of them."""
    usual = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    monkeypatch.setattr(stored_vectors, "COARSE_FROM", 500)
    monkeypatch.setattr(vector_index, "COARSE_FROM", 500)
    monkeypatch.setattr(stored_vectors, "LARGE", 1000)
    monkeypatch.setattr(vector_index, "_PAID", 1000)  # so that cells are made after three scans
    monkeypatch.setattr(vector_index, "_BY_CELLS", 100)
    monkeypatch.setattr(stored_vectors, "_SCANNED", 700 * LENGTH)
    monkeypatch.setattr(vector_index, "_AT_ONCE", 700)
    monkeypatch.setattr(vector_index, "_FEWEST", 70)
    monkeypatch.setattr("triscope.which.search.cells._TOGETHER", 17)
    monkeypatch.setattr("triscope.which.search.cells._ROWS", 50)
    monkeypatch.setattr("triscope.which.search.cells._BLOCK", 700)
    shutil.rmtree(made[0].path / "cache", ignore_errors=True)
    yield Space(*made)
    torch.set_num_threads(usual)


def cells_of(found):
    return list((found.store.path / "cache").glob("*.cells-*"))


@pytest.fixture
def queries():
    return torch.from_numpy(clustered(10**6, 40)).float()


def nearest(found, queries, metric, rows=None):
    """The ten nearest rows of each query, by all the stored vectors in float64."""
    vectors = found.store.vectors(found.column, range(COUNT)).double()
    mean = vectors.mean(0)
    vectors, asked = vectors - mean, queries.double() - mean
    near = F.normalize(asked) @ F.normalize(vectors).T if metric == "cosine" else -torch.cdist(asked, vectors)
    if rows is not None:
        near[:, [row for row in range(COUNT) if row not in rows]] = -torch.inf
    return near.topk(10).indices


def recall(hits, expected):
    pairs = zip(hits, expected, strict=True)
    return np.mean([len(set(hit.rows.tolist()) & set(rows.tolist())) / 10 for hit, rows in pairs])


def test_what_is_found_by_cells_is_what_is_near(found, queries):
    found.make_cells()
    hits = [found.search(query, 10, "cosine") for query in queries]
    assert {hit.how for hit in hits} == {
        "Found among the 8% of 3,000 images that lie nearest; exact looks at every one."
    }
    assert recall(hits, nearest(found, queries, "cosine")) > 0.97
    assert torch.get_num_threads() == THREADS


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_without_cells_every_picture_is_looked_at(found, queries, metric, exact, monkeypatch):
    monkeypatch.setattr(vector_index, "_PAID", 1)
    hits = [Space(found.store, found.column).search(query, 10, metric, exact=exact) for query in queries]
    assert recall(hits, nearest(found, queries, metric)) == 1
    assert {hit.how for hit in hits} == {""}


def test_cells_are_made_when_scans_have_cost_as_much_and_then_kept(found, queries):
    ways = [bool(found.search(query, 10, "cosine").how) for query in queries[:5]]
    assert ways == [False, False, False, True, True]
    (kept,) = cells_of(found)
    before = kept.read_bytes()
    later = Space(found.store, found.column)
    hits = [later.search(query, 10, "cosine") for query in queries]
    assert all(hit.how for hit in hits)
    assert cells_of(found) == [kept]
    assert kept.read_bytes() == before
    for hit, query in zip(hits, queries, strict=True):
        assert hit.rows.tolist() == found.search(query, 10, "cosine").rows.tolist()
        torch.testing.assert_close(hit.scores, found.scores(query - found.mean, hit.rows, "cosine"))
    assert not {"short", "coarse", "lengths"} & set(vars(later))


def test_scans_of_all_processes_count(found, queries):
    ways = [Space(found.store, found.column).search(query, 10, "cosine").how for query in queries[:5]]
    assert ways[:3] == [""] * 3
    assert ways[3].startswith("Cells were made by this search, so that later ones are quick. Found among the 8% of ")
    assert ways[4].startswith("Found among the 8% of ")
    assert list((found.store.path / "cache").glob("*.scans")) == []


def test_scans_of_another_version_do_not_count(found, queries):
    found.search(queries[0], 10, "cosine")
    (tally,) = (found.store.path / "cache").glob("*.scans")
    column, version, rest = tally.name.split(".", 2)
    tally.write_bytes(b"..........")
    tally.rename(tally.with_name(f"{column}.{int(version) - 1}.{rest}"))
    assert Space(found.store, found.column).search(queries[0], 10, "cosine").how == ""
    assert [path.read_bytes() for path in (found.store.path / "cache").glob("*.scans")] == [b"."]


def test_searches_of_several_threads_leave_each_its_number_of_threads(found, queries):
    def searched(query):
        rows = found.search(query, 10, "cosine").rows.tolist()
        return rows, torch.get_num_threads()

    found.make_cells()
    alone = [found.search(query, 10, "cosine").rows.tolist() for query in queries]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(searched, queries)) == [(rows, THREADS) for rows in alone]
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(torch.get_num_threads).result() == THREADS


def test_what_is_asked_otherwise_does_not_go_by_cells(found, queries):
    found.make_cells()
    for asked in (
        {"metric": "euclidean"},
        {"metric": "cosine", "exact": True},
        {"metric": "cosine", "where": "key > 5"},
    ):
        assert found.search(queries[0], 10, **asked).how == ""


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)


def emptied(path):
    path.write_bytes(b"")


def forged(path, **changes):
    """A file whose name is right and that holds something else."""
    held = safetensors.torch.load(path.read_bytes()) | changes
    data = safetensors.torch.save({name: values for name, values in held.items() if values is not None})
    path.unlink()
    digest = hashlib.sha256(data).hexdigest()[:16]
    path.with_name(f"{path.name.partition('-')[0]}-{digest}.safetensors").write_bytes(data)


def beyond(path):
    forged(path, places=torch.arange(COUNT) + 1)


def out_of_order(path):
    forged(path, starts=safetensors.torch.load(path.read_bytes())["starts"].flip(0))


def of_other_type(path):
    forged(path, rows=torch.zeros(COUNT, 64))


def of_other_length(path):
    held = safetensors.torch.load(path.read_bytes())
    forged(path, rows=held["rows"][:, :60].contiguous(), centres=held["centres"][:, :60].contiguous())


def of_no_form(path):
    forged(path, centres=torch.zeros(()), starts=torch.zeros((), dtype=torch.int64))


def incomplete(path):
    forged(path, rows=None)


DAMAGES = [truncated, flipped, emptied, beyond, out_of_order, of_other_type, of_other_length, of_no_form, incomplete]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_of_cells_is_none_and_is_made_again(found, queries, damage):
    found.make_cells()
    (kept,) = cells_of(found)
    before = kept.read_bytes()
    damage(kept)
    later = Space(found.store, found.column)
    ways = [bool(later.search(query, 10, "cosine").how) for query in queries[:4]]
    assert ways == [False, False, False, True]
    assert [path.read_bytes() for path in cells_of(found)] == [before]


def test_cells_of_another_version_are_not_used_and_go(found, queries):
    found.make_cells()
    (kept,) = cells_of(found)
    column, version, rest = kept.name.split(".", 2)
    kept.rename(kept.with_name(f"{column}.{int(version) - 1}.{rest}"))
    later = Space(found.store, found.column)
    assert later.search(queries[0], 10, "cosine").how == ""
    later.make_cells()
    assert cells_of(found) == [kept]


def test_cells_that_cannot_be_kept_are_used_all_the_same(found, queries, monkeypatch):
    def full(path, data):
        raise StoreError("no space left on device")

    monkeypatch.setattr("triscope.which.search.cells.write_durably", full)
    ways = [bool(found.search(query, 10, "cosine").how) for query in queries[:4]]
    assert ways == [False, False, False, True]
    assert cells_of(found) == []


def test_scores_are_those_of_the_stored_vectors(found, queries):
    found.search(queries[0], 1, "cosine")
    rows = np.array([5, 17, 2999, 0])
    assert torch.equal(found.mapped[rows].float(), found.store.vectors(found.column, rows))
    assert list((found.store.path / "cache").glob("*.float16")) != []


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_several_queries_at_once_find_what_each_finds_alone(found, queries, metric, exact, large, monkeypatch):
    monkeypatch.setattr(stored_vectors, "LARGE", 1000 if large else 10_000)
    hits = found.search_all(queries, 10, metric, exact=exact)
    assert recall(hits, nearest(found, queries, metric)) > (0.999 if large or exact else 0.99)
    assert ("whole" in vars(found)) == (exact and not large)  # whole vectors are read where they are asked for
    for hit, query in zip(hits, queries, strict=True):
        torch.testing.assert_close(hit.scores, found.scores(query - found.mean, hit.rows, metric))
        assert hit.scores.tolist() == sorted(hit.scores.tolist(), reverse=metric == "cosine")
    where = "key % 100 = 7"
    rows = set(range(7, COUNT, 100))
    hits = found.search_all(queries, 10, metric, where=where, exact=exact)
    assert recall(hits, nearest(found, queries, metric, rows)) == 1
    assert len(found._scans._path.read_bytes()) == 1 if large else not found._scans._path.exists()


def test_several_queries_at_once_go_by_the_cells_that_each_goes_by_alone(found, queries):
    ways = [found.search_all(queries, 10, "cosine") for _ in range(3)]
    assert cells_of(found) == []
    ways.append(found.search_all(queries, 10, "cosine"))
    assert len(cells_of(found)) == 1
    together = found.search_all(queries, 10, "cosine")
    alone = [found.search(query, 10, "cosine") for query in queries]
    assert {hit.how for hit in alone} != {""}
    assert [hit.rows.tolist() for hit in together] == [hit.rows.tolist() for hit in alone]
    everything = nearest(found, queries, "cosine")
    assert [recall(hits, everything) for hits in ways[:3]] == [1, 1, 1]
    assert recall(found.search_all(queries, 10, "cosine", exact=True), everything) == 1


@pytest.mark.parametrize(("count", "blocks"), [(5, [1] * 40), (5, [100, 3, 100]), (50, [7, 60, 1]), (500, [7, 60, 1])])
def test_the_best_of_all_blocks_are_the_best_of_all(count, blocks):
    scores = torch.randn(9, sum(blocks), generator=torch.Generator().manual_seed(count))
    scores[4] = scores[4].sort().values  # each block better than the one before
    places = torch.randperm(1000)[: sum(blocks)]
    best = Best(9, count)
    for some, where in zip(scores.split(blocks, 1), places.split(blocks), strict=True):
        best.add(some, where)
    expected = places[scores.topk(min(count, sum(blocks))).indices]
    assert np.sort(best.places()).tolist() == expected.sort().values.tolist()


def test_what_has_no_score_is_never_among_the_best():
    best = Best(2, 3)
    best.add(torch.tensor([[1.0, 2, 3, 4, 5], [-torch.inf] * 5]), torch.arange(5))
    best.add(torch.tensor([[0.0, 9], [-torch.inf, 1]]), torch.arange(5, 7))
    assert [sorted(places.tolist()) for places in best.places()] == [[3, 4, 6], [6]]


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("key = 1234", {1234}),
        ("key % 100 = 7", set(range(7, COUNT, 100))),
        ("key % 10 < 7", {row for row in range(COUNT) if row % 10 < 7}),
        ("key >= 0", set(range(COUNT))),
        ("key < 0", set()),
    ],
)
def test_a_condition_is_right_however_few_meet_it(found, queries, where, rows):
    hits = [found.search(query, 10, "cosine", where=where) for query in queries]
    many = min(10, len(rows))
    assert all(len(hit.rows) == many and set(hit.rows.tolist()) <= rows for hit in hits)
    if many == 10:
        assert recall(hits, nearest(found, queries, "cosine", rows)) == 1


def test_many_vectors_are_asked_about_in_one_call(found, queries):
    store = found.store
    rows, scores = ts.nearest(store, queries.numpy(), "1", k=4)
    assert rows.shape == scores.shape == (40, 4)
    expected = nearest(found, queries, "cosine")[:, :4].tolist()
    assert np.mean([set(one) == set(other) for one, other in zip(rows.tolist(), expected, strict=True)]) > 0.9
    assert ts.nearest(store, queries, "1", where="key < 3")[0].shape == (40, 3)
    assert ts.nearest(store, queries[:0], "1")[0].shape == (0, 10)
    with pytest.raises(StoreError, match=r"Vectors of 1 are \(Q, 300\); these are \(300,\)"):
        ts.nearest(store, queries[0], "1")
    with pytest.raises(StoreError, match="not finite numbers"):
        ts.nearest(store, queries.where(queries < queries.max(), torch.inf), "1")


def test_it_is_said_where_not_every_picture_is_looked_at(found, monkeypatch):
    store = found.store
    monkeypatch.setattr(type(store), "thumbnails", lambda _, rows: tuple(torch.zeros(3, 4, 4) for _ in rows))
    vector = store.vectors(found.column, [3])[0]
    assert neighbors(store, vector, "1", k=3).notes == ()
    vector_index.space(store, found.column).make_cells()
    assert neighbors(store, vector, "1", k=3).notes[0].startswith("Found among the ")
    assert neighbors(store, vector, "1", k=3, exact=True).notes == ()
    assert neighbors(store, vector, "1", k=3, where="key > 5").notes == ()
    assert neighbors(store, vector, "1", k=3, metric="euclidean").notes == ()


def test_every_row_lies_in_the_cell_of_the_nearest_centre():
    rows = F.normalize(torch.randn(2500, 6)).bfloat16()
    cells = Cells.of(rows)
    assert cells.places.sort().values.tolist() == list(range(2500))
    assert torch.equal(cells.rows, rows[cells.places])
    for cell in range(len(cells.centres)):
        inside = cells.rows[cells.starts[cell] : cells.starts[cell + 1]].float()
        nearest_centre = (inside @ cells.centres.float().T).argmax(1)
        assert (nearest_centre == cell).float().mean() > 0.98  # products are rounded to bfloat16
    best = cells.near(rows[0], 1.0, 7)
    assert set(best.tolist()) == set((rows.float() @ rows[0].float()).topk(7).indices.tolist())
    assert cells.near(rows[0], 1.0, 9999).sort().values.tolist() == list(range(2500))
    whole = Cells(cells.centres, cells.places, rows[cells.places].float(), cells.starts)  # without ties by rounding
    for one, together in zip(rows[:300], whole.near_all(rows[:300].float(), 0.3, 20), strict=True):
        assert together.sort().values.tolist() == whole.near(one.float(), 0.3, 20).sort().values.tolist()
