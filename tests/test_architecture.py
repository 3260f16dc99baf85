"""Layers of the code: a module imports only from floors below its own, and importing triscope itself is cheap."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from scripts.derived import derived

import triscope

SOURCE = Path(triscope.__file__).parent
FLOORS = [
    {"_version", "catalog"},
    {"autograd", "errors", "pages", "render"},
    {"images"},
    {"results", "objectives"},
    {"network"},
    {"methods", "cluster"},
    {"where", "what", "which", "views"},
    {"metrics", "unit_folder"},
    {"verbs"},
    {"redoing", "reporting", "watching", "web"},
    {"cli"},
    {"__main__", "__init__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(SOURCE.rglob("*.py"))


@cache
def tree_of(file: Path) -> ast.Module:
    """What a file says, parsed."""
    return ast.parse(file.read_text("utf-8"))


def package_of(file: Path) -> str:
    """The package that a file lies in, as `triscope.network`."""
    return ".".join(["triscope", *file.relative_to(SOURCE).parent.parts])


def room_of(file: Path) -> str:
    """The first name below the package: `network` for network/tap.py, `errors` for errors.py."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def run_time(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, less what stands under `if TYPE_CHECKING:`, which names types and is never run."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from run_time(child)


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every dotted name that a module imports, wherever the import stands; relative ones made absolute."""
    for node in run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def rooms_used(tree: ast.AST, package: str) -> set[str]:
    """The rooms that a module imports from; a public name taken from the package itself counts as `__init__`."""
    used = set()
    for name in imported(tree, package):
        if name.split(".")[0] == "triscope":
            room = [*name.split("."), "__init__"][1]
            used.add(room if room in FLOOR else "__init__")
    return used


def climbs(room: str, used: set[str]) -> set[str]:
    """The rooms among those used that do not lie below."""
    return {other for other in used if other != room and FLOOR[other] >= FLOOR[room]}


def test_every_room_has_a_floor():
    assert {room_of(file) for file in FILES} == FLOOR.keys()


def test_imports_only_point_down():
    found = {str(file): climbs(room_of(file), rooms_used(tree_of(file), package_of(file))) for file in FILES}
    assert {file: rooms for file, rooms in found.items() if rooms} == {}


@pytest.mark.parametrize(
    ("source", "package", "used"),
    [
        ("import torch", "triscope", set()),
        ("from triscope._version import __version__", "triscope", {"_version"}),
        ("from triscope import Network", "triscope", {"__init__"}),
        ("import triscope.network.tap", "triscope", {"network"}),
        ("from triscope import images", "triscope", {"images"}),
        ("from .tap import Tap", "triscope.network", {"network"}),
        ("from ..errors import NetworkError", "triscope.network", {"errors"}),
        ("from .. import results", "triscope.where", {"results"}),
        ("def later():\n    from triscope.cli import main", "triscope", {"cli"}),
        ("if TYPE_CHECKING:\n    from triscope.cli import main", "triscope", set()),
    ],
)
def test_imports_are_read_rightly(source, package, used):
    assert rooms_used(ast.parse(source), package) == used


@pytest.mark.parametrize(
    ("room", "other", "allowed"),
    [
        ("where", "network", True),
        ("where", "where", True),
        ("network", "where", False),
        ("where", "what", False),
        ("views", "which", False),
        ("results", "images", True),
        ("images", "results", False),
        ("results", "objectives", False),
        ("methods", "__init__", False),
    ],
)
def test_the_floors_are_those_of_the_design(room, other, allowed):
    assert (climbs(room, {other}) == set()) is allowed


def module_of(file: Path) -> str:
    """The dotted name of a file below the package, without the package's: `network.tap`, `network` for its face."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}
FACES = {module_of(file) for file in FILES if file.name == "__init__.py"}


@cache
def names_of(module: str) -> list[str]:
    """Every dotted name of this package that a module imports, without the package's own."""
    file = MODULES[module]
    names = imported(tree_of(file), package_of(file))
    return [name.removeprefix("triscope.") for name in names if name.startswith("triscope.")]


def home(name: str) -> str | None:
    """The module that a dotted name comes from, also where a room's face hands it on: network.Network is of
    network.network; None for what is in no module.
    """
    if name in MODULES:
        return name
    module, _, last = name.rpartition(".")
    if module in FACES and module:
        further = [one for one in names_of(module) if one.rpartition(".")[2] == last]
        return home(further[0]) if further else module
    return module if module and module in MODULES else None


