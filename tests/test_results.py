"""Results: drawing, saving, indexing, and their recipes."""

import csv
import dataclasses
import errno
import io
import json
import math
import os
import stat
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torch.nn.functional as F
from PIL.PngImagePlugin import PngInfo

import triscope as ts
from tests import nets
from triscope import render
from triscope.errors import OptionError, RecipeError
from triscope.network import Box
from triscope.results import Heatmap, ImageNote, NetworkNote, Picture, Ranking, Recipe, require_place, write_file


@pytest.fixture
def network():
    return nets.network(nets.fill(nets.cnn()), name="tiny", classes=list("abcde"))


def heat_of(values, image=None):
    image = torch.full((len(values), 3, *values.shape[2:]), 0.5) if image is None else image
    count = len(values)
    box = Box(0, 0, *values.shape[2:])
    return Heatmap(values, image, (box,) * count, torch.zeros(count), ts.Logit(0), ("a",) * count)


def pixels_of(png):
    with PIL.Image.open(io.BytesIO(png)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


RECIPES = [
    Recipe("saliency", (NetworkNote("tiny"),)),
    Recipe(
        "guided_backprop",
        (
            NetworkNote("a", {"name": "alexnet", "weights": "w.pth"}, lambda: "0" * 64),
            NetworkNote("b\n\0é", {"seed": 3}),
        ),
        (ImageNote("cat", "/photos/日本.jpg", "f" * 64), ImageNote("tensor")),
        "features.10:42@3,5",
        {"fit": "crop", "k": 5, "rate": 0.25, "on": True, "nothing": None},
        "overlay",
        "float64",
        2,
        "0.1.0",
    ),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["short", "long"])
def test_a_recipe_survives_json(recipe):
    text = recipe.to_json()
    assert text.isascii()
    read = Recipe.from_json(text)
    assert read.to_json() == text
    assert (read.method, read.objective) == (recipe.method, recipe.objective)
    named = [dataclasses.replace(note, path=note.path and Path(note.path).name) for note in recipe.images]
    assert list(read.images) == named  # files lose their folders
    assert (read.options, read.style, read.precision) == (recipe.options, recipe.style, recipe.precision)
    assert [note.name for note in read.networks] == [note.name for note in recipe.networks]
    assert [note.weights() for note in read.networks] == [note.weights() for note in recipe.networks]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "{}", '{"networks": [], "images": []}', '"x"', '{"networks": 1}']
)
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(RecipeError, match=r"This recipe cannot be read: .+\. It is damaged, or another version"):
        Recipe.from_json(text)


def test_a_recipe_with_a_field_from_the_future_is_refused():
    data = json.loads(RECIPES[0].to_json()) | {"flavour": "vanilla"}
    with pytest.raises(RecipeError, match="another version"):
        Recipe.from_json(json.dumps(data))


def test_a_png_carries_its_recipe(network, tmp_path):
    heat = ts.saliency(network, torch.rand(2, 3, 5, 7), ts.Logit(["b", 3]), channels="sum")
    path = heat.save(tmp_path / "map.png")
    assert path == tmp_path / "map.png"
    recipe = Recipe.of_file(path)
    assert recipe.to_json() == heat.recipe.to_json()
    assert recipe.method == "saliency"
    assert recipe.objective == "1|3"
    assert recipe.options == {"channels": "sum", "fit": "crop"}
    assert [image.name for image in recipe.images] == ["tensor", "tensor"]
    assert recipe.networks[0].name == "tiny"
    assert recipe.networks[0].weights() == network.sha256
    assert recipe.precision == "float32"
    assert recipe.threads == torch.get_num_threads()
    assert recipe.version == ts.__version__
    assert heat.png() == path.read_bytes()


def test_a_recipe_does_not_vouch_for_weights_trained_in_the_meantime(network):
    heat = ts.saliency(network, torch.rand(1, 3, 5, 7), 1)
    with torch.no_grad():
        network.module[0].weight.add_(1)
    assert json.loads(heat.recipe.to_json())["networks"][0]["sha256"] is None


