"""Networks that read other than one or three channels, the images they are given, and statistics of either."""

import io

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope import render
from triscope.errors import ImageError, NetworkError, OptionError
from triscope.images import open_photo
from triscope.reporting import report

tifffile = pytest.importorskip("tifffile")
BANDS = torch.rand(1, 6, 5, 7, generator=torch.Generator().manual_seed(0))


def bands(count=6, **known):
    return nets.network(nets.fill(nets.cnn(count)), **({"mean": None, "std": None} | known))


def tiff(array, **how):
    data = io.BytesIO()
    tifffile.imwrite(data, array, **how)
    return data.getvalue()


def levels(channels, kind=np.uint8):
    top = np.iinfo(kind).max if kind != np.float32 else 1
    return (np.random.default_rng(0).random((5, 7, channels)) * top).astype(kind)


def as_tensor(array):
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[array.dtype.type]
    return torch.from_numpy(array.astype(np.float32) / top).permute(2, 0, 1)[None]


def test_the_gradient_of_six_bands_is_that_of_autograd():
    network = bands(mean=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), std=0.5)
    module = nn.Sequential(nets.Normalise(network.mean, network.std), network.module).eval()
    images = BANDS.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(module(images)[:, 2].sum(), images)
    torch.testing.assert_close(ts.gradient(network, BANDS, 2).values, wanted)


@pytest.mark.parametrize(
    ("stated", "channels", "shown"),
    [({"show": (3, 2, 1)}, 6, (3, 2, 1)), ({"show": 4}, 6, (4, 4, 4)), ({}, 6, (0, 1, 2)), ({}, 2, (0, 1, 1))],
)
def test_pictures_are_drawn_in_the_channels_shown(stated, channels, shown):
    network = bands(channels, **stated)
    picture = ts.ascend(network, 1, steps=1, size=16, regulariser="none")
    assert picture.values.shape == (1, channels, 16, 16)
    torch.testing.assert_close(picture.draw(), picture.values[0][list(shown)])
    heat = ts.input_x_gradient(network, BANDS[:, :channels], 1, channels="keep")
    torch.testing.assert_close(heat.draw(), (0.5 + heat.values[0][list(shown)] / (2 * heat.scale)).clamp(0, 1))
    told = [note for note in picture.notes if "images show" in note]
    assert bool(told) != bool(stated)


def test_the_map_over_the_picture_is_saved_in_colours(tmp_path):
    heat = ts.saliency(bands(show=(3, 2, 1)), BANDS, 0)
    beside = heat.side_by_side()
    torch.testing.assert_close(beside.draw()[:, :, :7], BANDS[0, [3, 2, 1]])
    assert beside.save(tmp_path / "beside.png").exists()


def test_what_is_shown_of_three_channels_can_be_stated_too():
    network = bands(3, show=(2, 1, 0))
    overlay = ts.saliency(network, BANDS[:, :3], 0).side_by_side()
    torch.testing.assert_close(overlay.draw()[:, :, :7], BANDS[0, [2, 1, 0]])


@pytest.mark.parametrize("show", [(0, 1), (0, 1, 6), -1, ()])
def test_channels_that_cannot_be_shown_are_refused(show):
    with pytest.raises(NetworkError, match=r"three channels .* or one, from 0 to 5"):
        bands(show=show)


def test_the_channels_are_stated_or_those_of_the_first_layer():
    assert bands(6).channels == 6
    assert ts.Network(nn.Sequential(nn.Flatten(), nn.Linear(2 * 5 * 7, 3)), size=(5, 7)).channels == 2
    head_first = nn.Module()
    head_first.head, head_first.stem = nn.Conv2d(8, 2, 1), nn.Conv2d(5, 8, 3)
    head_first.forward = lambda x: head_first.head(head_first.stem(x)).mean((2, 3))
    network = ts.Network(head_first, size=9, channels=5)
    assert ts.saliency(network, torch.rand(1, 5, 9, 9), 0).values.shape == (1, 1, 9, 9)


@pytest.mark.parametrize("channels", [2, 4, 5, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_arrays_of_any_number_of_channels(channels, kind):
    array = levels(channels, kind)
    torch.testing.assert_close(bands(channels).prepare(array, "keep").images, as_tensor(array))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 6])
@pytest.mark.parametrize("how", ["contig", "separate", "pages"])
def test_tiff_files_of_any_number_of_bands(how, channels, kind, tmp_path):
    array = levels(channels, kind)
    planes = array if how == "contig" else np.ascontiguousarray(array.transpose(2, 0, 1))
    options = {} if how == "pages" else {"planarconfig": how}
    path = tmp_path / "bands.tif"
    path.write_bytes(tiff(planes, photometric="minisblack", metadata=None, **options))
    batch = bands(channels).prepare(path, "keep")
    torch.testing.assert_close(batch.images, as_tensor(array))
    assert batch.sources[0].name == "bands"


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_files_that_pillow_reads_are_taken_as_they_are(mode, tmp_path):
    array = levels(len(mode))
    for ending in ("png", "tif"):
        path = tmp_path / f"picture.{ending}"
        PIL.Image.fromarray(array, mode).save(path)
        torch.testing.assert_close(bands(len(mode)).prepare(path, "keep").images, as_tensor(array))
    torch.testing.assert_close(
        bands(len(mode)).prepare(PIL.Image.fromarray(array, mode), "keep").images, as_tensor(array)
    )


