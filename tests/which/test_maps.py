"""Maps of a store: PCA and t-SNE against other implementations, and what few or equal images become."""

import csv
import io
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import openTSNE
import PIL.Image
import pyarrow.parquet
import pytest
import safetensors.torch
import sklearn.decomposition
import sklearn.manifold
import torch
from click.testing import CliRunner
from scipy.linalg import subspace_angles
from torch import nn

import triscope as ts
from tests.which.conftest import paint, tiny_network
from triscope.cli import main
from triscope.errors import OptionError, StoreError
from triscope.network import Network
from triscope.which.database.projections import fit_blocks, total_variance
from triscope.which.maps.grid_assignment import _assigned, _halve, cells
from triscope.which.maps.map import _nearest, unit
from triscope.which.maps.reduction import coordinates
from triscope.which.store import Store


def build(folder, layers=("7",)):
    return Store.build(tiny_network(), folder, layers=list(layers), precision="float32")


def spread(count, length, seed=0):
    """Vectors whose components fall off slowly, from a mean that is not zero."""
    random = np.random.default_rng(seed)
    strengths = 1 / (1 + np.arange(length)) ** 0.7
    turned = np.linalg.qr(random.normal(size=(length, length)))[0]
    return torch.from_numpy(((random.normal(size=(count, length)) * strengths) @ turned + 3).astype(np.float32))


@pytest.mark.parametrize(("rank", "spare", "passes"), [(50, 50, 3), (10, 8, 11)], ids=["covariance", "iteration"])
def test_streamed_components_are_those_of_the_full_svd(rank, spare, passes):
    rows = spread(1500, 300)
    reads = []

    def blocks():
        reads.append(1)
        return iter(rows.split(170))

    found = fit_blocks(blocks, len(rows), 300, rank, spare=spare, rounds=8)
    exact = sklearn.decomposition.PCA(rank, svd_solver="full").fit(rows.double().numpy())
    kept = found.variance / total_variance(blocks, found.mean, len(rows))
    assert np.abs(kept.numpy() - exact.explained_variance_ratio_).max() < 1e-3 * exact.explained_variance_ratio_[0]
    assert subspace_angles(found.directions[:3].numpy().T, exact.components_[:3].T).max() < 1e-3
    assert len(reads) == passes


@pytest.fixture
def every_store_is_large(monkeypatch):
    monkeypatch.setattr("triscope.which.maps.kept.WORTH", 0)


def test_what_a_map_of_many_takes_is_made_once(photos, every_store_is_large, monkeypatch):
    store = build(photos(30))
    page = ts.pca(store)._page()
    for name in ("reduction._coordinates", "map._nearest", "page.sprites._made"):
        monkeypatch.setattr(f"triscope.which.maps.{name}", None)
    assert ts.pca(store)._page() == page


def test_what_was_kept_of_other_pictures_or_broken_is_made_again(photos, every_store_is_large):
    folder = photos(12)
    store = build(folder)
    first = ts.pca(store)
    page = first._page()
    for file in (store.path / "maps").iterdir():
        file.write_bytes(file.read_bytes()[:-5])
    again = ts.pca(store)
    assert again._page() == page
    assert torch.equal(again.values, first.values)
    photos(16)
    more = build(folder)
    assert len(ts.pca(more).rows) == 16
    assert b"15.jpg" in ts.pca(more)._page()


def test_what_was_kept_by_somebody_else_is_looked_at_before_it_is_shown(photos, every_store_is_large):
    store = build(photos(12))
    page, places = ts.pca(store)._page(), ts.tsne(store).values
    for file in (store.path / "maps").iterdir():
        kept = safetensors.torch.load_file(file)
        for other in (
            {name: value.flatten()[:1] for name, value in kept.items()},
            {name: value.to(torch.complex64) for name, value in kept.items()},
            {name: value.to(torch.int16) for name, value in kept.items()},
            dict(list(kept.items())[1:]),
            {},
        ):
            safetensors.torch.save_file(other, file)
            assert ts.pca(store)._page() == page
            assert torch.equal(ts.tsne(store).values, places)