def test_pngs_without_a_recipe_are_refused(tmp_path):
    plain, wrong, text = tmp_path / "plain.png", tmp_path / "wrong.png", tmp_path / "text.png"
    PIL.Image.new("RGB", (3, 4)).save(plain)
    with pytest.raises(RecipeError, match=r"plain\.png carries no recipe"):
        Recipe.of_file(plain)
    info = PngInfo()
    info.add_text("triscope", "not a recipe")
    PIL.Image.new("RGB", (3, 4)).save(wrong, pnginfo=info)
    with pytest.raises(RecipeError, match="another version"):
        Recipe.of_file(wrong)
    text.write_text("no picture at all")
    PIL.Image.new("RGB", (3, 4)).save(tmp_path / "photo.gif")
    for path in (text, tmp_path / "missing.png", tmp_path, tmp_path / "photo.gif"):
        with pytest.raises(RecipeError, match="cannot be read as a PNG, JPEG or WebP"):
            Recipe.of_file(path)


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_a_jpeg_and_a_webp_carry_their_recipe(network, tmp_path, ending):
    heat = ts.saliency(network, torch.rand(2, 3, 5, 7), ts.Logit(["b", 3]))
    path = heat.save(tmp_path / f"map.{ending}")
    assert Recipe.of_file(path).to_json() == heat.recipe.to_json()
    with PIL.Image.open(path) as image:
        assert image.format == {"jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}[ending]
    assert path.read_bytes() == heat.encode(f".{ending}")
    smooth = Picture(F.interpolate(torch.rand(1, 3, 4, 5), (60, 80), mode="bicubic").clamp(0, 1))
    with PIL.Image.open(smooth.save(path)) as image:
        shown = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    torch.testing.assert_close(shown, smooth.draw(), atol=0.08, rtol=0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_comments_of_cameras_are_no_recipes(tmp_path, ending):
    for number, comment in enumerate((b"ASCII\0\0\0holiday", b"UNICODE\0{}", b"", "text", b"\xff\0")):
        exif = PIL.Image.Exif()
        exif.get_ifd(0x8769)[0x9286] = comment
        path = tmp_path / f"{number}.{ending}"
        PIL.Image.new("RGB", (8, 8)).save(path, exif=exif)
        with pytest.raises(RecipeError, match="carries no recipe"):
            Recipe.of_file(path)
    PIL.Image.new("RGB", (8, 8)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    with pytest.raises(RecipeError, match="carries no recipe"):
        Recipe.of_file(path)


def test_a_recipe_too_long_for_a_jpeg_is_a_sentence_and_fits_the_other_forms(network, tmp_path):
    heat = ts.saliency(network, torch.rand(1, 3, 5, 7), 1)
    heat = dataclasses.replace(heat, recipe=dataclasses.replace(heat.recipe, options={"text": "x" * 70_000}))
    with pytest.raises(OptionError, match=r"longer than a JPEG can carry; save it as \.png or \.webp"):
        heat.save(tmp_path / "map.jpg")
    for ending in ("png", "webp"):
        assert Recipe.of_file(heat.save(tmp_path / f"map.{ending}")).options == heat.recipe.options


def test_npy_holds_the_raw_values(network, tmp_path):
    heat = ts.input_x_gradient(network, torch.rand(2, 3, 5, 7), 1)
    read = np.load(heat.save(tmp_path / "map.npy"))
    assert read.dtype == np.float32
    assert np.array_equal(read, heat.values.numpy())


def test_endings_are_chosen_by_name_and_others_refused(network, tmp_path):
    heat = ts.saliency(network, torch.rand(1, 3, 5, 7), 1)
    assert heat.save(str(tmp_path / "MAP.PNG")).read_bytes() == heat.png()
    for name in ("map.tiff", "map.json", "map.png.gz"):
        with pytest.raises(OptionError, match=rf"A heatmap is saved as \.png, \.jpg, .*\.npy, not as {name}"):
            heat.save(tmp_path / name)
    with pytest.raises(OptionError, match="and map has no ending"):
        heat.save(tmp_path / "map")
    ranking = ts.predict(network, torch.rand(1, 3, 5, 7))
    with pytest.raises(OptionError, match=r"A ranking is saved as \.json, \.csv, not as rank\.png"):
        ranking.save(tmp_path / "rank.png")
    assert [path.name for path in tmp_path.iterdir()] == ["MAP.PNG"]


def test_saving_replaces_a_file_whole_or_not_at_all(network, tmp_path, monkeypatch):
    heat = ts.saliency(network, torch.rand(1, 3, 5, 7), 1)
    path = tmp_path / "map.png"
    path.write_bytes(b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", interrupt)
        with pytest.raises(KeyboardInterrupt):
            heat.save(path)
    assert path.read_bytes() == b"before"
    heat.save(path)
    assert path.read_bytes() == heat.png()
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert [file.name for file in tmp_path.iterdir()] == ["map.png"]
    assert heat.save(tmp_path / "new" / "folder" / "map.png").read_bytes() == heat.png()
    with pytest.raises(OptionError, match=r"map\.png.x\.png cannot be written: "):
        heat.save(path / "x.png")


def test_a_new_file_is_never_made_over_one_that_is_there(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    write_file(path, b"first", replace=False)
    with pytest.raises(OptionError, match=r"Another program has made .*x\.png meanwhile; it was not overwritten"):
        write_file(path, b"second", replace=False)

    def linkless(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", linkless)  # as on exFAT
    with pytest.raises(OptionError, match="not overwritten"):
        write_file(path, b"second", replace=False)
    assert path.read_bytes() == b"first"
    write_file(tmp_path / "y.png", b"second", replace=False)
    assert (tmp_path / "y.png").read_bytes() == b"second"
    assert {file.name for file in tmp_path.iterdir()} == {"x.png", "y.png"}


def test_a_place_is_looked_at_without_leaving_anything(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe.png")
    require_place(tmp_path / "x.png")
    require_place(tmp_path / "new" / "folder" / "x.png")
    require_place(tmp_path / "file")
    for name, said in (
        ("", "is a folder"),
        ("file/x.png", "cannot be written: Not a directory"),
        ("pipe.png", "is a pipe or device"),
        ("x" * 300 + ".png", "cannot be written: File name too long"),
        ("nul\0.png", "holds a zero byte"),
    ):
        with pytest.raises(OptionError, match=said):
            require_place(tmp_path / name)
    assert {file.name for file in tmp_path.iterdir()} == {"file", "pipe.png"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_without_permission_is_noticed_by_looking(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o555)
    for name in ("closed/x.png", "closed/new/x.png"):
        with pytest.raises(OptionError, match="cannot be written to: Permission denied"):
            require_place(tmp_path / name)


def interrupt(*_):
    raise KeyboardInterrupt


def test_one_of_a_batch_carries_its_own_recipe_and_question(network):
    heat = ts.saliency(network, torch.rand(3, 3, 5, 7), ts.Logit([4, 0, 2], form="probability"))
    assert len(heat) == 3
    for index, name in ((0, "e"), (1, "a"), (2, "c"), (-1, "c")):
        one = heat[index]
        assert len(one) == 1
        assert torch.equal(one.values, heat.values[index][None])
        assert torch.equal(one.image, heat.image[index][None])
        assert torch.equal(one.scores, heat.scores[index][None])
        assert one.objective == ts.Logit("abcde".index(name), form="probability")
        assert one.recipe.objective == f"prob:{'abcde'.index(name)}"
        assert one.asked == (name,)
        assert len(one.recipe.images) == len(one.boxes) == 1
        assert one[0].recipe.objective == one.recipe.objective
    with pytest.raises(IndexError):
        heat[3]
    assert [one.asked for one in heat] == [("e",), ("a",), ("c",)]
    overlay = heat.overlay()[1]
    assert overlay.recipe.objective == "prob:0"
    assert overlay.values.shape == (1, 3, 5, 7)


def test_one_of_a_batch_of_sums(network):
    heat = ts.saliency(network, torch.rand(2, 3, 5, 7), ts.Logit([4, 0]) - 0.5 * ts.Channel("3", 1))
    assert heat[1].objective == ts.Logit(0) - 0.5 * ts.Channel("3", 1)
    assert heat[1].recipe.objective == "0 - 0.5*3:1"


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0, 1e-30, 1e30])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_heatmaps_are_drawn(value, channels):
    heat = heat_of(torch.full((2, channels, 5, 7), value))
    for drawn in (heat.draw(), heat.overlay().draw(), heat.side_by_side().draw()):
        assert drawn.isfinite().all()
        assert 0 <= drawn.min() <= drawn.max() <= 1
    assert heat.scale == (abs(torch.tensor(value).item()) or 1.0)
    assert heat.signed is (value < 0)
    assert heat.png() == heat.png()


def test_nothing_is_drawn_brighter_for_a_heatmap_in_double_precision():
    values = torch.linspace(-1, 1, 35).view(1, 1, 5, 7)
    single, double = heat_of(values), heat_of(values.double(), torch.full((1, 3, 5, 7), 0.5, dtype=torch.float64))
    assert torch.equal(single.draw(), double.draw())
    assert double.overlay().png() == single.overlay().png()


def test_zero_is_neutral_and_signs_have_colours():
    heat = heat_of(torch.tensor([[[[-1.0, 0.0, 1.0]]]]))
    red, green, blue = pixels_of(heat.png())[:, 0].int()
    assert blue[0] > red[0]
    assert red[2] > blue[2]
    assert max(red[1], green[1], blue[1]) - min(red[1], green[1], blue[1]) < 12
    colour = heat_of(torch.zeros(1, 3, 2, 2))
    assert set(pixels_of(colour.png()).flatten().tolist()) == {128}


def test_styles(network):
    heat = ts.saliency(network, torch.rand(1, 3, 5, 7), 1)
    assert heat.draw().shape == (3, 5, 7)
    assert heat.overlay().draw().shape == (3, 5, 7)
    assert heat.side_by_side().draw().shape == (3, 5, 7 + 8 + 7)
    assert torch.equal(heat.styled("heat").draw(), heat.draw())
    assert heat.overlay().recipe.style == "overlay"
    assert isinstance(heat.overlay(), Picture)
    with pytest.raises(OptionError, match="heat, overlay, side-by-side, not 'loud'"):
        heat.styled("loud")


def test_an_overlay_is_pale_where_the_map_says_nothing():
    image = torch.rand(1, 3, 1, 2)
    drawn = heat_of(torch.tensor([[[[0.0, 1.0]]]]), image).overlay().draw()
    torch.testing.assert_close(drawn[:, 0, 0], (image[0, :, 0, 0].mean() * 0.6 + 0.4).expand(3))


def test_grey_pictures_are_drawn():
    image = torch.rand(1, 1, 5, 7)
    assert torch.equal(Picture(image).draw(), image[0].expand(3, -1, -1))
    drawn = heat_of(torch.rand(1, 1, 5, 7), image).side_by_side().draw()
    assert torch.equal(drawn[:, :, :7], image[0].expand(3, -1, -1))
    assert drawn.shape[-1] >= 14


def test_a_batch_is_a_mosaic_at_one_scale(network):
    heat = ts.saliency(network, torch.rand(4, 3, 5, 7), 1)
    drawn = heat.draw()
    assert drawn.shape in [(3, 5 * rows + 2 * (rows - 1), 7 * cols + 2 * (cols - 1)) for rows, cols in ((2, 2), (4, 1))]
    assert torch.equal(drawn[:, :5, :7], render.unsigned(heat.values[0, 0], heat.scale))
    assert torch.equal(drawn[:, -5:, -7:], render.unsigned(heat.values[3, 0], heat.scale))


@pytest.fixture
def ranking():
    values = torch.tensor([[0.5, 0.25], [0.75, 0.125]])
    names = (("cat, tabby", 'say "dog"'), ("crane", "fire\nengine"))
    return Ranking(values, indices=torch.tensor([[7, 1], [0, 7]]), names=names, recipe=RECIPES[1])


def test_a_ranking_as_json(ranking, tmp_path):
    data = json.loads(ranking.save(tmp_path / "rank.json").read_text("utf-8"))
    assert data["images"][0] == [
        {"index": 7, "name": "cat, tabby", "score": 0.5},
        {"index": 1, "name": 'say "dog"', "score": 0.25},
    ]
    assert Recipe.from_json(json.dumps(data["recipe"])).to_json() == RECIPES[1].to_json()


def test_a_ranking_as_csv(ranking, tmp_path):
    with ranking.save(tmp_path / "rank.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "rank", "index", "name", "score"],
        ["cat", "1", "7", "cat, tabby", "0.5"],
        ["cat", "2", "1", 'say "dog"', "0.25"],
        ["tensor", "1", "0", "crane", "0.75"],
        ["tensor", "2", "7", "fire\nengine", "0.125"],
    ]


def test_one_of_a_ranking(ranking):
    one = ranking[1]
    assert one.rows() == [ranking.rows()[1]]
    assert one.recipe.images == (ImageNote("tensor"),)
    assert str(ranking).split("\n\n") == [f"cat\n{ranking[0]}", f"tensor\n{ranking[1]}"]
    assert str(one).splitlines()[0].split() == ["0.7500", "0", "crane"]


def test_nan_is_not_drawn_as_a_picture(tmp_path):
    broken = Picture(torch.full((1, 3, 2, 2), math.nan))
    with pytest.raises(ts.TriscopeError, match="NaN"):
        broken.save(tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
