"""Images of every kind, against Pillow's plain decoding, hand-made files and arithmetic."""

import hashlib
import io
import os
import stat
import struct
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from PIL import AvifImagePlugin
from torch.testing import assert_close

from tests import processes
from triscope.errors import ImageError, TriscopeWarning
from triscope.images import open_photo, printable, read_image, resize, slug, to_pil

pytest_plugins = ["tests.hostile"]


def plain(path) -> torch.Tensor:
    """The image as Pillow alone reads it, for files without any peculiarity."""
    with PIL.Image.open(path) as image:
        return torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1)[None] / 255


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The difference that 99 of 100 values keep below, in 8-bit levels; edges in compressed images differ more."""
    assert a.shape == b.shape
    return float((a - b).abs().flatten().quantile(0.99) * 255)


@pytest.fixture(scope="session")
def reference(hostile):
    """The image that most awkward files show, without loss: 224 rows, 320 columns."""
    return plain(hostile / "27_png_named.jpg")


def encoded(image: PIL.Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photograph(rows=40, columns=56) -> PIL.Image.Image:
    """A smooth image with some noise, that no format finds trivial; not square, unlike itself turned or mirrored."""
    y, x = np.mgrid[0:rows, 0:columns]
    noise = np.random.default_rng(0).integers(0, 20, (rows, columns))
    return PIL.Image.fromarray(np.dstack([x * 4 + noise, y * 5 + noise, (x * y) // 10 + noise]).astype(np.uint8))


# Awkward files that load.


@pytest.mark.parametrize(
    "pattern",
    ["00_*", "26_*", "28_*", "29_*", "30_UPPER*", "30_mixed*", "31 *", "31_*", "-31_*", "32_*", "33_*", "45_*"],
)
def test_the_name_and_the_metadata_do_not_matter(hostile, pattern):
    files = list(hostile.glob(pattern))
    assert files
    for file in files:
        photo = open_photo(file)
        assert_close(photo.pixels, plain(hostile / "00_reference_ok.jpg"), rtol=0, atol=0)
        assert photo.pixels.dtype == torch.float32
        assert photo.name.isprintable()
        assert photo.path == file
        assert photo.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["27_png_named.jpg", "42_bad_crc_idat.png", "43_garbage_after_end.png"])
def test_pictures_without_loss_are_exact(hostile, reference, name):
    assert_close(read_image(hostile / name), reference, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        *(f"15_exif_orientation_{n}.jpg" for n in range(1, 9)),
        "07_cmyk.jpg",
        "17_ok.webp",
        "20_modern.avif",
        "20_modern.jp2",
        "38_icc_srgb.jpg",
    ],
)
def test_turned_compressed_and_foreign_pictures_look_like_the_reference(hostile, reference, name):
    assert difference(read_image(hostile / name), reference) <= 13


@pytest.mark.parametrize("name", ["16_animated.gif", "18_animated.webp", "19_multipage.tiff"])
def test_of_several_pictures_the_first_is_taken_with_a_warning(hostile, reference, name):
    with pytest.warns(TriscopeWarning, match=f"{name} holds several images; only the first"):
        pixels = read_image(hostile / name)
    assert difference(pixels, reference) <= 16


def test_a_broken_colour_profile_is_warned_of_and_left_aside(hostile):
    with pytest.warns(TriscopeWarning, match="colour profile"):
        pixels = read_image(hostile / "40_icc_garbage.jpg")
    assert_close(pixels, plain(hostile / "40_icc_garbage.jpg"), rtol=0, atol=0)


def test_interlaced(hostile, reference):
    expected = to_pil(reference).resize((64, 48))
    assert_close(read_image(hostile / "41_interlaced_adam7.png"), read_image(expected), rtol=0, atol=0)


def test_grey_of_16_bits_is_neither_clipped_nor_cut(hostile):
    pixels = read_image(hostile / "09_gray16.png")
    with PIL.Image.open(hostile / "27_png_named.jpg") as image:
        grey = torch.tensor(np.asarray(image.convert("L"))) / 255
    assert_close(pixels, grey.expand(1, 3, -1, -1))


def test_black_and_white_are_0_and_1(hostile):
    pixels = read_image(hostile / "14_bilevel.png")
    assert pixels.unique().tolist() == [0, 1]
    assert 0.2 < pixels.mean() < 0.4


@pytest.mark.parametrize("name", ["10_palette_alpha.png", "11_la.png", "12_rgba.png"])
@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.0, 0.4, 0.8)])
def test_transparent_parts_show_the_background(hostile, name, background):
    with PIL.Image.open(hostile / name) as image:
        rgba = np.asarray(image.convert("RGBA")) / 255
    assert rgba[..., 3].min() == 0
    expected = rgba[..., :3] * rgba[..., 3:] + np.array(background) * (1 - rgba[..., 3:])
    pixels = read_image(hostile / name, background=background)
    assert_close(pixels[0].permute(1, 2, 0), torch.tensor(expected).float())
    if background == (1.0, 1.0, 1.0):
        assert_close(read_image(hostile / name), pixels, rtol=0, atol=0)


def test_a_picture_that_is_transparent_everywhere_is_its_background(hostile):
    with pytest.warns(TriscopeWarning, match="transparent everywhere"):
        pixels = read_image(hostile / "13_fully_transparent.png", background=(0.5, 0, 1))
    assert_close(pixels, torch.tensor([0.5, 0, 1]).view(1, 3, 1, 1).expand(1, 3, 64, 64))


def test_one_pixel_is_a_picture(hostile):
    pixels = read_image(hostile / "21_1x1.png")
    assert pixels.shape == (1, 3, 1, 1)
    for mode in ("bilinear", "bicubic"):
        assert_close(resize(pixels, (5, 7), mode), pixels.expand(1, 3, 5, 7))


@pytest.mark.parametrize(("name", "value"), [("black", 0.0), ("mid", 128 / 255), ("white", 1.0)])
def test_constant_pictures(hostile, name, value):
    assert_close(read_image(hostile / f"48_constant_{name}.png"), torch.full((1, 3, 224, 224), value))


# Awkward files that are refused.


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("01_truncated_60pct.jpg", "cut short"),
        ("02_truncated_header.jpg", "not an image that can be read"),
        ("03_truncated.png", "cut short"),
        ("04_zero_byte.jpg", "empty"),
        ("05_text_renamed.jpg", "not an image"),
        ("06_html_error_page.png", "web page"),
        ("20_fake.heic", "HEIC"),
        ("24_bomb_20000x20000.png", "too large"),
        ("34_loop_a.jpg", "link that leads back to itself"),
        ("34_loop_b.jpg", "link that leads back to itself"),
        ("34_dirloop", "folder"),
        ("34_dangling.jpg", "link to a file that does not exist"),
        ("35_directory.jpg", "folder"),
        ("37_fifo.jpg", "pipe"),
        ("42_bad_crc_ihdr.png", "not an image"),
        ("44_vector.svg", "SVG"),
        ("80_pickle_os_system.pth", "zip archive"),
        ("81_plain_pickle.pkl", "not an image"),
        ("no_such.jpg", "does not exist"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(hostile, name, why):
    with pytest.raises(ImageError, match=why) as caught:
        open_photo(hostile / name)
    message = str(caught.value)
    assert name in message
    assert message.isprintable()
    assert message.endswith(".")


@contextmanager
def nobody():
    """Act as a user without rights, where the tests run as root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_damage_is_told_where_another_library_has_replaced_how_pillow_opens(tmp_path, monkeypatch):
    """As ultralytics does, which then asks for a package that it has not."""
    opened = PIL.Image.open

    def replaced(*args, **options):
        try:
            return opened(*args, **options)
        except PIL.UnidentifiedImageError:
            raise ModuleNotFoundError("No module named 'pi_heif'") from None

    monkeypatch.setattr(PIL.Image, "open", replaced)
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"broken\.jpg is not an image that can be read"):
        read_image(path)


