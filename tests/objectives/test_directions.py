"""Named directions: their text form, the file they are kept in, recipes that need no file, and files of strangers."""

import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from torch import nn

import triscope as ts
from tests import nets
from triscope.cli import main
from triscope.errors import LayerNotFound, ObjectiveError, RecipeError
from triscope.objectives import directions
from triscope.objectives.directions import FILE, from_text, load_directions, to_text

VECTOR = torch.tensor([2.0, -3.0])


def two_channels(classes=None):
    """One layer of two 1 x 1 filters, whose maps are known: red - green, and blue."""
    layer = nn.Conv2d(3, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, -1, 0], [0, 0, 1]])[:, :, None, None]
    module = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nets.network(module, mean=None, std=None, classes=classes)


@pytest.fixture
def network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return two_channels()


@pytest.fixture
def images():
    return torch.rand(2, 3, 5, 7)


@pytest.fixture
def photo(network):
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)).save("photo.png")
    return "photo.png"


def write(vectors, path=FILE):
    Path(path).write_bytes(safetensors.torch.save(vectors))


def along(images, vector=VECTOR):
    return (images[:, 0] - images[:, 1]) * vector[0] + images[:, 2] * vector[1]


def test_a_name_is_found_in_the_current_folder(network, images):
    direction = ts.Direction("0", VECTOR, "stripes")
    assert direction.save() == Path(FILE)
    for text in ("0/stripes", "2*0/stripes - 0:1 - 0/stripes"):
        bound = ts.unit(text).bind(network)
        wanted = along(images).mean((1, 2)) - (images[:, 2].mean((1, 2)) if "0:1" in text else 0)
        torch.testing.assert_close(bound(network.look(images, bound.needs)), wanted)
    heat = ts.input_x_gradient(network, images, "0/stripes")
    torch.testing.assert_close(heat.values, along(images)[:, None] / 35)


@pytest.mark.parametrize("layer", ["0", "features.10", "layer-1.conv", "a/b", 'a "b"', "a - b", "3*x", "max"])
@pytest.mark.parametrize("name", ["stripes", "stripes-2", "v1.5_b", "ü"])
def test_text_and_value_are_one(tmp_path, layer, name):
    direction = ts.Direction(layer, torch.randn(4), name)
    direction.save(tmp_path)
    for text in (str(direction), str(ts.unit(str(direction)))):
        found = ts.unit(text, directions=tmp_path)
        assert isinstance(found, ts.Direction)
        assert (found.layer, found.name, str(found)) == (layer, name, text)
        assert torch.equal(found.vector, direction.vector)
    total = ts.unit(f"{direction} - 0.5*{direction} + 281", directions=tmp_path / FILE)
    assert str(ts.unit(str(total), directions=tmp_path)) == str(total)


def test_without_a_name_there_is_no_text(tmp_path):
    direction = ts.Direction("0", VECTOR)
    assert str(direction) == repr(direction) == "Direction('0', <(2,) tensor>)"
    assert str(direction - ts.Logit(1)) == "Direction('0', <(2,) tensor>) - Logit(1)"
    with pytest.raises(ObjectiveError, match="this one has none"):
        direction.save(tmp_path)


def test_a_file_keeps_what_it_has(network):
    ts.Direction("0", VECTOR, "stripes").save()
    ts.Direction("0", -VECTOR, "dots").save()
    ts.Direction("0", VECTOR, "stripes").save()  # the same once more
    with pytest.raises(ObjectiveError, match="already contains another direction 0/stripes"):
        ts.Direction("0", 2 * VECTOR, "stripes").save()
    assert torch.equal(load_directions(".")["0/stripes"].vector, VECTOR)
    ts.Direction("0", 2 * VECTOR.double(), "stripes").save(overwrite=True)
    known = load_directions(FILE)
    assert {text: one.vector.tolist() for text, one in known.items()} == {"0/stripes": [4, -6], "0/dots": [-2, 3]}
    assert {one.vector.dtype for one in known.values()} == {torch.float32}
    assert [*Path().iterdir()] == [Path(FILE)]


@pytest.mark.parametrize("name", ["a b", "../x", "a/b", "a:b", "-a", ".", "a\n", "a" * 101, "(a)", "a@1,2"])
def test_names_that_could_be_something_else_are_refused(name):
    with pytest.raises(ObjectiveError, match="letters, digits"):
        ts.Direction("0", VECTOR, name)


