"""From files to network inputs, and collections of files."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from tests.which.conftest import paint, tiny_network
from triscope.errors import StoreError, TriscopeWarning
from triscope.images import read_image
from triscope.network import Network
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.preprocess import Preprocess
from triscope.objectives.base import Need
from triscope.which.collection import Collection
from triscope.which.database.schema import choose
from triscope.which.indexing.decoding import Embedder, decode, ordered, small
from triscope.which.store import Store

transforms = import_torchvision().transforms


def grey_network():
    return Network(nn.Conv2d(1, 2, 3), mean=(0.5,), std=(0.25,), size=32)


@pytest.mark.parametrize("size", [(300, 401), (517, 260), (224, 224), (100, 90), (256, 257), (999, 313)])
@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_exact_is_torchvisions_transform_to_the_bit(tmp_path, size, how):
    path = paint(tmp_path / "photo.jpg", 3, size)
    mode = transforms.InterpolationMode.BILINEAR if how == "bilinear" else transforms.InterpolationMode.BICUBIC
    published = transforms.Compose([transforms.Resize(256, mode), transforms.CenterCrop(224), transforms.PILToTensor()])
    expected = published(PIL.Image.open(path)).permute(1, 2, 0).numpy()
    assert np.array_equal(decode(str(path), Preprocess((224, 224), 256, how), 3, exact=True).pixels, expected)


@pytest.mark.parametrize("size", [(300, 401), (1517, 1260), (3000, 2000), (100, 90), (120, 2400)])
@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_the_fast_way_is_close_to_the_exact_one(tmp_path, size, how):
    path = paint(tmp_path / "photo.jpg", 3, size)
    seen = Preprocess((224, 224), 256, how)
    fast, exact = (decode(str(path), seen, 3, exact=exact).pixels for exact in (False, True))
    assert fast.shape == exact.shape
    assert np.abs(fast.astype(int) - exact).mean() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (2, 3)])
def test_pictures_of_any_shape_are_seen_and_have_a_thumbnail(tmp_path, size):
    decoded = decode(str(paint(tmp_path / "photo.png", 3, size)), Preprocess((224, 224), 256), 3)
    assert decoded.pixels.shape == (224, 224, 3)
    shown = read_image(decoded.thumbnail).shape[2:]
    assert max(shown) == min(max(size), 128)


@pytest.mark.parametrize("network", [tiny_network(), Network(nn.Conv2d(3, 2, 3), size=32), grey_network()])
def test_pictures_are_normalised_as_the_network_does_it(network):
    images = torch.randint(0, 256, (3, network.channels, 32, 48), dtype=torch.uint8)
    embed = Embedder(network, choose(network, [next(iter(network.layers))]), "float32")
    for given in (images, images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), images / 255):
        for room in (torch.empty(0), torch.empty(3, 32, 48, network.channels).permute(0, 3, 1, 2)):
            before = given.clone()
            assert torch.equal(embed._normalised(given, room), network.normalise(images / 255))
            assert torch.equal(given, before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_layer_says_of_a_batch_stays_when_the_next_one_is_seen(precision):
    """Also where it says what it is given, and where several threads ask."""
    network = Network(nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(32 * 32, 4)), size=32, channels=1)
    columns = choose(network, [Need("0", "none"), Need("2")])
    batches = [torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in range(24)]
    alone = [Embedder(network, columns, precision)(batch) for batch in batches]
    embed = Embedder(network, columns, precision)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(embed, batches))
    for batch, one, other in zip(batches, alone, together, strict=True):
        assert all(torch.equal(one[column.name], other[column.name]) for column in columns)
        torch.testing.assert_close(other[columns[0].name].flatten(1), batch.flatten(1), atol=4e-3, rtol=4e-3)


def test_the_small_picture_of_bytes_is_that_of_floats():
    images = torch.randint(0, 256, (3, 3, 32, 48), dtype=torch.uint8)
    torch.testing.assert_close(small(images), small(images / 255))


def test_grey_networks_see_grey(tmp_path):
    path = str(paint(tmp_path / "photo.png", 1))
    grey, colours = (decode(path, Preprocess((32, 48), 36), channels).pixels for channels in (1, 3))
    assert grey.shape == (32, 48, 1)
    assert np.abs(grey[..., 0] - colours @ [0.299, 0.587, 0.114]).max() <= 1.5  # of 255: luminance, rounded


def test_a_turned_picture_is_seen_upright(tmp_path):
    path = paint(tmp_path / "photo.jpg", 1, (400, 600))
    image = PIL.Image.open(path)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright, turned = (
        decode(str(tmp_path / name), Preprocess((32, 32), 32), 3) for name in ("photo.jpg", "turned.jpg")
    )
    assert (turned.height, turned.width) == (upright.height, upright.width) == (400, 600)
    assert np.abs(upright.pixels.astype(int) - turned.pixels).mean() < 4


def test_other_depths_and_transparency_are_read(tmp_path):
    deep = np.linspace(0, 65535, 60 * 50).reshape(60, 50).astype(np.uint16)
    PIL.Image.fromarray(deep).save(tmp_path / "deep.png")
    PIL.Image.new("RGBA", (50, 60), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    deep_seen = decode(str(tmp_path / "deep.png"), Preprocess((48, 48), 48), 3)
    with pytest.warns(TriscopeWarning, match="transparent everywhere"):
        clear = decode(str(tmp_path / "clear.png"), Preprocess((48, 48), 48), 3)
    assert deep_seen.error is None
    assert np.diff(deep_seen.pixels[:, 24, 0].astype(int)).min() >= 0
    assert deep_seen.pixels.max() > 200
    assert (clear.pixels == 255).all()


def test_work_in_threads_comes_back_in_order_and_never_runs_far_ahead():
    asked = []

    def items():
        for number in range(50):
            asked.append(number)
            yield number

    done = []
    for number, square in ordered(lambda number: number**2, items(), 4, 8):
        done.append((number, square))
        assert len(asked) - len(done) <= 9
    assert done == [(number, number**2) for number in range(50)]


def names(source):
    return [entry.name for entry in Collection(source)]


def test_a_folder_is_walked_in_order_and_only_for_pictures(tmp_path):
    for name in ("b/2.JPG", "b/1.jpeg", "a/x.PnG", "top.webp", "c d/é.png", ".hidden/no.png", ".no.png"):
        paint(tmp_path / name, 0).touch() if not name.endswith("webp") else (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "without").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "other").write_bytes(b"plain text")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "loop_a.jpg").symlink_to(tmp_path / "loop_b.jpg")
    (tmp_path / "loop_b.jpg").symlink_to(tmp_path / "loop_a.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert names(tmp_path) == [
        "a/x.PnG", "b/1.jpeg", "b/2.JPG", "c d/é.png", "folder.jpg", "loop_a.jpg", "loop_b.jpg", "top.webp", "without",
    ]  # fmt: skip


def test_a_name_that_is_not_text_is_kept(tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff\n.png"
    paint(tmp_path / "plain.png", 0).rename(os.fsdecode(odd))
    (entry,) = Collection(tmp_path)
    assert (entry.id, entry.name) == (b"\xff\n.png", "\\xff\\n.png")
    store = Store.build(tiny_network(), tmp_path, tmp_path / "store", layers=["1"])
    assert os.fsencode(store.files([0])[0]) == odd


def test_a_csv_names_pictures_and_what_is_known_of_them(tmp_path):
    for number in range(3):
        paint(tmp_path / "photos" / f"{number}.png", number)
    (tmp_path / "list.csv").write_text(
        "file,animal,code\nphotos/0.png,cat,a\nphotos/2.png,dog's,b\nphotos/9.png,none,c\n"
    )
    store = Store.build(tiny_network(), tmp_path / "list.csv", tmp_path / "store", layers=["1"])
    assert len(store) == 2
    assert [name for name, _ in store.errors()] == ["photos/9.png"]
    assert store.table.rows_where("animal = 'dog''s'").tolist() == [1]
    (tmp_path / "list.csv").write_text("file,animal,code\nphotos/0.png,lynx,a\nphotos/2.png,dog's,b\n")
    store = Store.build(tiny_network(), tmp_path / "list.csv", tmp_path / "store")
    assert sorted(store.table.column("animal")) == ["dog's", "lynx"]


def test_lists_and_patterns_are_collections(tmp_path):
    paths = [paint(tmp_path / name, 0) for name in ("1.png", "2.jpg", "3.png")]
    assert names([paths[2], paths[0], paths[2]]) == [str(paths[2]), str(paths[0])]
    assert names(str(tmp_path / "*.png")) == ["1.png", "3.png"]
    assert Collection(str(tmp_path / "*.png")).root == tmp_path


@pytest.mark.parametrize("source", ["nowhere", "table.csv"])
def test_what_is_no_collection_is_a_sentence(tmp_path, source):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StoreError, match=r"does not exist|names no images that are there"):
        Collection(tmp_path / source)


def test_the_small_picture_keeps_the_shape(tmp_path):
    decoded = decode(str(paint(tmp_path / "photo.jpg", 3, (600, 900))), Preprocess((32, 32), 32), 3)
    assert tuple(read_image(decoded.thumbnail).shape) == (1, 3, 85, 128)
    picture = read_image(tmp_path / "photo.jpg")
    small = torch.nn.functional.interpolate(picture, (85, 128), mode="bilinear", antialias=True)
    assert (read_image(decoded.thumbnail) - small).abs().mean() < 0.02