def test_a_file_without_permission_is_refused(hostile):
    assert stat.S_IMODE((hostile / "36_noperm.jpg").stat().st_mode) == 0
    with nobody():
        assert open_photo(hostile / "00_reference_ok.jpg").name == "00_reference_ok"
        with pytest.raises(ImageError, match=r"36_noperm\.jpg may not be read: permission denied"):
            open_photo(hostile / "36_noperm.jpg")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux reports it")
def test_a_bomb_is_refused_before_it_takes_memory(hostile):
    program = """if True:
        import resource, sys
        from triscope.errors import ImageError
        from triscope.images import open_photo
        open_photo(sys.argv[1])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            open_photo(sys.argv[2])
        except ImageError:
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    pictures = [hostile / "00_reference_ok.jpg", hostile / "24_bomb_20000x20000.png"]
    code, out, err = processes.ran(program, *map(str, pictures))
    assert code == 0, err
    assert float(out) < 20  # megabytes; decoded, it would be 1200


def test_the_limit_on_pixels_can_be_chosen_and_holds_for_every_kind_of_file(tmp_path):
    image = photograph(30, 50)
    for source in (encoded(image, "PNG"), encoded(image, "JPEG"), image):
        assert read_image(source, max_pixels=1500).shape == (1, 3, 30, 50)
        with pytest.raises(ImageError, match=r"50 x 30 pixels, and images of up to 0\.001499 million"):
            read_image(source, max_pixels=1499)


def test_a_picture_just_beyond_the_limit_is_refused_whatever_warnings_do():
    data = encoded(PIL.Image.new("1", (10_000, 9_500)), "PNG")  # Pillow warns of it
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            with pytest.raises(ImageError, match="too large"):
                open_photo(data)


FORMATS = {
    "JPEG": {},
    "progressive": {"kind": "JPEG", "progressive": True},
    "PNG": {},
    "GIF": {},
    "WEBP": {},
    "lossless": {"kind": "WEBP", "lossless": True},
    "TIFF": {},
    "LZW": {"kind": "TIFF", "compression": "tiff_lzw"},
    "BMP": {},
    "PPM": {},
    "AVIF": {},
    "JPEG2000": {},
}


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_picture_is_refused_wherever_it_is_cut(name):
    options = FORMATS[name]
    data = encoded(photograph(), **{"kind": name, **options})
    whole = read_image(data)
    cuts = [*range(0, len(data), max(1, len(data) // 40)), *range(len(data) - 8, len(data))]
    outcomes = [attempt(data[:cut]) for cut in cuts]
    for pixels in outcomes:
        if pixels is not None:  # only an end mark was lost
            assert_close(pixels, whole, rtol=0, atol=0)
    assert outcomes.count(None) >= 40


@pytest.mark.parametrize("name", FORMATS)
def test_altered_files_load_or_are_refused(name, capfd):
    random = np.random.default_rng(1)
    data = encoded(photograph(), **{"kind": name, **FORMATS[name]})
    for _ in range(60):
        altered = bytearray(data)
        for place in random.integers(0, min(len(data), random.choice([64, 400, len(data)])), random.integers(1, 6)):
            altered[place] = random.choice([0, 127, 255, random.integers(256)])
        pixels = attempt(bytes(altered))
        assert pixels is None or pixels.isfinite().all()
    capfd.readouterr()  # libtiff complains there


def attempt(data: bytes) -> torch.Tensor | None:
    """The image, or None where it is refused in a sentence; any other error is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, on odd metadata
        try:
            return read_image(data)
        except ImageError:
            return None


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch PWNED) system\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC"),
        (b"\xef\xbb\xbf\n <!doctype HTML><p>Not found", "web page"),
        (b'<?xml version="1.0"?>\n<!-- a drawing -->\n<svg width="9"/>', "SVG"),
        (b"", "stdin is empty"),
    ],
)
def test_what_is_no_picture_is_named(start, why):
    with pytest.raises(ImageError, match=why):
        open_photo(start)


