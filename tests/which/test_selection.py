"""What a selection has in common, against scipy, a slow mean, and intervals that are counted."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import triscope as ts
from tests.which.conftest import tiny_network
from triscope import render
from triscope.errors import OptionError, StoreError
from triscope.which.search.selection import standardised_difference
from triscope.which.search.vector_index import Space
from triscope.which.store import Store

stats = pytest.importorskip("scipy.stats", reason="needs scipy to compare with")


@pytest.fixture
def store(network, photos):
    return Store.build(network, photos(12), layers=["3", "7", "output"], precision="float32")


def moments(one, other):
    sums = (one.sum(0), other.sum(0))
    return (len(one), len(other)), sums, (one.square().sum(0), other.square().sum(0))


def test_differences_are_those_of_a_t_test_with_a_pooled_spread():
    """t = (m1 - m0) / (s sqrt(1/n1 + 1/n0)), and g = J t sqrt(1/n1 + 1/n0)."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(7, 5, generator=generator, dtype=torch.float64) + torch.arange(5)
    other = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    found, half = standardised_difference(*moments(one, other))
    t = stats.ttest_ind(one.numpy(), other.numpy()).statistic
    factor = 1 - 3 / (4 * (18 - 2) - 1)
    wanted = torch.from_numpy(t) * factor * math.sqrt(1 / 7 + 1 / 11)
    torch.testing.assert_close(found, wanted)
    z = stats.norm.ppf(1 - 0.025 / 5)
    torch.testing.assert_close(half, z * (18 / 77 + wanted**2 / 36).sqrt())


def test_all_intervals_hold_the_truth_at_once_in_95_of_100_draws():
    """200 draws of 8 units that differ by 0 to 1.4 standard deviations: all intervals right in 92 % or more."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.arange(8, dtype=torch.float64) / 5
    right = 0
    for _ in range(200):
        one = torch.randn(30, 8, generator=generator, dtype=torch.float64) + truth
        other = torch.randn(60, 8, generator=generator, dtype=torch.float64)
        found, half = standardised_difference(*moments(one, other))
        right += bool(((found - truth).abs() <= half).all())
    assert 184 <= right < 200


def test_a_unit_that_never_varies_tells_nothing():
    still = torch.full((4, 1), 0.1, dtype=torch.float64)
    found, _ = standardised_difference(*moments(still, still))
    assert found.tolist() == [0]


def test_units_mean_picture_and_neighbours_are_those_of_the_stored_vectors(store):
    rows = [1, 4, 5, 9]
    found = ts.selection(store, rows=rows, units=3, k=4)
    others = [row for row in range(12) if row not in rows]
    unit = found.units[0]
    layer, channel = unit.unit.split(":")
    vectors = store.vectors(store.find(layer), range(12)).double().numpy()[:, int(channel)]
    assert unit.inside == pytest.approx(vectors[rows].mean())
    assert unit.outside == pytest.approx(vectors[others].mean())
    t = stats.ttest_ind(vectors[rows], vectors[others]).statistic
    assert unit.difference == pytest.approx(t * math.sqrt(1 / 4 + 1 / 8) * (1 - 3 / 39), rel=1e-6)
    assert unit.low < unit.difference < unit.high
    everything = np.concatenate(
        [store.vectors(store.find(one), range(12)).double().numpy() for one in ("3", "7", "output")], 1
    )
    largest = np.nanmax(np.abs(stats.ttest_ind(everything[rows], everything[others]).statistic))
    assert abs(t) == pytest.approx(largest)
    wanted = torch.stack([render.square(one, 128) for one in store.thumbnails(rows)]).mean(0)
    torch.testing.assert_close(found.mean, wanted)
    column = store.find(store.columns[0].layer)
    every = store.vectors(column, range(12))
    seen = every - every.mean(0)
    cosines = torch.cosine_similarity(seen[others], seen[rows].mean(0)[None])
    best = cosines.argsort(descending=True)[:4]
    assert list(found.neighbors.rows) == [others[place] for place in best.tolist()]
    torch.testing.assert_close(found.values, torch.tensor([one.difference for one in found.units]))


def test_a_condition_selects_the_same_as_its_rows(store):
    cats = [row for row, name in enumerate(store.names(range(12))) if name.startswith("cats")]
    one, other = ts.selection(store, where="folder = 'cats'"), ts.selection(store, rows=cats)
    assert one.rows == other.rows == tuple(cats)
    assert [unit.unit for unit in one.units] == [unit.unit for unit in other.units]
    assert json.loads(one.forms[".json"]())["pictures"] == len(cats)
    assert one.forms[".csv"]().decode().startswith("unit,name,difference,low,high")
    assert one.units[0].unit in one.text()


def test_one_picture_is_told_from_nothing_but_has_neighbours(store):
    found = ts.selection(store, layer="7", rows=[3])
    assert found.units == ()
    assert "takes two images" in found.notes[0]
    assert 3 not in found.neighbors.rows
    assert len(found.neighbors.rows) == 9


def test_all_pictures_have_a_mean_and_no_rest(store):
    found = ts.selection(store)
    assert (found.units, found.neighbors.rows, len(found.rows)) == ((), (), 12)
    torch.testing.assert_close(found.draw(), found.mean)
    assert found.png().startswith(b"\x89PNG")


def test_what_is_no_selection_is_refused(store):
    with pytest.raises(OptionError, match="give one of the two"):
        ts.selection(store, rows=[1], where="width > 1")
    with pytest.raises(StoreError, match="Row 99 has no vector"):
        ts.selection(store, rows=[1, 99])
    with pytest.raises(StoreError, match="No image of the store meets"):
        ts.selection(store, where="folder = 'fish'")
    with pytest.raises(OptionError, match="Pixels are not units"):
        ts.selection(store, "input", rows=[1, 2])


def test_classes_have_their_names(photos):
    network = tiny_network()
    network.classes = tuple("abcde")
    found = ts.selection(Store.build(network, photos(8), layers=["output"]), layer="output", rows=[0, 1, 2])
    assert {(one.unit, one.name) for one in found.units} == {(f"output:{i}", name) for i, name in enumerate("abcde")}


def test_a_search_that_may_have_missed_some_says_so_here_too(store, monkeypatch):
    whole = Space.search
    partly = "Found among the 8% that lie nearest."
    monkeypatch.setattr(Space, "search", lambda *a, **b: dataclasses.replace(whole(*a, **b), how=partly))
    assert partly in ts.selection(store, rows=[0, 1, 2]).notes
