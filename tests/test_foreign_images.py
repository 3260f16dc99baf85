"""Images that Pillow does not read: HEIC, raw photos, TGA, odd TIFF files; and what a folder makes of all of them."""

import io
import struct
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from tests.which.conftest import paint
from triscope.errors import ImageError
from triscope.images import open_photo, read_image
from triscope.which.folders import walk


def tiff(tags: dict[int, tuple[str, tuple[int, ...]]], data: bytes) -> bytes:
    """A TIFF file of one image, its data at the end; `tags` by number: the type (B, H, I, s or R) and the values."""
    size = {"B": (1, 1), "s": (2, 1), "H": (3, 2), "I": (4, 4), "R": (5, 8), "S": (10, 8)}
    known = {**tags, 273: ("I", (0,)), 279: ("I", (len(data),))}
    start = 8 + 2 + 12 * len(known) + 4
    entries, extra = b"", b""
    where = start + sum(
        (len(values) * size[kind][1] if len(values) * size[kind][1] > 4 else 0) for kind, values in known.values()
    )
    for tag in sorted(known):
        kind, values = known[tag]
        if tag == 273:
            values = (where,)
        letter = {"s": "B", "R": "I", "S": "i"}.get(kind, kind)
        packed = struct.pack(f"<{len(values) * (2 if kind in 'RS' else 1)}{letter}", *(
            number for value in values for number in ((value, 10_000) if kind in "RS" else (value,))
        ))  # fmt: skip
        if len(packed) > 4:
            entries += struct.pack("<HHII", tag, size[kind][0], len(values), start + len(extra))
            extra += packed
        else:
            entries += struct.pack("<HHI", tag, size[kind][0], len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(known)) + entries + struct.pack("<I", 0) + extra + data


def dng(rows: int = 64, cols: int = 96) -> bytes:
    """A raw photo of even grey: one value at every place of a Bayer pattern."""
    data = np.full((rows, cols), 20_000, "<u2").tobytes()
    identity = (10_000, 0, 0, 0, 10_000, 0, 0, 0, 10_000)
    return tiff(
        {
            254: ("I", (0,)), 256: ("I", (cols,)), 257: ("I", (rows,)), 258: ("H", (16,)), 259: ("H", (1,)),
            262: ("H", (32803,)), 271: ("s", tuple(b"maker\0")), 272: ("s", tuple(b"model\0")), 277: ("H", (1,)),
            278: ("I", (rows,)), 33421: ("H", (2, 2)), 33422: ("B", (0, 1, 1, 2)), 50706: ("B", (1, 4, 0, 0)),
            50708: ("s", tuple(b"model\0")), 50717: ("I", (65535,)), 50721: ("S", identity), 50778: ("H", (21,)),
            50728: ("R", (10_000, 10_000, 10_000)),
        },
        data,
    )  # fmt: skip


def preview(make: bytes = b"NIKON\0\0") -> bytes:
    """What stands first in many raw files: a small image that says that it stands for a larger one."""
    return tiff(
        {
            254: ("I", (1,)), 256: ("I", (4,)), 257: ("I", (3,)), 258: ("H", (8, 8, 8)), 259: ("H", (1,)),
            262: ("H", (2,)), 271: ("s", tuple(make)), 277: ("H", (3,)), 278: ("I", (3,)),
        },
        bytes(36),
    )  # fmt: skip


def test_a_raw_photo_is_read_whole(tmp_path):
    pytest.importorskip("rawpy", reason="needs rawpy: pip install 'triscope[raw]'")
    (tmp_path / "photo.dng").write_bytes(dng())
    for source in (tmp_path / "photo.dng", dng()):
        pixels = read_image(source)
        assert pixels.shape == (1, 3, 64, 96)
        assert (pixels.amax((0, 2, 3)) - pixels.amin((0, 2, 3))).max() < 0.05  # even
        assert pixels.mean() > 0.2
    with pytest.raises(ImageError, match="too large"):
        open_photo(dng(), max_pixels=1000)
    with pytest.raises(ImageError, match="raw photo that cannot be read"):
        open_photo(b"FUJIFILMCCD-RAW 0201")


