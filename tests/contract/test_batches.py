"""Batches are independent: `result[i]` equals the result for image i alone, field by field."""

import dataclasses
from collections.abc import Mapping

import pytest
import torch

import triscope as ts
from tests.contract.asking import BATCHED, PER_IMAGE, ask, fresh, pictures, tiny
from triscope.errors import OptionError
from triscope.objectives.base import Objective, terms_of
from triscope.objectives.distances import FeatureDistance, Targeted
from triscope.results import Grid, Note, Recipe, Result

FREE = {"dream": {"layer": None}}


def opened(value):
    """What a value is made of, as mappings, tuples and tensors."""
    if isinstance(value, Recipe):
        return value.to_json()
    if isinstance(value, Result):
        return {"type": type(value)} | {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, Objective):
        terms = terms_of(value)
        return repr(value), tuple(dict(term.targets) for _, term in terms if isinstance(term, Targeted))
    return value


def assert_same(one, other, place="result"):
    """The same type, and the same in every field, up to rounding."""
    one, other = opened(one), opened(other)
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert one.shape == other.shape, place
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=lambda text: f"{place}: {text}")
    elif isinstance(one, tuple | Mapping):
        pairs = one.items() if isinstance(one, Mapping) else enumerate(one)
        assert len(one) == len(other), place
        for key, value in pairs:
            assert_same(value, other[key], f"{place}.{key}")
    else:
        assert one == other, place


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", BATCHED)
def test_one_of_a_batch_is_the_same_as_asking_it_alone(name, count):
    network, images = tiny(name), pictures(count)
    together = ask(name, network, images)
    for index, image in enumerate(images):
        assert_same(together[index], ask(name, network, image[None]))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", PER_IMAGE)
def test_one_of_a_batch_was_asked_its_own_question(name, count):
    network, images = tiny(name), pictures(count, size=(16, 16))
    target = network.look(pictures(count, size=(16, 16), seed=8), ["3"])
    classes = [1, 3, 0][:count]
    questions = [
        lambda some: ts.Logit([classes[index] for index in some]) - 0.5 * ts.Channel("3", 1),
        lambda some: -FeatureDistance({ts.Need("3"): target[ts.Need("3")][some]}),
    ]
    for question in questions:
        together = ask(name, network, images, objective=question(range(count)), **FREE.get(name, {}))
        for index, image in enumerate(images):
            alone = ask(name, network, image[None], objective=question([index]), **FREE.get(name, {}))
            assert_same(together[index], alone[0])


@pytest.mark.parametrize("count", [2, 3])
def test_pictures_that_are_asked_for_by_class_are_each_their_own(count):
    network = tiny()
    together = ts.ascend(network, ts.Logit(range(count)), steps=3, size=16)
    for index in range(count):
        assert_same(together[index], ts.ascend(network, index, steps=3, size=16))


@pytest.mark.parametrize("count", [2, 3])
def test_a_field_is_not_taken_apart_for_being_as_long_as_the_batch(count):
    layers = ("0", "3", "output")[:count]
    found = ts.invert(tiny(), pictures(count), ",".join(layers), steps=2)
    assert [one.layers for one in found] == [layers] * count
    assert [one.errors.shape for one in found] == [(1, count)] * count


def test_one_of_every_stage_is_that_stage():
    network, image = tiny(), pictures(1)
    row = ts.invert(network, image, every_stage=True, steps=2)
    assert len(row) > 1
    for index, stage in enumerate(row.stages):
        alone, one = ts.invert(network, image, stage, steps=2), row[index]
        assert (one.layers, one.stages) == ((stage,), (stage,))
        for name in ("values", "scores", "errors", "notes"):
            assert_same(getattr(one, name), getattr(alone, name), name)


def test_a_note_goes_to_the_pictures_that_it_is_about():
    network, images = tiny(), pictures(3)
    answers = network.look(images, ["output"])["output"]
    wanted = int(answers.mean(dim=0).argmax())
    leads = answers[:, wanted] - answers.index_fill(1, torch.tensor([wanted]), -torch.inf).amax(1)
    first, second = leads.sort(descending=True).values[:2].tolist()
    options = {"steps": 1, "rate": 0.0, "margin": (first + second) / 2}  # nothing is changed, and one of them leads
    missed = [index for index, lead in enumerate(leads.tolist()) if lead < options["margin"]]
    fooled = ts.fool(network, images, wanted, **options)
    (note,) = fooled.notes
    assert isinstance(note, Note)
    assert note.startswith(f"Images {missed[0]}, {missed[1]}: Not fooled")
    for index in range(3):
        assert fooled[index].notes == ts.fool(network, images[index : index + 1], wanted, **options).notes
        assert bool(fooled[index].notes) == (index in missed)


def test_one_of_a_grid_is_one_map_with_its_own_name():
    maps = ts.activations(tiny(), pictures(1), "3")
    one = maps[4]
    assert one.titles == ("3:4",)
    assert torch.equal(one.values[0], maps.values[4])
    assert torch.equal(one.draw(), maps.pictures[4])


def test_what_is_drawn_as_one_picture_is_not_taken_apart():
    vector = ts.activations(tiny(), pictures(1), "8")
    several = ts.filters([tiny(), fresh()])
    for grid in (vector, several):
        assert isinstance(grid, Grid)
        with pytest.raises(OptionError, match="none of them can be taken out"):
            grid[0]
