"""The contract of methods that use a store."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests.contract.test_process import watched
from tests.which.conftest import paint, tiny_network
from triscope.network import Network
from triscope.verbs import METHODS
from triscope.which.store import Store

ASKED = {
    "changes": {},
    "confusion": {},
    "duplicates": {},
    "neighbors": {"query": 2, "layer": "7"},
    "patches": {"objective": "3:2"},
    "pca": {"size": 128},
    "selection": {"rows": [0, 2, 3]},
    "top": {"objective": "7:5"},
    "tsne": {"steps": 25, "size": 128},
}
MAPS = ("pca", "tsne")
TABLES = ("changes", "confusion")
WRONG = {"duplicates": {"least": 0.2}} | {name: {"size": 3} for name in MAPS}
MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.fixture
def folder(tmp_path):
    for number in range(6):
        paint(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


def build(network, folder):
    return Store.build(network, folder, layers=["3", "7", "output"], precision="float32")


def ask(name, store, **given):
    if name == "changes":
        given["other"] = store
    return METHODS[name](store, **(ASKED[name] | given))


def test_every_method_of_which_is_here():
    assert {name for name, method in METHODS.items() if method.question == "which"} == ASKED.keys()


@pytest.mark.parametrize("name", MAPS)
def test_a_map_gives_what_it_says(name, folder):
    store = build(tiny_network(), folder)
    found = ask(name, store)
    assert isinstance(found, METHODS[name].returns)
    assert found.values.shape == (6, 2)
    assert len(found.names) == len(found.rows) == 6
    assert found.png() == ask(name, store).png()
    assert found.recipe.method == name
    assert found.recipe.options["store"] == "photos/.triscope"
    assert ts.Recipe.from_json(found.recipe.to_json()).to_json() == found.recipe.to_json()


@pytest.mark.parametrize("name", sorted(ASKED.keys() - {*MAPS, *TABLES, "selection"}))
def test_gives_what_it_says(name, folder):
    store = build(tiny_network(), folder)
    if name == "duplicates":
        for number in range(2):  # there are none among six images of noise
            paint(folder / f"copy{number}.png", number)
        store = build(tiny_network(), folder)
    few = {"least": 0.999} if name == "duplicates" else {"k": 4}
    found = ask(name, store, **few)
    assert isinstance(found, METHODS[name].returns)
    assert len(found) == len(found.rows) == len(found.names) == len(found.pictures) == 4
    assert found.values.isfinite().all()
    assert found.png() == ask(name, store, **few).png()
    recipe = found.recipe
    assert recipe.method == name
    assert recipe.networks[0].weights() == store.network.sha256
    assert recipe.options["store"] == "photos/.triscope"
    assert ts.Recipe.from_json(recipe.to_json()).to_json() == recipe.to_json()


@pytest.mark.parametrize("name", sorted(ASKED.keys() - {*MAPS, *TABLES, "selection"}))
def test_one_of_a_gallery_is_one_picture_and_all_that_is_said_of_it(name, folder):
    for number in range(2):
        paint(folder / f"copy{number}.png", number)
    few = {"least": 0.999} if name == "duplicates" else {"k": 3}  # as many as a query has colours
    found = ask(name, build(tiny_network(), folder), **few)
    for index, (entry, one) in enumerate(zip(found.entries(), found, strict=True)):
        assert one.entries() == [entry | {"rank": 1}]
        assert torch.equal(one.values, found.values[index : index + 1])
        assert [torch.equal(*pair) for pair in zip(one.pictures, [found.pictures[index]], strict=True)] == [True]
        assert (one.score, repr(one.objective), one.recipe.to_json()) == (
            found.score,
            repr(found.objective),
            found.recipe.to_json(),
        )
        if found.query is not None:
            assert torch.equal(one.query, found.query)


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_no_batch(name, folder):
    with pytest.raises(ts.TriscopeError, match="A map is one image"):
        ask(name, build(tiny_network(), folder))[0]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_gives_what_it_says_and_is_no_batch(name, folder):
    store = build(tiny_network(), folder)
    found = ask(name, store)
    assert isinstance(found, METHODS[name].returns)
    assert found.values.shape == (len(found.labels), len(found.answers))
    assert found.values.sum() == (6 if name == "confusion" else 0)
    assert found.png() == ask(name, store).png()
    assert [note.weights() for note in found.recipe.networks] == [store.network.sha256] * (1 + (name == "changes"))
    assert ts.Recipe.from_json(found.recipe.to_json()).to_json() == found.recipe.to_json()
    with pytest.raises(ts.TriscopeError, match="A table of counts is one result"):
        found[0]


@pytest.mark.parametrize("name", ASKED)
def test_the_network_is_as_before(name, folder, monkeypatch):
    network = tiny_network()
    module = network.module.train()
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    layout = [parameter.stride() for parameter in module.parameters()]
    state = torch.random.get_rng_state()
    with watched(monkeypatch) as called:
        ask(name, build(network, folder))
    assert called == []
    assert module.training
    assert all(parameter.requires_grad and (parameter.grad == 1).all() for parameter in module.parameters())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert [parameter.stride() for parameter in module.parameters()] == layout
    assert not any(part._forward_hooks for part in module.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("mode", MODES)
def test_the_callers_modes_do_not_matter(mode, folder, tmp_path):
    plain = build(tiny_network(), folder)
    with MODES[mode]():
        moded = Store.build(
            tiny_network(), folder, tmp_path / "moded", layers=["3", "7", "output"], precision="float32"
        )
        for name in ASKED:
            torch.testing.assert_close(ask(name, moded).values.clone(), ask(name, plain).values)


@pytest.mark.parametrize("name", sorted(ASKED.keys() - set(TABLES)))
def test_options_out_of_their_range_are_refused(name, folder):
    store = build(tiny_network(), folder)
    with pytest.raises(ts.TriscopeError, match="must be in the range"):
        ask(name, store, **WRONG.get(name, {"k": 0}))


def test_grey_networks_have_stores_too(folder):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    store = Store.build(Network(module, mean=(0.5,), std=(0.25,), size=(24, 32), name="grey"), folder, layers=["1"])
    found = ts.patches(store, "1:2", k=3)
    assert [picture.shape[0] for picture in found.pictures] == [3] * 3
    assert ts.neighbors(store, folder / "4.png", "input").rows[0] == 4


def test_a_module_in_half_precision_is_indexed(folder):
    network = tiny_network()
    network.module.bfloat16()
    assert len(build(network, folder)) == 6


def test_bfloat16_is_close_to_float32(folder, tmp_path):
    single = build(tiny_network(), folder)
    half = Store.build(tiny_network(), folder, tmp_path / "half", layers=["3", "7"], precision="bfloat16")
    column = single.find("7")
    cosines = torch.nn.functional.cosine_similarity(half.vectors(column, range(6)), single.vectors(column, range(6)))
    assert cosines.min() > 0.995
