"""Units as text and back, and `repr`, which is the constructor."""

from random import Random
from types import SimpleNamespace

import pytest
import torch

import triscope as ts
from triscope.errors import LayerNotFound, ObjectiveError
from triscope.objectives.base import terms_of
from triscope.objectives.parsing import as_objective, resolve

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
    "black-footed ferret": ts.Logit("black-footed ferret"),
    "prob:3-D glasses": ts.Logit("3-D glasses", "probability"),
    '"rock - paper"': ts.Logit("rock - paper"),
    '"-5 degrees"': ts.Logit("-5 degrees"),
    '"2*4 lumber"': ts.Logit("2*4 lumber"),
    '"C:D|E@1,2"|plain': ts.Logit(["C:D|E@1,2", "plain"]),
    'prob:"6"" nail"': ts.Logit('6" nail', "probability"),
    '"a:b + c":3@1,2': ts.Neuron("a:b + c", 3, 1, 2),
    'max:"max:x":3': ts.Channel("max:x", 3, "max"),
}
SUMS = {
    "tabby - tiger cat": ts.Logit("tabby") - ts.Logit("tiger cat"),
    "281 - 285": ts.Logit(281) - ts.Logit(285),
    "0.5*tabby + features.10:42": 0.5 * ts.Logit("tabby") + ts.Channel("features.10", 42),
    "-tabby": -ts.Logit("tabby"),
    "2*281": 2 * ts.Logit(281),
    "-max:features.4:3 + 1e-07*prob:tabby - layer-1.conv:3@4,5": (
        -ts.Channel("features.4", 3, "max")
        + 1e-7 * ts.Logit("tabby", "probability")
        - ts.Neuron("layer-1.conv", 3, 4, 5)
    ),
    '"rock - paper" - black-footed ferret': ts.Logit("rock - paper") - ts.Logit("black-footed ferret"),
    "281|285 - 0.1*7": ts.Logit([281, 285]) - 0.1 * ts.Logit(7),
}


@pytest.mark.parametrize("text", SUMS)
def test_sums_as_text_and_back(text):
    assert ts.unit(text) == SUMS[text]
    assert str(SUMS[text]) == text
    assert ts.unit(f" {text}  ") == SUMS[text]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("features.10:42-features.10:43", "features.10:42 - features.10:43"),
        ("features.10:42@3,5+tabby", "features.10:42@3,5 + tabby"),
        ("max:a-b:3-max:a-b:4 - c-d", "max:a-b:3 - max:a-b:4 - c-d"),
        ("0.5 * tabby  -  2 * 281", "0.5*tabby - 2*281"),
        (".5*281 + 2.*285", "0.5*281 + 2*285"),
        ("- tabby + goose", "-tabby + goose"),
        ("tabby - -goose", "tabby + goose"),
        ("+tabby", "tabby"),
        ("1*tabby", "tabby"),
    ],
)
def test_other_spellings_of_sums(text, meant):
    assert ts.unit(text) == ts.unit(meant)
    assert str(ts.unit(text)) == meant


def test_any_sum_of_units_of_any_names_comes_back():
    """Names made of what the grammar is made of."""
    random = Random(0)
    letters = ["a", "B", "7", " ", "-", "+", "*", ":", "|", "@", ",", '"', ".", "1e3", "prob", "max", " - ", "ü"]

    def name():
        return "".join(random.choices(letters, k=random.randint(1, 6))) + random.choice(["", "x"])

    def one():
        match random.randrange(4):
            case 0:
                return ts.Logit(random.choice([name(), 281, [name(), 3]]), random.choice(["logit", "probability"]))
            case 1:
                return ts.Channel(name(), random.randrange(99), random.choice(["mean", "max"]))
            case 2:
                return ts.Neuron(name(), random.randrange(99), 3, random.randrange(9))
        return ts.Logit(random.randrange(1000))

    def digits(objective):  # "281" as a name is the class of that number, and is written so
        return any(
            part.isdecimal() for _, term in terms_of(objective) if isinstance(term, ts.Logit)
            for part in (term.classes if isinstance(term.classes, tuple) else (term.classes,)) if isinstance(part, str)
        )  # fmt: skip

    count = 0
    while count < 3000:
        whole = one()
        for _ in range(random.randrange(4)):
            whole = whole + random.choice([1.0, -1.0, 0.5, -2.0, 1e-7, 3.25, 1 / 3]) * one()
        if not digits(whole):
            assert ts.unit(str(whole)) == whole, str(whole)
            count += 1


class Named:
    """As much of a network as names need: classes, and layers of ten channels."""

    name, task = "named", "classes"

    def __init__(self, *classes, layers=()):
        self.classes, self.layers = classes, layers

    def count_classes(self):
        return len(self.classes)

    require_classifier = count_classes

    def layer(self, name):
        if name not in self.layers:
            raise LayerNotFound(f"no layer {name!r}")
        return SimpleNamespace(channels=10)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("cat-dog", "0 - 1"),
        ("black-footed ferret", "2"),
        ("black-footed ferret-cat", "2 - 0"),
        ("cat-black-footed ferret+dog", "0 - 2 + 1"),
        ("0.5*cat+dog", "0.5*0 + 1"),
        ("0-1", "0 - 1"),
        ("cat-conv-1:3", "0 - conv-1:3"),
        ("prob:cat-prob:dog", "prob:0 - prob:1"),
        ("conv-1:3-conv-1:4", "conv-1:3 - conv-1:4"),
        ("max:conv-1:3@x-y", None),
        ("cat-horse", None),
        ("cat - horse-dog", None),
        ("-cat-dog", "-0 - 1"),
    ],
)
def test_a_network_says_which_signs_belong_to_names(text, meant):
    network = Named("cat", "dog", "black-footed ferret", "x-y", layers=("conv-1",))
    if meant is None:
        with pytest.raises(ObjectiveError):
            resolve(text, network)
    else:
        assert str(resolve(text, network)) == meant


def test_a_class_of_that_name_comes_first_and_two_readings_are_refused():
    assert str(resolve("cat-dog", Named("cat", "dog", "cat-dog"))) == "2"
    with pytest.raises(ObjectiveError, match="can be read as a - b-c or as a-b - c; put spaces around the signs"):
        resolve("a-b-c", Named("a", "b-c", "a-b", "c"))


def test_what_is_asked_without_spaces_answers_as_in_python():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
    network = ts.Network(module, size=8, classes=["a-b", "c", "d"])
    image = torch.rand(1, 3, 8, 8)
    for text, objective in {
        "a-b-c": ts.Logit("a-b") - ts.Logit("c"),
        "0.5*c+d": 0.5 * ts.Logit("c") + ts.Logit("d"),
        "c - 1:3": ts.Logit("c") - ts.Channel("1", 3),
    }.items():
        asked, meant = ts.saliency(network, image, text), ts.saliency(network, image, objective)
        assert torch.equal(asked.values, meant.values)
        assert ts.unit(asked.recipe.objective) == ts.unit(str(meant.objective))


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
    assert repr(-A) == "-Logit(1)"
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
    with pytest.raises(ObjectiveError, match="a maximum is taken over a whole channel"):
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
    assert as_objective(given) == asked


def test_what_is_asked_of_one_image():
    each = ts.Logit([3, "tabby"], form="probability")
    assert each.of(0) == ts.Logit(3, form="probability")
    assert each.of(1) == ts.Logit("tabby", form="probability")
    assert (each - 0.5 * B).of(1) == each.of(1) - 0.5 * B
    assert A.of(5) == A
    assert B.of(5) is B
