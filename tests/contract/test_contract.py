"""The contract of all methods in the table. A method that is added later is tested at once.

A row gives what a method cannot do without, or what makes it quick, and says where a promise does not apply to it.
"""

import functools
import math

import pytest
import torch

import triscope as ts
from tests import nets
from tests.contract import asking
from tests.contract.asking import ASKING, PER_IMAGE, QUESTIONED, SEEING, ask, fresh, pictures, tiny
from tests.network.test_borrowing import Raising, in_training, untouched
from triscope.errors import ImageError, ObjectiveError, OptionError
from triscope.results import Heatmap
from triscope.verbs import METHODS

MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", ASKING)
def test_gives_what_it_says(name):
    result = ask(name, tiny(name))
    assert isinstance(result, METHODS[name].returns)
    assert result.values.isfinite().all()
    assert result.recipe.method == name
    assert result.recipe.networks[0].name == "Sequential"
    assert len(result.recipe.networks[0].weights()) == 64
    options = {option.name for option in METHODS[name].options} - {"checkpoint"}
    assert options <= result.recipe.options.keys()
    assert ts.Recipe.from_json(result.recipe.to_json()).to_json() == result.recipe.to_json()


@pytest.mark.parametrize("name", ASKING)
def test_leaves_network_and_pictures_untouched(name):
    module, images = in_training(asking.module(name)), pictures()
    with untouched(module, images):
        ask(name, nets.network(module), images)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", QUESTIONED)
def test_leaves_network_and_pictures_untouched_when_interrupted(name, error):
    module, images = in_training(asking.module(name)), pictures()
    asked = Raising(ts.Channel("3", 2), error())
    extra = {"layer": None} if METHODS[name].takes("layer") else {}
    with untouched(module, images), pytest.raises(error):
        ask(name, nets.network(module), images, objective=asked, **extra)
    assert asked.seen


@pytest.mark.parametrize("name", PER_IMAGE)
def test_one_class_for_each_image(name):
    network, images = tiny(name), pictures(2)
    extra = {"layer": None} if METHODS[name].takes("layer") else {}
    each = ask(name, network, images, objective=ts.Logit([1, 3]), **extra)
    for index, one in enumerate([1, 3]):
        alone = ask(name, network, images[index][None], objective=one, **extra)
        torch.testing.assert_close(each[index].values, alone.values, rtol=1e-4, atol=1e-6)
        assert each[index].recipe.objective == str(one)
    with pytest.raises(ObjectiveError, match="3 classes were given for 2 images"):
        ask(name, network, images, objective=ts.Logit([1, 3, 2]), **extra)


@pytest.mark.parametrize("name", ASKING)
def test_the_same_again_is_the_same(name):
    network, images = tiny(name), pictures()
    one = ask(name, network, images).values
    torch.rand(7)  # somebody else uses the global generator in between
    assert torch.equal(one, ask(name, network, images).values)
    assert torch.equal(one, ask(name, fresh(name), images.clone()).values)


@pytest.mark.parametrize("name", ASKING)
def test_grey_networks(name):
    module = asking.module(name, channels=1)
    network = nets.network(module, mean=(0.5,), std=(0.25,))
    grey = pictures(channels=1)
    result = ask(name, network, grey)
    assert result.values.isfinite().all()
    if METHODS[name].takes("images"):
        colour = ask(name, network, grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(colour.values, result.values, rtol=1e-3, atol=1e-5)
    if isinstance(result, Heatmap):
        assert result.values.shape[1:] == result.image.shape[1:] == (1, 5, 7)
    if hasattr(result, "png"):
        assert result.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("size", [(5, 7), (7, 5), (33, 47), (3, 64)])
@pytest.mark.parametrize("name", SEEING)
def test_images_that_are_not_square(name, size):
    result = ask(name, tiny(name), pictures(size=size))
    assert result.values.isfinite().all()
    if isinstance(result, Heatmap):
        assert result.values.shape[-2:] == size
        assert {(box.height, box.width) for box in result.boxes} == {size}


@pytest.mark.parametrize("name", ASKING)
def test_double_precision(name):
    single, double = tiny(name), fresh(name)
    double.module.double()
    images = pictures(dtype=torch.float64)
    exact = ask(name, double, images)
    assert exact.recipe.precision == "float64"
    assert exact.values.dtype in (torch.float64, torch.float32)
    if METHODS[name].question in ("where", "view"):
        assert exact.values.dtype == torch.float64
        torch.testing.assert_close(exact.values.float(), ask(name, single, images).values, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.5, 1.5])
