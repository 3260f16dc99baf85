"""Outputs of any form: which tensor is used, when one must be stated, and what its values mean."""

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError, ObjectiveError

IMAGES = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))


class Returning(nn.Module):
    """A small network whose scores are returned in a form."""

    def __init__(self, form):
        super().__init__()
        self.body = nets.fill(nets.cnn())
        self.form = form

    def forward(self, x):
        return self.form(self.body(x))


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@dataclasses.dataclass
class Answer:
    logits: torch.Tensor
    states: torch.Tensor


def plain():
    return ts.Network(nets.fill(nets.cnn()), size=(5, 7))


FORMS = {
    "dict of one": lambda y: {"scores": y},
    "ordered dict with out": lambda y: OrderedDict(out=y, aux=2 * y),
    "logits beside others": lambda y: {"hidden": y.repeat(1, 3), "logits": y},
    "tuple of one": lambda y: (y,),
    "list with nothing": lambda y: [y, None],
    "dataclass": lambda y: Answer(y, y * 2),
    "nested": lambda y: {"outer": [y]},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_output_is_found_in_what_is_returned(form):
    network = ts.Network(Returning(form), size=(5, 7))
    assert network.require_classifier() == 5
    wanted = ts.saliency(plain(), IMAGES, 1)
    found = ts.saliency(network, IMAGES, 1)
    torch.testing.assert_close(found.values, wanted.values)
    torch.testing.assert_close(found.scores, wanted.scores)


@pytest.mark.parametrize(
    ("form", "output"),
    [
        (lambda y: (y * 2, y), 1),
        (lambda y: (y * 2, y), "1"),
        (lambda y: Pair(y * 2, y), "second"),
        (lambda y: {"a": {"b": y, "c": 3 * y}}, "a.b"),
        (lambda y: {"a": 2 * y, "z": y}, lambda returned: returned["a"] / 2),
    ],
)
def test_the_output_can_be_stated(form, output):
    network = ts.Network(Returning(form), size=(5, 7), output=output)
    torch.testing.assert_close(ts.saliency(network, IMAGES, 1).values, ts.saliency(plain(), IMAGES, 1).values)
    assert "output" in repr(network)


def test_what_is_not_clear_is_listed():
    network = ts.Network(Returning(lambda y: {"boxes": y[:, :4], "scores": y}), size=(5, 7))
    with pytest.raises(NetworkError, match=r"returns boxes \(4\), scores \(5\); say which .*output=\"boxes\""):
        network.require_classifier()
    with pytest.raises(NetworkError, match=r"has no usable output: it returns boxes"):
        network.look(IMAGES, ["output"])
    assert ts.saliency(network, IMAGES, "body.3:2").values.shape == (
        2,
        1,
        5,
        7,
    )  # inner units can be asked all the same
    stated = ts.Network(Returning(lambda y: {"boxes": y}), size=(5, 7), output="nothing")
    with pytest.raises(NetworkError, match=r"returns boxes .*, and no 'nothing'"):
        stated.look(IMAGES, ["output"])


def test_one_number_for_each_picture():
    network = ts.Network(Returning(lambda y: y[:, 0]), size=(5, 7))
    assert network.require_classifier() == 1
    assert network.task == "number"
    scores = plain().look(IMAGES, ["output"])["output"][:, 0]
    torch.testing.assert_close(ts.saliency(network, IMAGES, 0).scores, scores)
    told = ts.predict(network, IMAGES)
    torch.testing.assert_close(told.values[:, 0], scores)
    assert told.names[0] == ("output 0",)
    with pytest.raises(ObjectiveError, match="outputs one number"):
        ts.saliency(network, IMAGES, "prob:0")
    binary = ts.Network(Returning(lambda y: y[:, :1]), size=(5, 7), task="binary")
    torch.testing.assert_close(ts.predict(binary, IMAGES).values[:, 0], scores.sigmoid())
    asked = ts.saliency(binary, IMAGES, "prob:0")
    torch.testing.assert_close(asked.scores, scores.sigmoid())
    assert bool(asked.values.any())


def test_probabilities_are_not_put_through_a_softmax_again():
    network = ts.Network(Returning(lambda y: y.softmax(1)), size=(5, 7))
    assert network.task == "probabilities"
    wanted = plain().look(IMAGES, ["output"])["output"].softmax(1)
    torch.testing.assert_close(ts.predict(network, IMAGES, k=1).values[:, 0], wanted.amax(1))
    torch.testing.assert_close(ts.saliency(network, IMAGES, "prob:3").scores, wanted[:, 3])
    torch.testing.assert_close(ts.saliency(network, IMAGES, "logprob:3").scores, wanted[:, 3].log())


def test_an_embedding_has_no_classes_and_no_probabilities():
    network = ts.Network(nets.fill(nets.cnn()), size=(5, 7), task="embedding")
    assert network.class_name(3) == "output 3"
    assert ts.saliency(network, IMAGES, 3).asked == ("output 3", "output 3")
    with pytest.raises(NetworkError, match="gives an embedding"):
        ts.predict(network, IMAGES)


def test_labels_have_a_sigmoid_each():
    network = ts.Network(nets.fill(nets.cnn()), size=(5, 7), task="labels")
    scores = plain().look(IMAGES, ["output"])["output"]
    torch.testing.assert_close(ts.predict(network, IMAGES, k=5).values, scores.sigmoid().sort(descending=True).values)
    torch.testing.assert_close(ts.saliency(network, IMAGES, "prob:2").scores, scores[:, 2].sigmoid())


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nets.fill(nets.cnn())

    def forward(self, x, meta):
        return self.body(x) + meta


class Keyword(Two):
    def forward(self, *, pixel_values):
        return self.body(pixel_values)


def test_other_arguments_are_a_sentence_with_the_line_that_mends_it():
    with pytest.raises(NetworkError, match=r"forward takes x, meta\. Say how .*call=lambda m, x: m\(x, meta=\.\.\.\)"):
        ts.saliency(ts.Network(Two(), size=(5, 7)), IMAGES)
    with pytest.raises(NetworkError, match=r"call=lambda m, x: m\(pixel_values=x\)"):
        ts.saliency(ts.Network(Keyword(), size=(5, 7)), IMAGES)


@pytest.mark.parametrize(
    ("module", "call"),
    [(Two, lambda m, x: m(x, torch.zeros(5))), (Keyword, lambda m, x: m(pixel_values=x))],
)
def test_how_a_module_is_called_can_be_stated(module, call):
    network = ts.Network(module(), size=(5, 7), call=call)
    torch.testing.assert_close(ts.saliency(network, IMAGES, 1).values, ts.saliency(plain(), IMAGES, 1).values)
    assert "body.3" in network.layers


def test_an_error_in_the_users_code_names_its_line():
    class Broken(Two):
        def forward(self, x):
            return self.body(x)["scores"]

    with pytest.raises(NetworkError, match=r"test_outputs\.py: return self\.body\(x\)\[\"scores\"\]"):
        ts.saliency(ts.Network(Broken(), size=(5, 7)), IMAGES)


def test_what_is_not_known_of_a_network_is_refused_with_what_is_near():
    with pytest.raises(NetworkError, match=r"has no argument 'resise'\. Nearest: resize"):
        ts.Network(nn.Flatten(), resise=40)