def test_a_missing_codec_is_named(monkeypatch):
    jp2, avif = encoded(photograph(), "JPEG2000"), encoded(photograph(), "AVIF")
    monkeypatch.delattr(PIL.Image.core, "jpeg2k_decoder")
    with pytest.raises(ImageError, match="built without jpeg2k"):
        open_photo(jp2)
    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    monkeypatch.setattr(PIL.features, "check", lambda _: False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, which says the same
        with pytest.raises(ImageError, match="AVIF image, and this Pillow was built without"):
            open_photo(avif)


# Colour and orientation, against arithmetic.


def profile(space: bytes, **tags: bytes) -> bytes:
    """A minimal ICC profile (version 2.4) from `space` to XYZ."""
    start = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(data), len(content))
        data += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s12s4s", start + len(data), b"", 0x02400000, b"mntr", space, b"XYZ ", b"", b"acsp")
    return head.ljust(68, b"\0") + xyz(0.9642, 1, 0.8249)[8:] + bytes(128 - 80) + table + data


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


STRAIGHT = b"curv" + bytes(8)  # values in proportion to light
RED, GREEN, BLUE = (
    xyz(0.4361, 0.2225, 0.0139),
    xyz(0.3851, 0.7169, 0.0971),
    xyz(0.1431, 0.0606, 0.7142),
)  # those of sRGB
CURVES = {"rTRC": STRAIGHT, "gTRC": STRAIGHT, "bTRC": STRAIGHT}


