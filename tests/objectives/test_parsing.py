"""Units as text and back, and `repr`, which is the constructor."""

import pytest
import torch

import triscope as ts
from triscope.errors import ObjectiveError
from triscope.objectives.parsing import question

UNITS = {
    "281": ts.Logit(281),
    "tabby": ts.Logit("tabby"),
    "tiger cat": ts.Logit("tiger cat"),
    "prob:tabby": ts.Logit("tabby", form="probability"),
    "prob:281": ts.Logit(281, "probability"),
    "logprob:tiger cat": ts.Logit("tiger cat", "log-probability"),
    "281|285": ts.Logit([281, 285]),
    "tabby|285|goose": ts.Logit(["tabby", 285, "goose"]),
    "prob:281|tabby": ts.Logit([281, "tabby"], "probability"),
    "features.10:42": ts.Channel("features.10", 42),
    "max:features.10:42": ts.Channel("features.10", 42, "max"),
    "features.10:42@3,5": ts.Neuron("features.10", 42, 3, 5),
    "relu~2:0@0,0": ts.Neuron("relu~2", 0, 0, 0),
    "layer4.1.conv2:511": ts.Channel("layer4.1.conv2", 511),
    "a-b_c:7": ts.Channel("a-b_c", 7),
}


@pytest.mark.parametrize("text", UNITS)
def test_text_and_back(text):
    unit = UNITS[text]
    assert ts.unit(text) == unit
    assert str(unit) == text
    assert ts.unit(f"  {text} ") == unit
    assert type(ts.unit(text)) is type(unit)


NAMES = {name: getattr(ts, name) for name in ("Logit", "Channel", "Neuron", "Energy", "TopClass")}
A, B = ts.Logit(1), ts.Channel("x", 2)
OBJECTIVES = [
    *UNITS.values(),
    ts.TopClass(),
    ts.Energy("features.10"),
    A + B,
    A - B,
    -A,
    -A + B,
    2 * A - 0.5 * B,
    -3.25 * A + 1e-7 * B,
    A / 3 - B / 7,
    0.123456789012345 * A - 1e20 * B,
    (A - B) - (B - A) * 2,
    ts.TopClass() - 0.1 * ts.Energy("input"),
    10 * ts.Logit(["a", 3], form="probability"),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_repr_is_the_constructor(objective):
    assert eval(repr(objective), NAMES) == objective


def test_a_tensor_is_shown_by_its_shape():
    assert repr(ts.Direction("a.b", torch.zeros(64))) == "Direction('a.b', <(64,) tensor>)"


def test_arithmetic_reads_as_it_was_written():
    assert repr(A - 0.5 * B + 2 * A) == "Logit(1) - 0.5 * Channel('x', 2) + 2 * Logit(1)"
    assert str(-A) == "-Logit(1)"
    assert repr(ts.Logit("tabby", "probability")) == "Logit('tabby', form='probability')"
    assert repr(ts.Channel("x", 2)) == "Channel('x', 2)"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "|",
        "281|",
        "|tabby",
        "prob:",
        "logprob: ",
        "features.10:",
        "features.10:x",
        "features.10:-1",
        ":3",
        "features.10:42@",
        "features.10:42@3",
        "features.10:42@3,",
        "features.10:42@3,5,7",
        "features.10:42@-1,5",
        "features.10:42@3.5,1",
        "max:features.10",
        "max:tabby",
        "min:features.10:42",
        "a:b:3",
        "features.10@3,5",
    ],
)
def test_bad_text_is_refused_with_the_grammar(text):
    with pytest.raises(
        ObjectiveError, match=r"A unit is a class \(281, tabby, prob:tabby\), a channel \(LAYER:CHANNEL\)"
    ):
        ts.unit(text)


def test_the_maximum_of_one_position_is_refused():
    with pytest.raises(ObjectiveError, match="a neuron is one position, there is no maximum to take"):
        ts.unit("max:features.10:42@3,5")


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (None, ts.TopClass()),
        (281, ts.Logit(281)),
        ("281", ts.Logit(281)),
        ("features.10:42", ts.Channel("features.10", 42)),
        (ts.Energy("a"), ts.Energy("a")),
        ([1, 2], ts.Logit([1, 2])),
        (torch.tensor([1, 2]), ts.Logit([1, 2])),
    ],
)
def test_what_may_be_given_for_a_question(given, asked):
    assert question(given) == asked


def test_what_is_asked_of_one_image():
    each = ts.Logit([3, "tabby"], form="probability")
    assert each.of(0) == ts.Logit(3, form="probability")
    assert each.of(1) == ts.Logit("tabby", form="probability")
    assert (each - 0.5 * B).of(1) == each.of(1) - 0.5 * B
    assert A.of(5) == A
    assert B.of(5) is B
