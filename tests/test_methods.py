"""The decorator `@method`: options checked, text converted to values, recipes written."""

import io
from typing import Annotated, Literal

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests import nets
from triscope import verbs
from triscope.errors import ImageError, OptionError
from triscope.methods import METHODS, ImagesArg, Method, NetworkArg, ObjectiveArg, Range, method
from triscope.network import ImageBatch
from triscope.objectives.units import TOP_CLASS
from triscope.results import Picture


@pytest.fixture
def echo():
    """A method that is in the table for the time of a test, and returns what it was given."""
    given = {}

    @method("where")
    def echo_back(
        network: NetworkArg,
        images: ImagesArg,
        objective: ObjectiveArg = TOP_CLASS,
        *,
        count: Annotated[int, Range(1, 9)] = 3,
        rate: Annotated[float | None, Range(0, 0.5)] = None,
        kind: Literal["one", "two"] = "one",
        loud: bool = False,
        size: Annotated[int, Range(1, 9)] | Literal["auto"] = 2,
    ) -> Picture:
        """Give back what was given,
        on two lines.

        Values as they are. Raises nothing.

        count   how many, and this text
            goes on here
        rate    how fast
        kind    of what kind
        loud    whether it is loud
        size    how large
        """
        given.update(locals())
        return Picture(images.images)

    yield echo_back, given
    del METHODS["echo_back"]


def test_a_method_says_what_it_is(echo):
    verb, _ = echo
    assert METHODS["echo_back"] is verb
    assert (verb.name, verb.command, verb.question) == ("echo_back", "echo-back", "where")
    assert verb.summary == "Give back what was given, on two lines."
    assert verb.__doc__.startswith("Give back")
    assert verb.returns is Picture
    assert [verb.takes(name) for name in ("network", "images", "objective", "layer")] == [True, True, True, False]
    assert [verb.requires(name) for name in ("network", "images", "objective", "layer")] == [True, True, False, False]
    assert repr(verb).startswith("<method echo_back(network:")


def test_options_are_read_from_the_signature_and_the_docstring(echo):
    verb, _ = echo
    options = {option.name: option for option in verb.options}
    assert list(options) == ["count", "rate", "kind", "loud", "size", "fit"]
    count, rate, kind, loud = (options[name] for name in ("count", "rate", "kind", "loud"))
    assert (count.type, count.default, count.range, count.choices) == (int, 3, Range(1, 9), ())
    assert count.help == "how many, and this text goes on here"
    assert str(count.range) == "1 to 9"
    assert (rate.type, rate.default, rate.range) == (float, None, Range(0, 0.5))
    assert (kind.type, kind.choices, kind.help) == (str, ("one", "two"), "of what kind")
    assert (loud.type, loud.default) == (bool, False)
    size = options["size"]
    assert (size.type, size.default, size.range, size.words) == (int, 2, Range(1, 9), ("auto",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, r"^count must be in the range 1 to 9, not 0\.$"),
        ({"count": 10}, r"^count must be in the range 1 to 9, not 10\.$"),
        ({"count": 2.5}, r"^count must be of type int, not 2\.5\.$"),
        ({"count": True}, r"^count must be of type int, not True\.$"),
        ({"count": None}, r"^count must be of type int, not None\.$"),
        ({"rate": -0.1}, r"^rate must be in the range 0 to 0\.5, not -0\.1\.$"),
        ({"rate": float("nan")}, r"^rate must be in the range 0 to 0\.5, not nan\.$"),
        ({"rate": "0.1"}, r"^rate must be of type float, not '0\.1'\.$"),
        ({"kind": "tow"}, r"^kind must be one of one, two, not 'tow'\. Nearest: two\.$"),
        ({"size": "all"}, r"^size must be of type int or auto, not 'all'\.$"),
        ({"size": 10}, r"^size must be in the range 1 to 9, not 10\.$"),
        ({"loud": 1}, r"^loud must be of type bool, not 1\.$"),
        ({"fit": "stretch"}, r"^fit must be one of crop, pad, keep, not 'stretch'\.$"),
    ],
)
def test_bad_options_are_refused_before_anything_is_read(echo, given, message):
    verb, seen = echo
    with pytest.raises(OptionError, match=message):
        verb(None, "no such picture.jpg", **given)
    assert not seen


@pytest.mark.parametrize(
    "given", [{"count": 1}, {"count": 9}, {"rate": 0}, {"rate": 0.5}, {"rate": None}, {"loud": True}, {"size": "auto"}]
)
def test_the_ends_of_a_range_are_allowed(echo, given):
    verb, seen = echo
    result = verb(nets.network(), torch.rand(1, 3, 5, 7), **given)
    assert given.items() <= seen.items()
    assert given.items() <= result.recipe.options.items()


def test_unknown_options_are_python_errors(echo):
    verb, _ = echo
    with pytest.raises(TypeError, match="colour"):
        verb(nets.network(), torch.rand(1, 3, 5, 7), colour="red")


def test_words_are_values_inside(echo):
    verb, seen = echo
    network = nets.network(classes=list("abcde"))
    verb(network, torch.rand(2, 3, 5, 7), "prob:c")
    assert seen["objective"] == ts.Logit(2, form="probability")
    assert isinstance(seen["images"], ImageBatch)
    verb(network, torch.rand(2, 3, 5, 7))
    assert seen["objective"] == ts.TopClass()


