"""Neighbours, top images and patches, against a slow implementation."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.sparse.csgraph import connected_components
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import triscope as ts
from tests.which.conftest import paint, tiny_network
from triscope.errors import ImageError, ObjectiveError, StoreError
from triscope.network.loading._torchvision import import_torchvision
from triscope.objectives.base import Need
from triscope.which.database.projections import fit
from triscope.which.search.duplicates import duplicates
from triscope.which.search.neighbors import neighbors
from triscope.which.search.patches import patches
from triscope.which.search.top import Best, top
from triscope.which.search.vector_index import space
from triscope.which.store import Store

transforms = import_torchvision().transforms

LAYERS = ("1", "3", "7", "output")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(40):
        paint(
            folder / ("cats" if number % 3 else "dogs") / f"{number:02}.png", number, [(40, 56), (72, 48)][number % 2]
        )
    return folder


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("store")
    return Store.build(
        tiny_network(), folder, place, layers=LAYERS, maps=["3"], precision="float32", exact_preprocess=True
    )


@pytest.fixture(scope="module")
def look(store):
    """The activations of the images, computed without the store, in its order."""
    fit_in = transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32), transforms.ToTensor()])
    images = torch.stack([fit_in(PIL.Image.open(path)) for path in store.files(range(40))])
    return store.network.look(images, LAYERS)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_of_scikit_learn(store, metric):
    vectors = store.vectors(store.find("7"), range(40)).numpy()
    seen = vectors - vectors.mean(0) if metric == "cosine" else vectors
    distances, expected = NearestNeighbors(n_neighbors=6, metric=metric).fit(seen).kneighbors(seen)
    for row in range(40):
        found = neighbors(store, row, "7", k=5, metric=metric)
        assert found.rows == tuple(expected[row, 1:])
        scores = 1 - distances[row, 1:] if metric == "cosine" else distances[row, 1:]
        np.testing.assert_allclose(found.values.numpy(), scores, rtol=1e-3, atol=1e-3)


def test_a_picture_of_the_collection_finds_itself(store):
    for layer in ("7", "1", "input"):
        found = neighbors(store, store.files([11])[0], layer, k=3)
        assert found.rows[0] == 11
        assert float(found.values[0]) == pytest.approx(1, abs=2e-3)
        assert found.names[0] == store.names([11])[0]


def test_a_picture_may_be_of_any_kind(store):
    path = store.files([5])[0]
    expected = neighbors(store, path, "3", k=4).rows
    assert neighbors(store, PIL.Image.open(path), "3", k=4).rows == expected
    assert neighbors(store, store.vectors(store.find("3"), [5])[0], "3", k=4).rows == expected


def test_pixel_space_is_the_small_picture(store):
    seen = [np.asarray(PIL.Image.open(path).convert("RGB"), np.float32) for path in store.files(range(40))]
    assert len({picture.shape for picture in seen}) == 2
    pixels = torch.cat([store.network.prepare(path).images for path in store.files(range(40))])
    expected = pixels.unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5)).flatten(1)
    torch.testing.assert_close(store.vectors(store.find("input"), range(40)), expected, rtol=0, atol=4e-3)


def test_a_condition_leaves_the_rest_out(store):
    found = neighbors(store, 0, "7", k=40, where="folder = 'dogs'")
    assert {name.split("/")[0] for name in found.names} == {"dogs"}
    assert len(found) == sum(name.startswith("dogs") for name in store.names(range(40))) - (
        store.names([0])[0][:4] == "dogs"
    )
    with pytest.raises(StoreError, match=r"have no field fodler\. Nearest: folder"):
        neighbors(store, 0, "7", where="fodler = 'dogs'")


def test_what_cannot_be_asked_is_a_sentence(store):
    with pytest.raises(StoreError, match="does not keep 5"):
        neighbors(store, 0, "5")
    with pytest.raises(StoreError, match="Row 40"):
        neighbors(store, 40)
    with pytest.raises(StoreError, match="300 numbers"):
        neighbors(store, torch.zeros(7), "7")
    with pytest.raises(ImageError, match="does not exist"):
        neighbors(store, "nowhere.jpg", "7")
    with pytest.raises(ObjectiveError, match="one unit"):
        patches(store, 3)
    with pytest.raises(StoreError, match="whole maps"):
        top(store, "1:2@3,4")


@pytest.mark.parametrize("unit", [2, "prob:1", "1:3", "max:1:3", "3:5", "7:123", "3:2@1,4"])
def test_the_top_pictures_are_those_of_the_live_network(store, look, unit):
    objective = ts.unit(str(unit))
    scores = objective(look)
    found = top(store, unit, k=7)
    order = scores.argsort(descending=True)[:7]
    torch.testing.assert_close(found.values, scores[order], rtol=3e-3, atol=3e-3)
    torch.testing.assert_close(scores[list(found.rows)], scores[order], rtol=3e-3, atol=3e-3)


def test_any_sum_of_units_can_be_sorted_by(store, look):
    objective = ts.Logit(1) - 0.5 * ts.Channel("3", 4, "max")
    found = top(store, objective, k=5)
    torch.testing.assert_close(found.values, objective(look).sort(descending=True).values[:5], rtol=3e-3, atol=3e-3)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_patches_are_the_maxima_of_whole_maps_cut_exactly(store, look, layer):
    """Images, rows and columns by brute force on the full maps, and the pixels by slicing."""
    values = look[Need(layer)]
    seen = look[Need("input")]
    rows, cols = values.shape[2:]
    for channel in range(values.shape[1]):
        flat = values[:, channel].flatten(1)
        order = flat.amax(1).argsort(descending=True, stable=True)[:6]
        found = patches(store, ts.Channel(layer, channel), k=6)
        assert found.rows == tuple(order.tolist())
        assert found.positions == tuple(divmod(int(flat[row].argmax()), cols) for row in order)
        torch.testing.assert_close(found.values, flat[order].amax(1))
        for row, (y, x), patch in zip(found.rows, found.positions, found.pictures, strict=True):
            # Layer 1: windows of 5, stride 2, padded by 2. Layer 3: windows of 3 over these.
            start = (2 * y - 2, 2 * x - 2)
            size = 5 if layer == "1" else 9
            top_row, left = max(start[0], 0), max(start[1], 0)
            expected = seen[row, :, top_row : min(start[0] + size, 32), left : min(start[1] + size, 32)]
            torch.testing.assert_close(patch, expected, rtol=0, atol=0)
    assert rows == cols


def told(found):
    """What patches were found, whatever rows their images stand in."""
    return list(zip(found.names, found.positions, found.values.tolist(), strict=True))


def test_the_best_patches_of_shards_are_those_of_the_whole(folder, store, tmp_path):
    for part in (3, 1, 2):
        parts = Store.build(
            tiny_network(), folder, tmp_path, layers=LAYERS, maps=["3"], precision="float32", exact_preprocess=True,
            shard=(part, 3),
        )  # fmt: skip
    for unit in [f"{layer}:{channel}" for layer, count in (("1", 4), ("3", 6)) for channel in range(count)]:
        assert told(patches(parts, unit, k=9)) == told(patches(store, unit, k=9))
        assert top(parts, f"max:{unit}", k=9).names == patches(store, unit, k=9).names


def test_the_best_patches_move_up_when_the_best_picture_goes(tmp_path):
    for number in range(12):
        paint(tmp_path / "photos" / f"{number}.png", number)
    store = Store.build(tiny_network(), tmp_path / "photos", layers=["3"], precision="float32")
    before = told(patches(store, "3:2", k=4))
    (tmp_path / "photos" / before[0][0]).unlink()
    after = told(patches(Store.build(tiny_network(), tmp_path / "photos", layers=["3"], precision="float32"), "3:2"))
    assert after[:3] == before[1:]


def test_patches_of_a_neuron_stand_at_its_position(store, look):
    found = patches(store, "3:2@1,4", k=3)
    assert found.positions == ((1, 4),) * 3
    assert {(box.top, box.left, box.height, box.width) for box in found.boxes} == {(0, 6, 9, 9)}


def test_the_best_of_parts_are_the_best_of_all():
    scores = torch.randint(0, 6, (60,)).float()
    rows = torch.randperm(60)
    whole = [(-float(scores[at]), int(rows[at])) for at in range(60)]
    expected = [row for _, row in sorted(whole)][:9]
    parts = [Best(scores[part], rows[part], rows[part], 9) for part in torch.randperm(60).chunk(7)]
    left = sum(parts[1:], parts[0])
    right = parts[0] + (parts[1] + (parts[2] + (parts[3] + (parts[4] + (parts[5] + parts[6])))))
    assert left.rows.tolist() == right.rows.tolist() == left.extra.tolist() == expected


@pytest.mark.parametrize("shape", [(400, 60), (90, 200), (30, 50)])
def test_principal_components_are_those_of_scikit_learn(shape):
    rows = torch.randn(shape) * torch.linspace(4, 0.1, shape[1]) + 3
    found = fit(rows, 8)
    expected = PCA(8, svd_solver="full").fit(rows.numpy())
    np.testing.assert_allclose(found.variance.numpy(), expected.explained_variance_, rtol=2e-2)
    overlap = np.abs(np.linalg.svd(found.directions.numpy() @ expected.components_.T)[1])
    assert overlap[:4].min() > 0.99
    projected, rest = found(rows)
    torch.testing.assert_close(projected.square().sum(1) + rest.square(), (rows - rows.mean(0)).square().sum(1))


@pytest.mark.parametrize("independent", [299, 20])
def test_components_of_few_rows_are_orthonormal_whatever_their_rank(independent):
    rows = torch.randn(300, independent) @ torch.randn(independent, 400)
    found = fit(rows)
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(256), atol=1e-5, rtol=0)
    exact = torch.linalg.svdvals((rows - rows.mean(0)).double())[:256].square() / 299
    torch.testing.assert_close(found.variance.double(), exact, rtol=1e-4, atol=1e-6 * float(exact[0]))


def test_searching_projections_finds_what_searching_whole_vectors_finds(tmp_path):
    """300 numbers per image and 400 images: more than 256 of both, so there is a projection."""
    for number in range(400):
        paint(tmp_path / "photos" / f"{number:03}.png", number)
    store = Store.build(tiny_network(), tmp_path / "photos", tmp_path / "store", layers=["7"], precision="float32")
    assert space(store, store.find("7")).projection is not None
    vectors = store.vectors(store.find("7"), range(400))
    for metric in ("cosine", "euclidean"):
        seen = vectors - vectors.mean(0)
        near = (
            -torch.cdist(seen, seen)
            if metric == "euclidean"
            else torch.nn.functional.normalize(seen) @ torch.nn.functional.normalize(seen).T
        )
        near.fill_diagonal_(-1e9)
        expected = near.topk(10).indices
        for row in range(0, 400, 7):
            for exact in (False, True):
                assert set(neighbors(store, row, "7", k=10, metric=metric, exact=exact).rows) == set(
                    expected[row].tolist()
                )


def test_an_index_finds_nearly_the_same_and_new_pictures_too(tmp_path):
    for number in range(600):
        paint(tmp_path / "photos" / f"{number:03}.png", number)
    store = Store.build(tiny_network(), tmp_path / "photos", tmp_path / "store", layers=["7"], precision="float32")
    expected = [set(neighbors(store, row, "7", k=10).rows) for row in range(0, 600, 20)]
    store.add_index("7")
    found = [set(neighbors(store, row, "7", k=10).rows) for row in range(0, 600, 20)]
    assert sum(len(one & other) for one, other in zip(found, expected, strict=True)) >= 0.95 * 300
    assert {
        row % 2 for row in neighbors(store, 0, "7", k=10, where="name LIKE '%1.png' OR name LIKE '%3.png'").rows
    } == {1}
    paint(tmp_path / "photos" / "new.png", 20)
    (tmp_path / "photos" / "broken.png").touch()
    store = Store.build(tiny_network(), tmp_path / "photos", tmp_path / "store")
    assert "broken.png" not in neighbors(store, 20, "7", k=601).names
    assert neighbors(store, 20, "7", k=1).names == ("new.png",)
    with pytest.raises(StoreError, match="does not keep 3"):
        store.add_index("3")


@pytest.mark.parametrize("count", [40, 300])  # with a projection, and without
def test_duplicates_are_what_the_whole_matrix_links(tmp_path, count):
    for number in range(count):
        paint(tmp_path / "photos" / f"{number:03}.png", number)
    for number in (3, 8, 21):
        with PIL.Image.open(tmp_path / "photos" / f"{number:03}.png") as image:
            image.save(tmp_path / "photos" / f"{number:03} copy.jpg", quality=90)
            image.resize((80, 60)).save(tmp_path / "photos" / f"{number:03} small.png")
    store = Store.build(tiny_network(), tmp_path / "photos", tmp_path / "store", layers=["7"], precision="float32")
    vectors = store.vectors(store.find("7"), range(len(store)))
    seen = torch.nn.functional.normalize(vectors - vectors.mean(0))
    for least in (0.9, 0.97):
        linked, labels = connected_components((seen @ seen.T >= least).numpy())
        expected = [np.flatnonzero(labels == label) for label in range(linked)]
        groups = [tuple(group.tolist()) for group in expected if len(group) > 1]
        found = duplicates(store, least=least)
        rows, names, numbers = (np.array(part) for part in (found.rows, found.names, found.groups))
        assert [tuple(rows[numbers == number].tolist()) for number in range(1, len(groups) + 1)] == groups
    copies = {tuple(name[:3] for name in names[numbers == number]) for number in numbers}
    assert copies >= {("003",) * 3, ("008",) * 3, ("021",) * 3}


def few(folder, tmp_path, count, same=False):
    for number in range(count):
        paint(folder / f"{number}.png", 0 if same else number)
    return Store.build(tiny_network(), folder, tmp_path / "store", layers=["1", "7"], precision="float32")


def test_one_picture_has_no_neighbour_but_answers(tmp_path):
    store = few(tmp_path / "photos", tmp_path, 1)
    assert len(neighbors(store, 0, "7")) == 0
    assert neighbors(store, tmp_path / "photos" / "0.png", "7").rows == (0,)
    assert top(store, "7:3").rows == (0,)


def test_two_pictures_are_each_others_neighbours(tmp_path):
    store = few(tmp_path / "photos", tmp_path, 2)
    assert neighbors(store, 0, "7").rows == (1,)
    assert float(neighbors(store, 0, "7").values) == pytest.approx(-1, abs=1e-4)  # opposite, seen from between them


def test_identical_pictures_are_alike(tmp_path):
    store = few(tmp_path / "photos", tmp_path, 5, same=True)
    for metric, score in (("cosine", 1), ("euclidean", 0)):
        for layer in ("1", "7", "input"):
            found = neighbors(store, 2, layer, metric=metric)
            assert found.rows == (0, 1, 3, 4)
            assert found.values.tolist() == pytest.approx([score] * 4, abs=1e-3)


def test_constant_vectors_are_alike(tmp_path):
    for number in range(300):
        paint(tmp_path / "photos" / f"{number}.png", 0)
    store = Store.build(tiny_network(), tmp_path / "photos", tmp_path / "store", layers=["7"], precision="float32")
    found = neighbors(store, 0, "7", k=3)
    assert found.values.tolist() == [1, 1, 1]
    assert found.values.isfinite().all()


def test_an_empty_store_answers_with_nothing(tmp_path):
    (tmp_path / "photos").mkdir()
    store = few(tmp_path / "photos", tmp_path, 0)
    assert len(neighbors(store, torch.zeros(300), "7")) == 0
    assert len(top(store, "7:3")) == 0
    assert len(patches(store, "1:0")) == 0


def test_a_gallery_can_be_saved(store, tmp_path):
    found = neighbors(store, 0, "7", k=4)
    for suffix in (".png", ".npy", ".json", ".csv"):
        assert found.save(tmp_path / f"found{suffix}").stat().st_size
    told = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert [entry["name"] for entry in told["found"]] == list(found.names)
    assert ts.Recipe.of_file(tmp_path / "found.png").method == "neighbors"
    assert found[1].names == found.names[1:2]