@pytest.mark.parametrize("vector", [torch.ones(2, 2), torch.ones(0), torch.tensor([1.0, float("nan")])])
def test_what_is_no_direction_is_not_kept(network, vector):
    with pytest.raises(ObjectiveError, match=r"not a vector of numbers|not finite"):
        ts.Direction("0", vector, "odd").save()
    assert not Path(FILE).exists()


def test_what_is_near_is_named(network, images):
    with pytest.raises(ObjectiveError, match=r"no direction 0/stripes\. Direction\(.*save\(\) saves one"):
        ts.saliency(network, images, "0/stripes")
    ts.Direction("0", VECTOR, "stripes").save()
    with pytest.raises(ObjectiveError, match=r"no direction 0/strips\. Nearest: 0/stripes"):
        ts.saliency(network, images, "0/strips")
    with pytest.raises(LayerNotFound, match="no layer 'conv'"):
        ts.saliency(network, images, "conv/stripes")
    with pytest.raises(ObjectiveError, match="has not been read yet"):
        ts.unit("0/stripes")({})
    ts.Direction("0", torch.ones(3), "long").save()
    with pytest.raises(ObjectiveError, match=r"has 2 numbers; this one has the shape \(3,\)"):
        ts.saliency(network, images, "0/long")
    with pytest.raises(ObjectiveError, match="does not exist"):
        ts.unit("0/stripes", directions="other")


def test_a_class_of_that_name_is_a_class(network, images):
    named = two_channels(["0/stripes", "and/or"])
    ts.Direction("0", VECTOR, "stripes").save()
    ts.Direction("0", VECTOR, "dots").save()
    assert ts.unit("0/stripes").bind(named) == ts.Logit(0).bind(named)
    assert ts.unit("AND/or").bind(named) == ts.Logit(1).bind(named)
    assert isinstance(ts.unit("0/dots").bind(named), ts.Direction)
    with pytest.raises(ObjectiveError, match="no class 'and/not'"):
        ts.unit("and/not").bind(named)
    assert ts.unit(str(ts.Logit("and/or"))) == ts.Logit("and/or")


def test_a_store_has_its_own(network, tmp_path):
    pytest.importorskip("lance")
    from tests.which.conftest import paint, tiny_network

    for number in range(3):
        paint(tmp_path / "photos" / f"{number}.png", number)
    store = ts.Store.build(tiny_network(), "photos", layers=["2"])
    vector = torch.randn(6)
    ts.Direction("2", vector, "stripes").save(store.path)
    found = ts.top(store, "2/stripes")
    wanted = [float(store.vectors(store.find("2"), [row])[0] @ vector) for row in found.rows]
    torch.testing.assert_close(found.values, torch.tensor(wanted))
    assert wanted == sorted(wanted, reverse=True)
    with pytest.raises(ObjectiveError, match="Nearest: 2/stripes"):
        ts.top(store, "2/strips")


def test_a_recipe_needs_no_file(network, photo):
    ts.Direction("0", VECTOR, "stripes").save()
    heat = ts.input_x_gradient(network, photo, "0/stripes - 0:1")
    heat.save("first.png")
    assert heat.recipe.objective == "0/stripes - 0:1"
    write({"0/stripes": torch.ones(2)})  # another of that name
    again = ts.redo("first.png", network=network)
    assert torch.equal(again.values, heat.values)
    Path(FILE).unlink()
    again = ts.redo("first.png", network=network)
    again.save("second.png")
    assert Path("first.png").read_bytes() == Path("second.png").read_bytes()


def test_further_units_are_in_the_recipe_too(network, photo):
    ts.Direction("0", VECTOR, "stripes").save()
    table = ts.compare(network, photo, "0:1", methods=["saliency"], units=["0/stripes"])
    table.save("table.png")
    Path(FILE).unlink()
    assert torch.equal(ts.redo("table.png", network=network).values, table.values)
    assert "directions" not in json.loads(ts.saliency(network, photo, "0:1").recipe.to_json())


def test_numbers_and_text_are_one():
    direction = ts.Direction("0", torch.randn(7), "stripes")
    (known,) = from_text(json.loads(json.dumps(to_text(direction - ts.Logit(1))))).values()
    assert (str(known), known.vector.tolist()) == (str(direction), direction.vector.tolist())
    assert to_text(ts.Direction("0", VECTOR)) == {}