def picture(width, height, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PIL.Image.fromarray(noise)


def test_pictures_of_every_kind_are_seen(echo, tmp_path):
    verb, _ = echo
    network = nets.network(size=(5, 7))
    image = picture(7, 5)
    path = tmp_path / "a b.png"
    image.save(path)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    for given in (path, str(path), image, np.array(image), buffer.getvalue(), [path, image]):
        values = verb(network, given).values
        assert values.shape == (2 if isinstance(given, list) else 1, 3, 5, 7)
        torch.testing.assert_close(values[0], torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255)
    recipe = verb(network, [path, image]).recipe
    assert [note.name for note in recipe.images] == ["a b", "image"]
    assert recipe.images[0].path == str(path)
    assert len(recipe.images[0].sha256) == 64
    assert recipe.images[1].path is recipe.images[1].sha256 is None


def test_pictures_are_fitted_and_tensors_are_not(echo):
    verb, _ = echo
    network = nets.network(size=(5, 7))
    image, tensor = picture(40, 30), torch.rand(1, 3, 30, 40)
    assert verb(network, image).values.shape == (1, 3, 5, 7)
    assert verb(network, image, fit="pad").values.shape == (1, 3, 5, 7)
    assert verb(network, image, fit="keep").values.shape == (1, 3, 30, 40)
    assert verb(network, [image, picture(20, 60, 1)]).values.shape == (2, 3, 5, 7)
    for fit in ("crop", "pad", "keep"):
        for given in (tensor, tensor[0], [tensor], [tensor[0]]):
            assert torch.equal(verb(network, given, fit=fit).values, tensor)
    assert verb(network, [tensor, tensor[0], torch.cat([tensor, tensor])]).values.shape == (4, 3, 30, 40)


def test_what_is_seen_lies_where_the_box_says(echo):
    """The box, cut out of the original and resized, is what is seen."""
    verb, seen = echo
    network = nets.network(size=(20, 30), resize=40)
    ramp = torch.stack([torch.arange(90.0)[:, None].expand(90, 120) / 120, torch.arange(120.0).expand(90, 120) / 120])
    pixels = (torch.cat([ramp, torch.zeros(1, 90, 120)]).permute(1, 2, 0) * 255).byte().numpy()
    for fit in ("crop", "pad", "keep"):
        values = verb(network, PIL.Image.fromarray(pixels), fit=fit).values[0]
        (box,) = seen["images"].boxes
        rows, cols = values.shape[1:]
        inside = values[2] < 0.25  # padding is grey
        for row, col in ((rows // 2, cols // 2), (rows // 4, cols // 4), (rows * 3 // 4, cols * 3 // 4)):
            assert inside[row, col]
            wanted = torch.tensor(
                [box.top + (row + 0.5) * box.height / rows, box.left + (col + 0.5) * box.width / cols]
            )
            assert (values[:2, row, col] * 120 - wanted).abs().max() < 2.5
    assert (box.top, box.left, box.height, box.width) == (0, 0, 90, 120)


def test_several_pictures_must_make_one_batch(echo):
    verb, _ = echo
    network = nets.network()
    with pytest.raises(ImageError, match=r"several sizes \(30 x 40, 60 x 20\) do not make one batch"):
        verb(network, [picture(40, 30), picture(20, 60)], fit="keep")
    with pytest.raises(ImageError, match="several sizes"):
        verb(network, [torch.rand(3, 5, 7), torch.rand(3, 7, 5)])
    with pytest.raises(ImageError, match="the list of images is empty"):
        verb(network, [])
    with pytest.raises(ImageError, match=r"no such picture\.jpg does not exist"):
        verb(network, ["no such picture.jpg"])


def test_double_precision_in_a_list_is_kept(echo):
    verb, _ = echo
    network = nets.network()
    network.module.double()
    exact = torch.rand(3, 5, 7, dtype=torch.float64)
    assert torch.equal(verb(network, [exact, exact]).values[1], exact)


def test_grey_and_colour(echo):
    verb, _ = echo
    grey, colour = torch.rand(1, 1, 5, 7), torch.rand(1, 3, 5, 7)
    assert torch.equal(verb(nets.network(), grey).values, grey.expand(1, 3, 5, 7))
    small = nets.network(nets.fill(nets.cnn(channels=1)), mean=(0.5,), std=(0.5,))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    torch.testing.assert_close(verb(small, colour).values, (colour * weights).sum(1, keepdim=True))
    unknown = nets.network(nets.fill(nets.cnn(channels=4)), mean=None, std=None)
    with pytest.raises(ImageError, match="has 3 channels, and the network reads 4"):
        verb(unknown, colour)


def test_what_was_seen_stays_seen(echo):
    verb, _ = echo
    network = nets.network(size=(5, 7))
    seen = network.prepare(picture(40, 30))
    assert torch.equal(verb(network, seen, fit="pad").values, seen.images)


def test_the_table_is_one_of_methods():
    assert all(isinstance(verb, Method) and verb.name == name for name, verb in METHODS.items())
    commands = [verb.command for verb in METHODS.values()]
    assert len(set(commands)) == len(commands)


def test_a_command_line_takes_one_kind_of_pictures_without_a_name():
    """Two lists of words without names cannot be told from each other."""
    for verb in verbs.METHODS.values():
        several = [one for one in verb.inputs.values() if one.is_argument and one.input.kind == "images"]
        assert sum(one.input.many for one in several) <= 1, verb.name