def test_pictures_of_other_channels_are_refused(tmp_path, monkeypatch):
    network = bands(6)
    colour = tmp_path / "colour.tif"
    PIL.Image.fromarray(levels(3)).save(colour)
    for picture in (torch.rand(3, 5, 7), levels(3), levels(4), colour, PIL.Image.fromarray(levels(3))):
        with pytest.raises(ImageError, match=r"has [34] channels, and the network reads 6: give an array \(H, W, 6\)"):
            network.prepare(picture)
    with pytest.raises(ImageError, match="has 4 channels, and the network reads 6"):
        network.prepare(tiff(levels(4), photometric="minisblack", planarconfig="contig", metadata=None))
    with pytest.raises(ImageError, match="CMYK, which are not bands"):
        bands(4).prepare(PIL.Image.fromarray(levels(4), "CMYK"))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    six = tiff(levels(6), photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(ImageError, match="pip install tifffile, or give the numbers as an array"):
        network.prepare(six)


@pytest.mark.parametrize("cut", [20, 60, 150])
def test_damaged_tiff_files_of_bands_are_refused(cut):
    data = tiff(levels(6), photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(ImageError):
        bands(6).prepare(data[:-cut])


def test_large_files_of_bands_are_not_read():
    data = tiff(levels(6), photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(ImageError, match="too large"):
        open_photo(data, bands=6, max_pixels=20)


def test_colour_pictures_are_what_they_were_for_networks_of_colour():
    array = levels(4)
    assert ts.Network(nets.cnn(), size=(5, 7)).prepare(array).images.shape == (1, 3, 5, 7)  # on white
    with pytest.raises(ImageError, match=r"\(5, 7, 2\), and an image is \(H, W\)"):
        ts.Network(nets.cnn(), size=(5, 7)).prepare(levels(2))


def test_a_store_of_six_bands(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        values = np.random.default_rng(number).integers(0, 256, (9, 11, 6)).astype(np.uint8)
        picture = tiff(values, photometric="minisblack", planarconfig="contig", metadata=None)
        (folder / f"{number}.tif").write_bytes(picture)
    PIL.Image.new("RGB", (8, 8)).save(folder / "colour.png")
    network = bands(6, size=(5, 7))
    store = ts.Store.build(network, ts.Collection(folder), layers=["3"], maps=["3"], path=tmp_path / "store")
    assert len(store) == 4
    assert "has 3 channels, and the network reads 6" in store.errors()[0][1]
    found = ts.neighbors(store, folder / "2.tif", layer="3", k=1)
    assert found.names == ("2.tif",)
    assert ts.patches(store, "3:1", k=2).draw().shape[0] == 3
    assert ts.neighbors(ts.Store.open(tmp_path / "store"), folder / "1.tif", layer="input", k=1).names == ("1.tif",)


def test_light_alone_is_no_option_for_bands():
    with pytest.raises(OptionError, match="reads 6 channels: use style, covariance or histogram"):
        ts.stylize(bands(), BANDS, BANDS.flip(3), size=16, steps=1, colors="luminance")


def test_the_channels_of_a_picture_as_colours():
    two = torch.rand(2, 3, 3)
    assert torch.equal(render.visible(two), torch.stack([two[0], two[1], two[1]]))
    assert torch.equal(render.visible(two[:1].expand(2, 3, 3)), two[:1].expand(3, 3, 3))  # both alike: grey
    assert render.usual_channels(1) == (0,)


def test_one_number_is_meant_for_all_channels():
    network = nets.network(mean=0.13, std=0.5)
    assert network.mean == (0.13, 0.13, 0.13)
    assert network.std == (0.5, 0.5, 0.5)
    torch.testing.assert_close(network.normalise(torch.full((1, 3, 2, 2), 0.63)), torch.ones(1, 3, 2, 2))
    assert nets.network(mean=np.float32(0.25), std=None).mean == (0.25,) * 3
    assert nets.network(nets.cnn(1), mean=0.1307, std=0.3081).channels == 1


@pytest.mark.parametrize(
    ("mean", "std", "told"),
    [
        (
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
            r"mean=\(0.485, 0.456, 0.406\), std=\(0.229, 0.224, 0.225\)",
        ),
        ((123.675, 116.28, 103.53), None, r"divide both by 255: mean=\(0.485, 0.456, 0.406\), std=\(0.003922, "),
        (33.3, 78.6, r"divide both by 255: mean=\(0.1306, 0.1306, 0.1306\)"),
        ((1354.4, 1118.2, 1042.9), (245.7, 333.0, 395.1), "divide both by the number that scales the images"),
    ],
)
def test_statistics_of_other_images_are_noticed(mean, std, told):
    with pytest.raises(NetworkError, match=r"cannot be those of images in \[0, 1\].*" + told):
        nets.network(mean=mean, std=std)


def test_statistics_fit_the_channels():
    with pytest.raises(NetworkError, match="and the network reads 6 channels"):
        bands(6, channels=6, mean=(0.5,) * 3, std=0.2)
    with pytest.raises(NetworkError, match="one number per channel, or one for all, and std must be positive"):
        bands(6, mean=(0.5,) * 3, std=(0.2,) * 2)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("channels", [2, 6])
def test_a_report_of_a_network_of_other_channels(channels):
    made = report(bands(channels, size=(24, 32)), torch.rand(1, channels, 40, 40))
    assert f"pixels in {channels} channels" in made.html