@pytest.mark.parametrize("name", SEEING)
def test_what_is_no_picture_is_refused(name, bad):
    images = pictures()
    images[0, 1, 2, 3] = bad
    with pytest.raises(ImageError, match=r"holds NaN or infinite|and an image holds 0 to 1"):
        ask(name, tiny(name), images)


@functools.cache
def asked_plainly(name):
    """A network that was asked in no special mode, and what it answered."""
    network = fresh(name)
    return network, ask(name, network).values


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ASKING)
def test_the_callers_modes_do_not_matter(name, mode):
    used, plain = asked_plainly(name)
    new = fresh(name)
    with MODES[mode]():
        for network in (new, used):
            values = ask(name, network).values
            assert torch.equal(values, plain)
            assert values.dtype == plain.dtype


@pytest.mark.parametrize("name", ASKING)
def test_frozen_weights_do_not_matter(name):
    plain, frozen = tiny(name), fresh(name)
    frozen.module.requires_grad_(False)
    assert torch.equal(ask(name, frozen).values, ask(name, plain).values)


@pytest.mark.parametrize("name", SEEING)
def test_pictures_that_want_gradients_do_not_matter(name):
    images = pictures()
    wanting = (images.clone().requires_grad_() * 1.0).clone()
    result = ask(name, fresh(name), wanting)
    assert not result.values.requires_grad
    assert torch.equal(result.values, ask(name, tiny(name), images).values)


OPTIONS = [(name, option) for name, method in METHODS.items() for option in method.options]
OPTION_IDS = [f"{name}-{option.name}" for name, option in OPTIONS]


def outside(option):
    """Values that the option must refuse."""
    if option.many:
        return [5, (), [], [None]]
    if option.bytes:
        return ["2X", "", "0G", 1.5, True]
    if option.choices:
        return ["nonsense", "", 3, True]
    if option.type is bool:
        return ["yes", 1, 0.0]
    if option.type is str:
        return [5, 1.5, b"x"]
    wrong = ["3", True, [1], math.nan] + ([1.5] if option.type is int else [])
    bounds = [option.range.least - 1, option.range.most * 2 + 1, -math.inf] if option.range else []
    return wrong + [option.type(bound) if math.isfinite(bound) else bound for bound in bounds]


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=OPTION_IDS)
def test_an_option_out_of_its_range_is_refused_before_anything_is_done(name, option):
    nothing = {
        parameter.name: None
        for parameter in METHODS[name].signature.parameters.values()
        if parameter.default is parameter.empty
    }
    for value in outside(option):
        with pytest.raises(OptionError, match=rf"^{option.name} "):
            METHODS[name](**nothing | {option.name: value})
    if option.default is not None:
        with pytest.raises(OptionError):
            METHODS[name](**nothing | {option.name: None})


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=OPTION_IDS)
def test_an_option_has_a_help_text_and_a_bounded_range(name, option):
    assert len(option.help) > 5
    assert option.help[-1] not in ".,;:"
    if option.type in (int, float) and not option.bytes and not option.many:
        assert option.range is not None
    assert option.read(option.default) == option.default


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_summary_and_a_command(name):
    method = METHODS[name]
    assert method.summary.endswith(".")
    assert len(method.summary) < 200
    assert method.command == name.replace("_", "-")
    assert method.question in ("where", "what", "which", "view")
    assert getattr(ts, name) is method, "a method is part of the public face"