@cache
def arrows() -> dict[str, set[str]]:
    """Which modules each module imports when it is loaded or run; the face of a room stands for nothing of its own."""
    found = {module: {home(name) for name in names_of(module)} - {module, None} for module in MODULES}
    return {module: {to for to in targets if to not in FACES} for module, targets in found.items()}


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """What can be reached from there by one arrow or more."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes that can be reached from each other."""
    reached = {node: reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in graph if other in reached[node] and node in reached[other]) for node in graph
    }
    return sorted(sorted(group) for group in groups if group)


def test_no_modules_import_each_other_in_a_circle():
    assert circles(arrows()) == []


@pytest.mark.parametrize("room", sorted(room for room in FACES if room and "." not in room))
def test_what_is_inside_a_room_imports_in_one_direction(room):
    """`which/search` may import `which/database`, and then nothing of `database` imports `search`."""
    inside: dict[str, set[str]] = {}
    for module, targets in arrows().items():
        if module.startswith(f"{room}."):
            part = module.split(".")[1]
            parts = {target.split(".")[1] for target in targets if target.startswith(f"{room}.")}
            inside.setdefault(part, set()).update(parts - {part})
    assert inside
    assert circles(inside) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"e", "f"}, "f": set()}) == [
        ["a", "b", "c"],
        ["e"],
    ]
    assert home("network.Network") == "network.network"
    assert home("network.tap") == "network.tap"
    assert home("torch.Tensor") is None
    assert "which.database.table" in arrows()["which.store"]


def test_importing_triscope_imports_nothing_heavy():
    program = "import sys, triscope; print(*sorted({'torch', 'numpy', 'PIL', 'click'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(SOURCE.parent)!r}]; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def public_names(file: Path) -> list[str]:
    """The names in a module's `__all__`, in order; none if it has no such list, or computes it."""
    for node in tree_of(file).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__":
            return [name.value for name in getattr(node.value, "elts", ()) if isinstance(name, ast.Constant)]
    return []


def test_public_names_are_sorted_and_stand_once():
    listed = {str(file): public_names(file) for file in FILES}
    assert any(listed.values())
    assert listed == {file: sorted(dict.fromkeys(names), key=str.casefold) for file, names in listed.items()}


def test_the_public_face_delivers_what_it_lists():
    assert [name for name in triscope.__all__ if not hasattr(triscope, name)] == []
    assert sorted(set(triscope.__all__), key=lambda name: (name.casefold(), name)) == triscope.__all__


def test_what_follows_from_the_declarations_of_methods_is_up_to_date():
    """`make derived` writes it anew."""
    old = [path.name for path, text in derived().items() if path.read_text("utf-8") != text]
    assert old == []


def test_no_public_name_is_hidden_by_a_room_of_that_name():
    """Importing triscope.x makes `triscope.x` that module, whatever else it was."""
    rooms = {room_of(file) for file in FILES}
    assert rooms & set(triscope.__all__) == set()


LONGEST_FILE = 350  # lines


def test_files_are_short_enough_to_be_read_at_once():
    lengths = {str(file): len(file.read_text("utf-8").splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > LONGEST_FILE} == {}


MOST_PARAMETERS = 10  # beside groups of options, which are one value for whoever passes them whole
MORE = {"judge": "five of its twelve say what is judged: images, or a collection with labels"}


def own_parameters(function: ast.FunctionDef) -> int:
    """How many parameters a function has, less itself and those that are a group of options."""
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    groups = [one for one in every if one.annotation is not None and "Group(" in ast.unparse(one.annotation)]
    return len([one for one in every if one.arg not in ("self", "cls")]) - len(groups)


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods of a module that others may call, by name; a class's own `__init__` among them."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and (one.name == "__init__" or not one.name.startswith("_")):
                    yield f"{node.name}.{one.name}", one


def test_no_signature_is_longer_than_a_person_can_hold():
    functions = [(str(file), *one) for file in FILES for one in public_functions(tree_of(file))]
    long = [(file, name) for file, name, function in functions if own_parameters(function) > MOST_PARAMETERS]
    assert [(file, name) for file, name in long if name not in MORE] == []


def test_parameters_are_counted_without_groups():
    source = "def f(self, a, /, b, *rest, c: Annotated[A, Group(B)] = 1, d: int = 2, **more): ..."
    (function,) = ast.parse(source).body
    assert own_parameters(function) == 3