@pytest.mark.parametrize("numbers", ["%%%", "AAA", "AAAAAAA=", "", "AADAfw==", "ü"])
def test_a_recipe_with_other_numbers_is_refused(network, photo, numbers):
    ts.Direction("0", VECTOR, "stripes").save()
    heat = ts.saliency(network, photo, "0/stripes")
    for held in ({"0/stripes": numbers}, {"0/strip es": next(iter(heat.recipe.directions.values()))}, {}):
        recipe = json.loads(heat.recipe.to_json()) | {"directions": held}
        with PIL.Image.open(heat.save("made.png")) as image:
            info = PIL.Image.new("RGB", image.size)
        note = PIL.PngImagePlugin.PngInfo()
        note.add_text("triscope", json.dumps(recipe))
        info.save("forged.png", pnginfo=note)
        with pytest.raises(RecipeError, match="This recipe cannot be read"):
            ts.redo("forged.png", network=network)
    for odd in ([], "x", {"0/stripes": 3}):
        with pytest.raises(RecipeError, match="directions is"):
            ts.Recipe.from_json(json.dumps(recipe | {"directions": odd}))


HOSTILE = {
    "no name": {"stripes": VECTOR},
    "a way": {"0/../../x": VECTOR},
    "control": {"0/a\x1b[2J": VECTOR},
    "an unquoted sign": {"a - b/x": VECTOR},
    "a matrix": {"0/x": torch.ones(2, 2)},
    "nothing": {"0/x": torch.ones(0)},
    "whole numbers": {"0/x": torch.ones(2, dtype=torch.int64)},
    "no number": {"0/x": torch.tensor([1.0, float("inf")])},
}


@pytest.mark.parametrize("vectors", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused(network, images, vectors):
    write(vectors)
    with pytest.raises(ObjectiveError, match=rf"^{FILE} contains ") as caught:
        ts.saliency(network, images, "0/x")
    assert str(caught.value).isprintable()
    before = Path(FILE).read_bytes()
    with pytest.raises(ObjectiveError):
        ts.Direction("0", VECTOR, "x").save()
    assert Path(FILE).read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\x80\x02cos\nsystem\n", b"\xff" * 64, b'\x08\0\0\0\0\0\0\0{"a":1}  '])
def test_what_is_no_such_file_is_refused(network, images, data):
    Path(FILE).write_bytes(data)
    with pytest.raises(ObjectiveError, match="not a file of directions, or is damaged"):
        ts.saliency(network, images, "0/x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_does_not_hang(network, images):
    os.mkfifo(FILE)
    with pytest.raises(ObjectiveError, match="pipe or device"):
        ts.saliency(network, images, "0/x")


def test_the_command_line_reads_them(network, photo):
    net = ts.load("pocket")
    ts.Direction("features.2", torch.randn(net.layer("features.2").channels), "stripes").save()
    done = CliRunner().invoke(main, ["saliency", photo, "-u", "features.2/stripes"])
    assert (done.exit_code, done.stdout) == (0, "photo.saliency.features-2-stripes.png\n")
    Path(FILE).unlink()
    done = CliRunner().invoke(main, ["redo", "photo.saliency.features-2-stripes.png", "-o", "again.png"])
    assert (done.exit_code, done.output) == (0, "again.png\n")
    assert Path("again.png").read_bytes() == Path("photo.saliency.features-2-stripes.png").read_bytes()
    done = CliRunner().invoke(main, ["saliency", photo, "-u", "features.2/stripes", "-o", "no.png"])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "There is no direction features.2/stripes" in done.stderr


@pytest.mark.parametrize("text", ["/etc/passwd", "../x/y", "~/x", "C:/x", "//host/share", "x/directions.safetensors"])
def test_a_text_opens_no_other_file(network, images, monkeypatch, text):
    ts.Direction("0", VECTOR, "stripes").save()
    opened = []
    whole = directions.open_regular
    monkeypatch.setattr(directions, "open_regular", lambda path, error: opened.append(path) or whole(path, error))
    with pytest.raises(ts.TriscopeError):
        ts.saliency(network, images, text)
    ts.saliency(network, images, "0/stripes")
    assert opened == [Path(FILE)]