def srgb(light: float) -> float:
    """IEC 61966-2-1: the value that shows this share of full light."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_colour_profile_is_followed(kind):
    linear = profile(b"RGB ", rXYZ=RED, gXYZ=GREEN, bXYZ=BLUE, **CURVES)
    data = encoded(PIL.Image.new("RGB", (8, 8), (51, 102, 153)), kind, icc_profile=linear)
    expected = torch.tensor([srgb(0.2), srgb(0.4), srgb(0.6)])
    assert_close(read_image(data)[0, :, 4, 4], expected, rtol=0, atol=4 / 255)


def test_a_colour_profile_may_rename_the_primaries_and_spares_alpha():
    swapped = profile(b"RGB ", rXYZ=BLUE, gXYZ=GREEN, bXYZ=RED, **CURVES)
    data = encoded(PIL.Image.new("RGBA", (4, 4), (255, 0, 0, 51)), "PNG", icc_profile=swapped)
    assert_close(read_image(data, background=(0, 0, 0))[0, :, 0, 0], torch.tensor([0, 0, 0.2]), rtol=0, atol=2 / 255)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profile_is_followed(mode):
    linear = profile(b"GRAY", wtpt=xyz(0.9642, 1, 0.8249), kTRC=STRAIGHT)
    data = encoded(PIL.Image.new("L", (4, 4), 51).convert(mode), "PNG", icc_profile=linear)
    assert_close(read_image(data), torch.full((1, 3, 4, 4), srgb(0.2)), rtol=0, atol=2 / 255)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone_in_every_format_that_has_it(kind, orientation):
    upright = photograph()
    undo = {2: [1], 3: [0, 1], 4: [0]}
    turned = np.asarray(upright)
    # What a camera held so stores: the definition in the Exif standard, where row 0 and column 0 lie.
    if orientation >= 5:
        turned = turned.transpose(1, 0, 2)
        turned = np.flip(turned, {5: [], 6: [0], 7: [0, 1], 8: [1]}[orientation])
    else:
        turned = np.flip(turned, undo.get(orientation, []))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif, "quality": 95} if kind in ("JPEG", "WEBP", "AVIF") else {"exif": exif}
    stored = PIL.Image.fromarray(np.ascontiguousarray(turned))
    pixels = read_image(encoded(stored, kind, **options))
    assert difference(pixels, read_image(upright)) <= 30


def test_16_bits_are_kept_in_pgm_tiff_and_turned_pictures():
    deep = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10)
    expected = torch.tensor(deep.astype(np.float32) / 65535).expand(1, 3, 6, 10)
    exif = PIL.Image.Exif()
    exif[0x0112] = 3
    for kind, options in (("PNG", {}), ("TIFF", {}), ("PPM", {}), ("PNG", {"exif": exif})):
        pixels = read_image(encoded(PIL.Image.fromarray(deep), kind, **options))
        assert_close(pixels.flip(2, 3) if options else pixels, expected)


def test_float_tiff_is_read_if_it_is_a_picture():
    values = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    pixels = read_image(encoded(PIL.Image.fromarray(values), "TIFF"))
    assert_close(pixels, torch.tensor(values).expand(1, 3, 5, 7))
    with pytest.raises(ImageError, match="divide by 255"):
        read_image(encoded(PIL.Image.fromarray(values * 255), "TIFF"))


def test_a_colour_declared_transparent_is_transparent():
    image = PIL.Image.new("RGB", (4, 4), (10, 20, 30))
    image.putpixel((1, 2), (255, 0, 0))
    pixels = read_image(encoded(image, "PNG", transparency=(10, 20, 30)))
    expected = torch.ones(1, 3, 4, 4)
    expected[0, :, 2, 1] = torch.tensor([1.0, 0, 0])
    assert_close(pixels, expected)


def test_the_previews_in_a_phone_picture_are_not_worth_a_warning():
    first = photograph()
    pixels = read_image(encoded(first, "MPO", save_all=True, append_images=[first.resize((14, 10))]))
    assert difference(pixels, read_image(first)) <= 30


# PIL images, arrays and tensors.


def test_a_pil_image_reads_as_its_file_does_and_stays_as_it_was(hostile):
    path = hostile / "15_exif_orientation_6.jpg"
    with PIL.Image.open(path) as image:
        info = dict(image.info)
        photo = open_photo(image)
        assert (image.size, image.mode, dict(image.info)) == ((224, 320), "RGB", info)
    assert_close(photo.pixels, read_image(path), rtol=0, atol=0)
    assert (photo.name, photo.sha256) == ("15_exif_orientation_6", None)
    assert open_photo(photograph()).name == "image"
    with (
        PIL.Image.open(hostile / "01_truncated_60pct.jpg") as image,
        pytest.raises(ImageError, match=r"01_.* cut short"),
    ):
        open_photo(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"])
def test_every_mode_of_pillow_becomes_three_channels(mode):
    image = photograph().convert("L").point(lambda value: value / 255).convert("F") if mode == "F" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = read_image(image or photograph().convert(mode))
    assert pixels.shape == (1, 3, 40, 56)
    assert 0 <= pixels.min() <= pixels.max() <= 1


RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB, RGB / 255),
        (RGB[:, :, 0], RGB[:, :, :1] / 255),
        (RGB[:, :, :1], RGB[:, :, :1] / 255),
        (RGB.astype(np.uint16) * 257, RGB / 255),
        (RGB.astype(">u2") * 257, RGB / 255),
        (RGB / 255, RGB / 255),
        ((RGB / 255).astype(np.float16), RGB / 255),
        (RGB > 127, (RGB > 127) * 1.0),
        (np.dstack([RGB, np.full((5, 7), 51, np.uint8)]), RGB / 255 * 0.2 + 0.8),
        (RGB[::-1, ::-1], RGB[::-1, ::-1] / 255),
    ],
)
def test_arrays(array, expected):
    before = array.copy()
    photo = open_photo(array)
    expected = torch.tensor(np.broadcast_to(expected, (5, 7, 3)).copy()).float()
    atol = 5e-4 if array.dtype == np.float16 else 1e-6
    assert_close(photo.pixels[0].permute(1, 2, 0), expected, rtol=0, atol=atol)
    assert (photo.name, photo.path, photo.sha256) == ("array", None, None)
    assert np.array_equal(array, before)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (RGB.astype(np.float32), "divide by 255"),
        (RGB.astype(np.float32) * 257, "divide by 65535"),
        (RGB / 127.5 - 1, "before normalisation"),
        (RGB.astype(np.int64), "holds int64"),
        (RGB / 255 * 1j, "holds complex128"),
        (RGB.transpose(2, 0, 1), r"Channels come last.*transpose\(1, 2, 0\)"),
        (RGB[None], r"\(1, 5, 7, 3\)"),
        (RGB[:, :, :2], r"\(5, 7, 2\)"),
        (RGB[:0], "empty"),
        (np.full((5, 7), np.nan), "NaN"),
        (np.full((5, 7), np.inf), "infinite"),
    ],
)
def test_arrays_that_are_no_pictures(array, why):
    with pytest.raises(ImageError, match=why):
        open_photo(array)


def test_tensors_are_taken_as_they_are():
    batch = torch.rand(2, 3, 5, 7)
    assert read_image(batch) is batch
    assert read_image(batch[:, :1]).shape == (2, 1, 5, 7)
    assert_close(read_image(batch[0]), batch[:1], rtol=0, atol=0)
    assert read_image(batch.double()).dtype == torch.float64
    assert read_image(batch.half()).dtype == torch.float32
    assert read_image(batch.requires_grad_()).requires_grad


def test_a_tensor_can_be_a_photo():
    photo = open_photo(torch.rand(1, 5, 7, dtype=torch.float64))
    assert (photo.pixels.shape, photo.pixels.dtype, photo.name) == ((1, 3, 5, 7), torch.float32, "tensor")
    with pytest.raises(ImageError, match="holds 2"):
        open_photo(torch.rand(2, 3, 5, 7))


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.rand(3, 5, 7) * 255, "divide by 255"),
        (torch.randn(3, 5, 7), "before normalisation"),
        (torch.full((3, 5, 7), 1.1), "clamp"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), r"tensor\.float\(\) / 255"),
        (torch.zeros(3, 5, 7, dtype=torch.complex64), "complex64"),
        (torch.rand(5, 7), r"\(5, 7\)"),
        (torch.rand(5, 7, 3), "Channels come first"),
        (torch.rand(2, 4, 5, 7), r"\(2, 4, 5, 7\)"),
        (torch.rand(0, 3, 5, 7), "empty"),
        (torch.rand(1, 3, 0, 7), "empty"),
        (torch.rand(1, 3, 5, 7).index_fill(3, torch.tensor(2), torch.nan), "NaN"),
        (torch.rand(1, 3, 5, 7).index_fill(3, torch.tensor(2), -torch.inf), "infinite"),
    ],
)
def test_tensors_that_are_no_pictures(tensor, why):
    with pytest.raises(ImageError, match=why):
        read_image(tensor)


@pytest.mark.parametrize("source", [None, 5, ["cat.jpg"], "", "\0", "https://example.org/cat.jpg"])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(
        ImageError, match=r"not NoneType|not int|not list|'' does not exist|zero byte|download it first"
    ):
        open_photo(source)


@pytest.mark.parametrize("background", [(1, 1), (2, 0, 0), (-0.1, 0, 0), (float("nan"), 0, 0)])
def test_a_background_is_three_parts(background):
    with pytest.raises(ImageError, match="background"):
        open_photo(RGB, background=background)


# Back to images.


def test_to_pil_gives_back_every_level():
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    for array, mode in ((np.dstack([levels, levels[::-1], levels]), "RGB"), (levels, "L")):
        pixels = read_image(array)
        image = to_pil(pixels if mode == "RGB" else pixels[:, :1])
        assert (image.mode, image.size, image.info) == (mode, (32, 8), {})
        assert np.array_equal(np.asarray(image), array)


def test_to_pil_rounds_and_clamps():
    image = to_pil(torch.tensor([-1, 0.4 / 255, 0.6 / 255, 254.6 / 255, 7]).view(1, 1, 5))
    assert np.asarray(image).tolist() == [[0, 0, 1, 255, 255]]


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 5, 7), (1, 2, 5, 7), (3, 0, 7)])
def test_to_pil_refuses_other_shapes(shape):
    with pytest.raises(ImageError, match="this tensor is"):
        to_pil(torch.zeros(shape))


def test_to_pil_refuses_nan():
    with pytest.raises(ImageError, match="NaN"):
        to_pil(torch.full((1, 3, 5, 7), torch.nan))


def test_metadata_is_not_copied(hostile):
    image = to_pil(read_image(hostile / "45_huge_exif.jpg"))
    assert image.info == {}
    assert len(image.getexif()) == 0


@pytest.mark.parametrize("size", [(57, 91), (224, 100), (500, 333), (7, 5), (1, 1)])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resize_agrees_with_pillow(size, mode):
    pixels = torch.rand(2, 3, 61, 83)
    filters = {"bilinear": PIL.Image.Resampling.BILINEAR, "bicubic": PIL.Image.Resampling.BICUBIC}
    planes = [PIL.Image.fromarray(plane.numpy()) for plane in pixels.flatten(0, 1)]
    expected = [torch.tensor(np.asarray(plane.resize(size[::-1], filters[mode]))) for plane in planes]
    assert_close(resize(pixels, size, mode), torch.stack(expected).view(2, 3, *size).clamp(0, 1), rtol=0, atol=2e-5)


def test_resize_hands_gradients_back():
    pixels = torch.rand(1, 3, 5, 7, requires_grad=True)
    resize(pixels, (3, 4)).sum().backward()
    assert_close(pixels.grad.sum(), torch.tensor(36.0))
    with pytest.raises(ImageError, match="rows, columns"):
        resize(pixels, (0, 4))


# Names.


def test_printable_names_every_file_on_one_line(hostile):
    shown = {printable(path.name) for path in hostile.iterdir()}
    assert all((name.isprintable() and name.isascii()) or "31_ünïcødé" in name for name in shown)
    assert {r"31_new\nline.jpg", r"31_notutf8_\xff\xfe.jpg", "31_ünïcødé_金魚_🐟.jpg"} <= shown
    assert len(shown) == len(list(hostile.iterdir()))


@pytest.mark.parametrize("name", ["new\nline", "bytes\udcff\udcfe", "turned\u202eback", "bell\a", "lone\ud800"])
def test_messages_are_printable_whatever_the_file_is_called(tmp_path, name):
    with pytest.raises(ImageError) as caught:
        open_photo(tmp_path / name)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


NAMES = ["cat", "..", "../../etc/passwd", "-rf", ".hidden", "a b", "tab\there", "new\nline", "bytes\udcff", "", "???"]
NAMES += ["x" * 300, "金" * 300, "e\u0301te\u0301", "<script>", "a,b;c", "%s%n", "C:\\x", "features.10:42@3,5", "~"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("limit", [20, 100])
def test_a_slug_is_safe_in_any_folder(name, limit, tmp_path):
    part = slug(name, limit)
    assert 0 < len(part.encode()) <= limit
    assert part[0] not in "-.~"
    assert all(character.isalnum() or character in "-_" for character in part)
    (tmp_path / f"{part}.guided-backprop.{slug('features.10:42@3,5', 60)}.png").touch()
    assert len(list(tmp_path.iterdir())) == 1


def test_slugs_of_known_names():
    assert slug("features.10:42") == "features-10-42"
    assert slug("31_ünïcødé_金魚_🐟") == "31_ünïcødé_金魚_"
    assert slug("e\u0301te\u0301") == "été"
    assert slug("?") == "unnamed"


def test_long_names_that_differ_late_keep_apart():
    first, second = slug("x" * 240 + "1"), slug("x" * 240 + "2")
    assert first != second
    assert Path(first).stem == first