def test_of_older_states_a_few_are_kept(photos, every_store_is_large):
    for count in range(10, 17):
        ts.pca(build(photos(count)))
    kept = [file.name.split("-")[0] for file in (build(photos(16)).path / "maps").iterdir()]
    assert kept == ["components"] * 4


def test_the_nearest_are_those_of_all_distances():
    values = spread(2500, 12)
    found, far = _nearest(values, 8)
    ways = torch.cdist(values.double(), values.double()).fill_diagonal_(torch.inf)
    assert np.abs(far - ways.topk(8, largest=False).values.numpy()).max() < 1e-3
    assert np.abs(far - ways.gather(1, torch.from_numpy(found).long()).numpy()).max() < 1e-3
    assert all(len(set(row)) == 8 for row in found.tolist())


def test_pca_is_where_vectors_lie_along_the_two_strongest_components(photos):
    store = build(photos(40))
    found = ts.pca(store)
    vectors = store.vectors(store.find("7"), found.rows).double().numpy()
    exact = sklearn.decomposition.PCA(2, svd_solver="full").fit(vectors)
    theirs = exact.transform(vectors)
    signs = np.sign((theirs * found.values.numpy()).sum(0))
    np.testing.assert_allclose(found.values.numpy(), theirs * signs, atol=2e-3 * np.abs(theirs).max())
    np.testing.assert_allclose(found.kept[:2], exact.explained_variance_ratio_, atol=1e-3)
    assert f"{exact.explained_variance_ratio_[0]:.1%}" in found.captions[0]


def test_new_pictures_lie_where_pca_puts_stored_ones(photos):
    folder = photos(12)
    store = build(folder)
    found = ts.pca(store)
    files = store.files(found.rows[:3])
    torch.testing.assert_close(found.transform(list(files)), found.values[:3], rtol=1e-2, atol=1e-2)


