"""Write src/triscope/__init__.pyi: the types of the public face, from the catalogue and the methods' signatures.

What a caller may give is wider than what a method's function works with: a path for a picture, a name for a class. So
the stub is written from the declarations of inputs and options, and a test holds it to them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from triscope import catalog
from triscope.methods import METHODS, Method, Option
from triscope.methods.inputs import Declared
from triscope.verbs import METHODS as ALL

FILE = Path(__file__).parents[1] / "src/triscope/__init__.pyi"
HEAD = '''\
"""The public face of triscope, for type checkers. Written by `make stub`; do not edit."""

from collections.abc import Iterator, Sequence
from typing import Literal

from triscope._version import __version__ as __version__
'''
WORDS = {
    "Fit": "triscope.network",
    "Images": "triscope.network",
    "Method": "triscope.methods",
    "Query": "triscope.which.search.neighbors",
    "Question": "triscope.objectives.parsing",
}


def stub() -> str:
    """The text of the file."""
    text = HEAD
    text += "".join(f"from {module} import {word} as _{word}\n" for word, module in WORDS.items())
    for name, module in catalog.homes().items():
        if name not in METHODS:
            text += f"from {module} import {name} as {name}\n"
    returned = {method.returns for method in ALL.values()}
    public = {name for names in catalog.NAMES.values() for name in names}
    for kind in sorted(returned, key=lambda one: one.__name__):
        if kind.__name__ not in public:
            text += f"from {kind.__module__} import {kind.__name__} as _{kind.__name__}\n"
    for method in ALL.values():
        text += "\n" + "\n".join(_method(method, public)) + "\n"
    return _formatted(text)


def _method(method: Method, public: set[str]) -> Iterator[str]:
    kind = method.returns.__name__
    kind = kind if kind in public else f"_{kind}"
    name = f"_{method.name.title().replace('_', '')}"
    parameters = ", ".join(["self", *_parameters(method)])
    yield f"class {name}(_Method[{kind}]):"
    yield f"    def __call__({parameters}) -> {kind}: ..."
    yield f"    def steps({parameters}) -> Iterator[Step[{kind}]]: ..."
    yield f"{method.name}: {name}"


def _parameters(method: Method) -> Iterator[str]:
    options = {option.name: option for option in method.options}
    keywords = False
    for name, parameter in method.signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            yield "*"
        default = "" if parameter.default is parameter.empty else " = ..."
        if name in method.inputs:
            kind = _accepted(method.inputs[name])
        elif name in method.groups:
            kind = method.groups[name][0].__name__ + (f" | {_literal(options[name])}" if name in options else "")
        else:
            kind = _option(options[name])
        yield f"{name}: {kind}{default}"


def _accepted(declared: Declared) -> str:
    kind = declared.input.accepts
    kind = f"_{kind}" if kind in WORDS else kind
    if declared.input.many and declared.input.kind in ("network", "layer"):
        kind = f"{kind} | Sequence[{kind}]"
    return kind if declared.required else f"{kind} | None"


def _option(option: Option) -> str:
    kind = _literal(option) if option.choices else option.type.__name__
    if option.name == "fit":
        kind = "_Fit"
    if option.bytes:
        kind = f"{kind} | str"
    if option.many:
        kind = f"Sequence[{kind}] | str"
    return f"{kind} | None" if option.default is None else kind


def _literal(option: Option) -> str:
    return f"Literal[{', '.join(map(repr, option.choices))}]"


def _formatted(text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (["check", "--fix-only", "--quiet", "--select", "I"], ["format", "--quiet"]):
        command = [ruff, *arguments, "--stdin-filename", str(FILE), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


if __name__ == "__main__":
    FILE.write_text(stub(), "utf-8")
    print(FILE)