@pytest.mark.parametrize("data", [dng(), preview(), b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx \0\0\0\0"])
def test_a_raw_photo_is_never_taken_for_its_preview(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(
        ImageError, match=r"stdin is a camera's raw photo, which needs rawpy: pip install 'triscope\[raw\]'"
    ):
        open_photo(data)


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="needs pillow-heif: pip install 'triscope[heic]'")
    rows = np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None]
    picture = PIL.Image.fromarray(np.broadcast_to(rows, (64, 96, 3)).copy())
    heif.from_pillow(picture).save(tmp_path / "photo.heic", quality=95)
    pixels = read_image(tmp_path / "photo.heic")
    assert pixels.shape == (1, 3, 64, 96)
    assert (pixels - torch.from_numpy(rows.transpose(2, 0, 1).copy()) / 255).abs().max() < 0.05
    assert "HEIF" not in PIL.Image.OPEN  # what Pillow opens is not changed
    with pytest.raises(ImageError, match="too large"):
        open_photo(tmp_path / "photo.heic", max_pixels=1000)


def test_heic_without_pillow_heif_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"is a HEIC image, which needs pillow-heif: pip install 'triscope\[heic\]'"):
        open_photo(b"\0\0\0\x18ftypheic\0\0\0\0heic")


@pytest.mark.parametrize("rle", [True, False])
def test_tga_with_its_mark_and_without(tmp_path, rle):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    PIL.Image.fromarray(array).save(tmp_path / "marked.tga", compression="tga_rle" if rle else None)
    data = (tmp_path / "marked.tga").read_bytes()
    assert b"TRUEVISION" in data
    (tmp_path / "old.tga").write_bytes(data[:-26])
    for source in (tmp_path / "marked.tga", tmp_path / "old.tga", data):
        assert np.array_equal(read_image(source)[0].mul(255).round().byte().permute(1, 2, 0).numpy(), array)
    with pytest.raises(ImageError, match="not an image"):
        open_photo(data[:-26])


def test_a_tiff_of_five_channels_is_called_by_its_name():
    many = {
        256: ("I", (4,)),
        257: ("I", (3,)),
        258: ("H", (8,) * 5),
        259: ("H", (1,)),
        262: ("H", (2,)),
        277: ("H", (5,)),
    }
    with pytest.raises(ImageError, match="is a TIFF file, but not of a kind that is supported; read are grey, RGB"):
        open_photo(tiff({**many, 278: ("I", (3,))}, bytes(60)))


@pytest.mark.parametrize(
    ("low", "high", "whole", "words"),
    [
        (0.1, 2000, False, r"\(image - 0\.1\) / 1999\.9, or less of it"),
        (0, 65535, True, "divide by 65535"),
        (0, 40_000, False, r"\(image - 0\) / 40000"),
        (0, 1e6, True, r"\(image - 0\) / 1e\+06"),
        (0, 255, False, "divide by 255"),
        (0, 1.5, False, r"clamp it to \[0, 1\]"),
    ],
)
def test_floats_are_told_how_to_come_into_their_range(low, high, whole, words):
    values = np.linspace(low, high, 35, dtype=np.float32).reshape(5, 7)
    data = io.BytesIO()
    PIL.Image.fromarray(values.round() if whole else values).save(data, "TIFF")
    with pytest.raises(ImageError, match=words):
        open_photo(data.getvalue())


def kept(folder: Path) -> tuple[list[str], dict[str, int]]:
    passed = Counter[str]()
    names = [str(Path(path).relative_to(folder)) for path in walk(str(folder), passed)]
    return names, dict(passed)


def test_the_content_of_a_file_decides_where_its_ending_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr("triscope.which.folders.reads_raw", lambda: False)
    data = paint(tmp_path / "photo.jpg", 1).read_bytes()
    pictures = ["photo.jpg?w=200", "pic.jpg_large", "photo.jpg!d", "x.jpeg ", "nothing", "odd.txt", "sub/x.PART"]
    for name in pictures:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    others = {
        "a.txt": b"BM is a text",
        "b.TXT": b"",
        "sound.wav": b"RIFF\0\0\0\0WAVEfmt ",
        "raw.dng": dng(),
        "README": b"no",
    }
    others |= {"film.mp4": b"\0\0\0\x18ftypisom\0\0\0\0", "raw.NEF": preview(), "sub/c.json": b"{}", ".hidden": b""}
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    names, passed = kept(tmp_path)
    assert sorted(names) == sorted([*pictures, "photo.jpg"])
    assert passed == {".txt": 2, ".wav": 1, ".dng": 1, "": 1, ".mp4": 1, ".nef": 1, ".json": 1}
    monkeypatch.setattr("triscope.which.folders.reads_raw", lambda: True)
    assert {*kept(tmp_path)[0]} - {*names} == {"raw.dng", "raw.NEF"}


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "AVIF"])
def test_pictures_of_every_kind_are_known_without_an_ending(tmp_path, kind):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.part", kind)
    assert kept(tmp_path) == (["a.part"], {})