def groups(tmp_path, each=14):
    """Images in three groups of much the same colours."""
    random = np.random.default_rng(0)
    for group, colour in enumerate([(220, 40, 40), (40, 200, 60), (50, 60, 220)]):
        for number in range(each):
            noise = random.integers(-30, 30, (6, 6, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            path = tmp_path / "photos" / f"group{group}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).resize((40, 40), PIL.Image.Resampling.NEAREST).save(path)
    return tmp_path / "photos"


def test_tsne_keeps_neighbourhoods_as_well_as_opentsne_by_hand(tmp_path):
    store = build(groups(tmp_path))
    found = ts.tsne(store, perplexity=8)
    points = coordinates(store, store.find("7")).values.double().numpy()
    by_hand = openTSNE.TSNE(perplexity=8, initialization="pca", random_state=0, n_jobs=1).fit(points)
    ours, theirs = (
        sklearn.manifold.trustworthiness(points, places, n_neighbors=10)
        for places in (found.values.numpy(), np.asarray(by_hand))
    )
    assert ours > theirs - 0.01


def test_tsne_puts_groups_apart_and_new_pictures_among_their_own(tmp_path):
    folder = groups(tmp_path)
    store = build(folder)
    for group in range(3):  # held back
        for number in range(2):
            (folder / f"group{group}" / f"{number}.png").rename(tmp_path / f"new{group}{number}.png")
    store = build(folder)
    found = ts.tsne(store, perplexity=8)
    labels = np.array([name.split("/")[0] for name in found.names])
    placed = found.transform([tmp_path / f"new{group}{number}.png" for group in range(3) for number in range(2)])
    nearest = torch.cdist(placed, found.values).argmin(1).numpy()
    assert labels[nearest].tolist() == [f"group{group}" for group in range(3) for _ in range(2)]


def test_the_same_seed_gives_the_same_map_and_it_is_kept(photos):
    store = build(photos(20))
    steps = list(ts.tsne.steps(store, seed=3, steps=100))
    assert [step.index for step in steps] == [25, 33, 58, 83, 100]
    assert len(list(ts.tsne.steps(Store.open(store.path, store.network), seed=3, steps=100))) == 1
    again = ts.tsne(store, seed=3, steps=100)
    torch.testing.assert_close(again.values, steps[-1].result.values, rtol=0, atol=0)
    for kept in (store.path / "maps").iterdir():
        kept.unlink()
    torch.testing.assert_close(ts.tsne(store, seed=3, steps=100).values, again.values, rtol=0, atol=0)
    assert not torch.equal(ts.tsne(store, seed=4, steps=100).values, again.values)
    assert again.png() == ts.tsne(store, seed=3, steps=100).png()


def test_a_damaged_map_is_made_anew(photos):
    store = build(photos(8))
    first = ts.tsne(store, steps=50)
    (kept,) = (store.path / "maps").iterdir()
    kept.write_bytes(b"not a map")
    torch.testing.assert_close(ts.tsne(store, steps=50).values, first.values)


def test_an_interrupted_map_is_what_there_is_so_far(photos):
    store = build(photos(10))
    steps = ts.tsne.steps(store)
    step = next(steps)
    steps.close()
    assert step.index == 25
    assert step.result.values.isfinite().all()
    assert not (store.path / "maps").exists()


@pytest.mark.parametrize("verb", ["pca", "tsne"])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_few_pictures_make_a_map(photos, verb, count):
    store = build(photos(count))
    found = getattr(ts, verb)(store, size=300)
    assert found.values.shape == (count, 2)
    assert found.values.isfinite().all()
    assert found.draw().shape == found.mosaic().draw().shape == (3, 300, 300)
    assert found.forms[".html"]().startswith(b"<!doctype html>")
    if verb == "tsne" and count < 4:
        assert "too few" in found.notes[0]
    assert found.transform(store.files(found.rows)[0]).shape == (1, 2)


@pytest.mark.parametrize("verb", ["pca", "tsne"])
def test_equal_pictures_lie_in_one_place_and_it_is_said(tmp_path, verb):
    for number in range(6):
        paint(tmp_path / "photos" / f"{number}.png", 0)
    found = getattr(ts, verb)(build(tmp_path / "photos"), size=200)
    assert "same" in found.notes[0]
    assert (unit(found.values) == 0.5).all()
    assert found.forms[".html"]()
    assert found.draw().isfinite().all()


def test_many_equal_pictures_among_others_do_no_harm(tmp_path):
    for number in range(24):
        paint(tmp_path / "photos" / f"{number}.png", number % 3)
    found = ts.tsne(build(tmp_path / "photos"), perplexity=5)
    kind = torch.tensor([int(Path(name).stem) % 3 for name in found.names])
    nearest = torch.cdist(found.values, found.values).fill_diagonal_(torch.inf).argmin(1)
    assert (kind[nearest] == kind).all()  # the nearest point is that of an equal image


class SometimesNaN(nn.Module):
    """Twenty numbers of an image, which are not numbers where the first is positive."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3 * 32 * 32, 20)

    def forward(self, images):
        values = self.inner(images.flatten(1))
        return torch.where(values[:, :1] > 0, values * torch.nan, values)


@pytest.mark.parametrize("verb", ["pca", "tsne"])
def test_pictures_whose_vectors_are_no_numbers_are_left_out_and_counted(photos, verb):
    torch.manual_seed(0)
    network = Network(SometimesNaN(), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), size=32, name="odd")
    store = Store.build(network, photos(12), layers=["output"], precision="float32")
    count = len(store.errors())
    assert 0 < count < 8
    found = getattr(ts, verb)(store)
    assert len(found) == 12 - count
    assert found.values.isfinite().all()
    assert any(caption.startswith(f"{count} more image") for caption in found.captions)
    assert f"{count} more image".encode() in found.forms[".html"]()


def test_without_opentsne_it_says_what_to_install(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    store = build(photos(6))
    with pytest.raises(StoreError, match="pip install"):
        ts.tsne(store)
    assert len(ts.pca(store)) == 6


def test_no_picture_is_a_sentence(photos):
    store = build(photos(0))
    with pytest.raises(StoreError, match="no image"):
        ts.pca(store)


def test_tables_hold_places_names_and_metadata(photos):
    store = build(photos(6))
    found = ts.pca(store)
    rows = list(csv.DictReader(io.StringIO(found.forms[".csv"]().decode())))
    assert [row["name"] for row in rows] == list(found.names)
    assert {row["folder"] for row in rows} == {"cats", "dogs"}
    np.testing.assert_allclose([float(row["x"]) for row in rows], found.values[:, 0])
    table = pyarrow.parquet.read_table(io.BytesIO(found.forms[".parquet"]()))
    assert table.column_names == ["row", "name", "x", "y", "folder", "image"]
    first = table.column("image")[0].as_py()
    assert PIL.Image.open(io.BytesIO(first["bytes"])).size[0] > 10
    assert json.loads(table.schema.metadata[b"triscope"])["method"] == "pca"


def test_frames_are_coloured_by_metadata(photos):
    store = build(photos(6))
    plain, coloured = ts.pca(store, size=200), ts.pca(store, size=200, color_by="folder")
    assert not torch.equal(plain.draw(), coloured.draw())
    with pytest.raises(StoreError, match=r"no field 'folde' to colour by\. Nearest: folder"):
        ts.pca(store, color_by="folde")


def test_saving_as_something_else_is_refused(photos, tmp_path):
    with pytest.raises(OptionError, match=r"\.html"):
        ts.pca(build(photos(2))).save(tmp_path / "map.tiff")


@pytest.mark.parametrize("count", [1, 2, 7, 12, 100])
def test_every_picture_of_a_mosaic_has_a_cell_of_its_own(count):
    places = np.random.default_rng(count).random((count, 2)).astype(np.float32)
    found, (rows, cols) = cells(places)
    assert len({tuple(cell) for cell in found.tolist()}) == count
    assert found.min() >= 0
    assert (found < (rows, cols)).all()
    halved = np.empty_like(found)
    _halve(places, np.arange(count), (0, 0), (rows, cols), halved)
    assert len({tuple(cell) for cell in halved.tolist()}) == count
    assert (halved < (rows, cols)).all()


def test_assignment_makes_the_ways_as_short_as_can_be():
    places = np.random.default_rng(1).random((6, 2)).astype(np.float32)
    found = _assigned(places, 2, 3)

    def ways(chosen):
        centres = (np.array(chosen)[:, ::-1] + 0.5) / (3, 2)
        return np.square(places - centres).sum()

    grid = [(row, col) for row in range(2) for col in range(3)]
    assert ways(found) == pytest.approx(min(ways(order) for order in itertools.permutations(grid)))


def test_halving_keeps_neighbourhoods():
    places = np.random.default_rng(0).random((4000, 2)).astype(np.float32)
    found, (rows, cols) = cells(places)
    centres = (found[:, ::-1] + 0.5) / (cols, rows)
    assert np.linalg.norm(places - centres, axis=1).mean() < 0.05


def test_the_command_writes_every_form(photos, monkeypatch, tmp_path):
    folder = photos(8)
    build(folder)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["tsne", "photos", "--html", "--png", "--csv", "--parquet", "--steps", "50"])
    assert done.exit_code == 0, done.output
    names = [f"photos.tsne.{kind}" for kind in ("html", "png", "csv", "parquet")]
    assert done.stdout.split() == names
    assert all((tmp_path / name).is_file() for name in names)
    first = (tmp_path / "photos.tsne.png").read_bytes()
    done = CliRunner().invoke(main, ["pca", "photos", "-o", "out.png", "--csv", "--json"])
    assert [fact["out"] for fact in json.loads(done.stdout)["results"]] == ["out.png", "out.csv"]
    ts.redo(tmp_path / "photos.tsne.png", network=tiny_network()).save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == first
    assert CliRunner().invoke(main, ["pca", "photos", "-o", "out.png"]).exit_code == 1
