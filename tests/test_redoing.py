"""Images of earlier versions are made again as they were."""

import dataclasses

import pytest

import triscope as ts
from triscope.errors import RecipeError, TriscopeWarning
from triscope.redoing import redo

VIEWS_THEN = {"jitter": 0.055, "scale": 0.1, "rotate": 0.0}


def of_version_01(made, path, **options):
    """The image as 0.1 would have saved it: what was left out is None, and an option has its old name."""
    recipe = made.recipe
    options = {**recipe.options, **options}
    options["idle"] = options.pop("contribution_clip", None)
    dataclasses.replace(made, recipe=dataclasses.replace(recipe, options=options, version="0.1.0")).save(path)


@pytest.fixture(scope="module")
def pocket():
    return ts.load("pocket")


def test_an_ascent_of_the_first_version_has_the_views_of_its_time(pocket, tmp_path):
    then = ts.ascend(pocket, "features.4:7", size=32, steps=2, **VIEWS_THEN)
    of_version_01(then, tmp_path / "old.png", **dict.fromkeys(VIEWS_THEN))
    again = redo(tmp_path / "old.png")
    assert again.values.equal(then.values)
    assert not again.values.equal(ts.ascend(pocket, "features.4:7", size=32, steps=2).values)


def test_views_that_were_stated_stay_as_stated(pocket, tmp_path):
    then = ts.ascend(pocket, "features.4:7", size=32, steps=2, jitter=0.2, scale=0.1, rotate=0.0)
    of_version_01(then, tmp_path / "old.png", scale=None, rotate=None)
    assert redo(tmp_path / "old.png").values.equal(then.values)


def test_a_row_of_regularisers_of_the_first_version_says_what_differs(pocket, tmp_path):
    made = ts.regularisers(pocket, "features.4:7", size=32, steps=1)
    saved = dataclasses.replace(made, recipe=dataclasses.replace(made.recipe, version="0.1.0"))
    saved.save(tmp_path / "old.png")
    with pytest.warns(TriscopeWarning, match=r"old\.png was made by triscope 0\.1, whose regulariser 'natural'"):
        redo(tmp_path / "old.png")


def test_other_weights_of_pocket_are_refused_with_what_to_name(pocket, tmp_path):
    ts.ascend(pocket, "features.4:7", size=32, steps=1).save(tmp_path / "old.png")
    said = r"are not those that made this result\. A release .* other weights of pocket\. Name the file .* --weights"
    with pytest.raises(RecipeError, match=said):
        redo(tmp_path / "old.png", network=ts.load("pocket", weights="random"))
