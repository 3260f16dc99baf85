"""A method is its file, its line in the catalogue, its page and its row in the contract; the rest is automatic."""

import json
import shutil
from pathlib import Path

import pytest

import triscope
from tests import processes
from triscope import catalog

ROOT = Path(__file__).parents[1]
SOURCE = Path(triscope.__file__).parent

FILE = '''
"""How bright each pixel is, times a weight."""

from typing import Annotated

from triscope.methods import ImagesArg, NetworkArg, Range, method
from triscope.results import Picture


@method("view")
def brightness(network: NetworkArg, images: ImagesArg, *, weight: Annotated[float, Range(0, 2)] = 1.0) -> Picture:
    """How bright each pixel is.

    Values (B, C, H, W) in [0, 1].

    weight    what each pixel is multiplied by
    """
    return Picture((images.images * weight).clamp(0, 1))
'''
LINE = '    Entry("brightness", "triscope.where.brightness", "view", "how bright each pixel is"),\n'
PAGE = "# Brightness\n\n## Options\n\n<!-- options: brightness -->\n<!-- end -->\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the source, the scripts and the docs with one method more."""
    place = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
    (place / "benchmarks/quality").mkdir(parents=True)
    for name in ("scripts", "docs", "pyproject.toml", "benchmarks/quality/judgement.json"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    shutil.copytree(SOURCE, place / "src/triscope", ignore=ignored)
    (place / "src/triscope/where/brightness.py").write_text(FILE)
    (place / "docs/methods/brightness.md").write_text(PAGE)
    listed = place / "src/triscope/catalog.py"
    text = listed.read_text("utf-8")
    listed.write_text(text.replace("METHODS = (\n", f"METHODS = (\n{LINE}", 1), "utf-8")
    return place


@pytest.fixture
def run(house, monkeypatch):
    """What a program says that finds the copy, not the source."""
    monkeypatch.chdir(house)

    def run(program, *words):
        code, out, err = processes.ran(program, *words, paths=[house / "src", house / "scripts"])
        assert code == 0, err
        return out

    return run


def test_a_new_method_has_its_command_its_help_and_its_place_in_the_overview(run):
    assert "how bright each pixel is" in run(processes.TRISCOPE, "--help")
    text = run(processes.TRISCOPE, "brightness", "--help")
    assert "IMAGE..." in text
    assert "--weight" in text
    assert "what each pixel is multiplied by" in text
    assert "--fit" in text


def test_a_new_method_is_public_and_in_the_table(run):
    program = (
        "import json, triscope as ts; from triscope.verbs import METHODS;"
        "print(json.dumps([ts.brightness is METHODS['brightness'], METHODS['brightness'].schema()]))"
    )
    public, schema = json.loads(run(program))
    assert public
    assert [one["name"] for one in schema["inputs"]] == ["network", "images"]
    assert [one["name"] for one in schema["options"]] == ["weight", "fit"]
    assert schema["options"][0]["range"] == [0, 2]


def test_the_documentation_and_the_types_follow(house, run):
    run("import runpy; runpy.run_path('scripts/derived.py', run_name='__main__')")
    assert "| `weight` | a number; **1.0** |" in (house / "docs/methods/brightness.md").read_text("utf-8")
    assert "[brightness](brightness.md)" in (house / "docs/methods/index.md").read_text("utf-8")
    assert "| `brightness` |" in (house / "docs/reference/index.md").read_text("utf-8")
    assert "brightness: _Brightness" in (house / "src/triscope/__init__.pyi").read_text("utf-8")


def test_the_catalogue_names_what_is_there():
    """Every module and name exists, and every command stands once."""
    for name, module in catalog.homes().items():
        path = SOURCE.parent / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name
    commands = [entry.command for entry in (*catalog.METHODS, *catalog.TOOLS)]
    assert len(commands) == len(set(commands))
    assert {entry.question for entry in (*catalog.METHODS, *catalog.TOOLS)} <= catalog.QUESTIONS.keys()


@pytest.mark.parametrize(("old", "new"), catalog.RENAMED.items())
def test_a_name_of_an_earlier_version_works_and_says_what_it_is_called_now(old, new):
    with pytest.warns(DeprecationWarning, match=f"triscope.{new}"):
        assert getattr(triscope, old) is getattr(triscope, new)


OBJECTIVE = '''
"""How much the channels of a layer differ in strength."""

from dataclasses import dataclass

from triscope.objectives.base import Need, Objective


@dataclass(frozen=True, repr=False)
class Spread(Objective):
    """The variance of a layer's channels: (B,)."""

    layer: str

    @property
    def needs(self):
        """The layer's mean."""
        return frozenset({Need(self.layer, "mean")})

    def __call__(self, activations):
        """The variance over the channels: (B,)."""
        return activations[Need(self.layer, "mean")].var(1)

    def bind(self, network):
        """Itself, its layer known to exist."""
        network.layer(self.layer)
        return self
'''
OPTIMISER = '''

class Sign(FirstOrder):
    """Steps of one size, whatever the slope."""

    def _start(self, numbers: Tensor) -> dict[str, Tensor]:
        return {}

    def _step(self, gradient: Tensor, rate: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return rate * gradient.sign(), {}
'''
LEAST = '        if column.pool == "least":\n            return flat.float().amin(2)\n'
CATALOG, REFERENCE = "catalog.py", "../../docs/reference/index.md"
OPTIMISERS, NAMED = "what/optimisation/optimisers.py", "what/optimisation/named.py"
SCHEMA, DECODING = "which/database/schema.py", "which/indexing/decoding.py"
#: What is written before which text of which file, beside an objective's own file. Nothing else is touched.
ADDED = {
    "objective": [
        (CATALOG, '    "triscope.objectives.statistics"', '    "triscope.objectives.spread": ("Spread",),\n'),
        (REFERENCE, "| `Logit`", "| `Spread` | how much channels differ |\n"),
    ],
    "optimiser": [
        (OPTIMISERS, "\n\nclass Momentum", OPTIMISER),
        (NAMED, "Adam, Momentum, Optimiser\n", "Sign, "),
        (NAMED, '"momentum"]', '"sign", '),
        (NAMED, '    "adam": Named', '    "sign": NamedOptimiser(Sign, 0.05),\n'),
    ],
    "column": [
        (SCHEMA, '"pixels"]', '"least", '),
        (SCHEMA, '"mean", "max", "place"\n', '"least", '),
        (SCHEMA, '            "none": "",\n', '            "least": ", minimum",\n'),
        (DECODING, '        if column.pool == "mean":', LEAST),
    ],
}
FILES = {"objective": 3, "optimiser": 2, "column": 2}
PROGRAMS = {
    "objective": """
net = tiny_network()
heat = ts.saliency(net, torch.rand(1, 3, 32, 32), ts.Spread("2"))
again = ts.ascend(net, ts.Spread("2") - ts.Channel("2", 1), steps=3, size=32)
print(repr(heat.objective), bool(heat.values.any()), again.values.shape[0])
""",
    "optimiser": """
net = tiny_network()
steps = [step.score for step in ts.ascend.steps(net, "2:1", steps=12, size=32, optimiser="sign", regulariser="fourier")]
turned = ts.invert(net, torch.rand(1, 3, 32, 32), "2", steps=3, optimiser="sign")
(option,) = [one for one in ts.ascend.schema()["options"] if one["name"] == "optimiser"]
print(steps[-1] > steps[0], turned.recipe.options["optimiser"], "sign" in option["choices"])
""",
    "column": """
from triscope.which.indexing.decoding import Embedder
net = tiny_network()
for number in range(2):
    paint(Path(f"photos/{number}.png"), number)
store = ts.Store.build(net, "photos", "store", layers=["2"])
(column,) = [one for one in store.columns if one.pool == "least"]
(mean,) = [one for one in store.columns if one.pool == "mean"]
values = store.vectors(column, [0, 1])
print(tuple(values.shape), bool((values <= store.vectors(mean, [0, 1])).all()), len(ts.Store.open("store")))
""",
}
SAID = {
    "objective": "Spread('2') True 1",
    "optimiser": "True sign True",
    "column": "(2, 6) True 2",
}


@pytest.mark.parametrize("what", ADDED)
def test_what_else_may_be_added_takes_as_few_files(house, run, monkeypatch, what):
    """An objective is its file, its line in the catalogue and its row in the reference; an optimiser its class and its
    lines in a table; a column of a store its lines in the schema and how it is computed.
    """
    source = house / "src/triscope"
    touched = {(source / name).resolve(): (source / name).read_text("utf-8") for name, *_ in ADDED[what]}
    own = [source / "objectives/spread.py"] if what == "objective" else []
    assert len(touched) + len(own) == FILES[what]
    for file in own:
        file.write_text(OBJECTIVE)
    try:
        for name, place, more in ADDED[what]:
            text = (source / name).read_text("utf-8")
            assert text.count(place) == 1, (name, place)
            (source / name).write_text(text.replace(place, more + place), "utf-8")
        start = f"import sys; sys.path.append({str(ROOT)!r})\nfrom pathlib import Path\nimport torch, triscope as ts\n"
        assert (
            run(f"{start}from tests.which.conftest import paint, tiny_network\n{PROGRAMS[what]}").strip() == SAID[what]
        )
    finally:
        for path, text in touched.items():
            path.write_text(text, "utf-8")
        for file in own:
            file.unlink()
