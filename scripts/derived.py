"""Write what follows from the catalogue and from the declarations of methods; a test holds the files to them.

    src/triscope/__init__.pyi       the types of the public face
    docs                            tables of methods, of options and of judgements, between lines such as
                                    <!-- options: saliency -->  and  <!-- end -->

What a caller may give is wider than what a method's function works with: a path for an image, a name for a class. So
the types are written from the declarations of inputs and options.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from triscope import catalog
from triscope.methods import Method, Option
from triscope.methods.inputs import Declared
from triscope.verbs import METHODS as ALL

ROOT = Path(__file__).parents[1]
FILE = ROOT / "src/triscope/__init__.pyi"
JUDGED = ROOT / "benchmarks/quality/judgement.json"
PAGES = sorted(ROOT.glob("docs/**/*.md"))
_BLOCK = re.compile(r"<!-- (\w+): (\w+) -->\n.*?<!-- end -->\n", re.DOTALL)
HEAD = """\
# The public API of triscope, for type checkers. Written by `make derived`; do not edit.

from collections.abc import Iterator, Sequence
from typing import Literal

from triscope._version import __version__ as __version__
"""
WORDS = {
    "Fit": "triscope.network",
    "Images": "triscope.network",
    "Method": "triscope.methods",
    "Query": "triscope.which.search.neighbors",
    "ObjectiveLike": "triscope.objectives.parsing",
}


def stub() -> str:
    """The text of the file."""
    text = HEAD
    text += "".join(f"from {module} import {word} as _{word}\n" for word, module in WORDS.items())
    for name, module in catalog.homes().items():
        if name not in ALL:
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
            kind = method.groups[name][0].__name__ + (
                f" | {_literal(options[name].choices)}" if name in options else ""
            )
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
    kind = _literal(option.choices) if option.choices else option.type.__name__
    if option.words:
        kind = f"{kind} | {_literal(option.words)}"
    if option.name == "fit":
        kind = "_Fit"
    if option.bytes:
        kind = f"{kind} | str"
    if option.many:
        kind = f"Sequence[{kind}] | str"
    return f"{kind} | None" if option.default is None else kind


def _literal(words: Sequence[str]) -> str:
    return f"Literal[{', '.join(map(repr, words))}]"


def _formatted(text: str) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    for arguments in (["check", "--fix-only", "--quiet", "--select", "I"], ["format", "--quiet"]):
        command = [ruff, *arguments, "--stdin-filename", str(FILE), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def page(path: Path) -> str:
    """The text of a page of the documentation, its tables as the catalogue and the methods say."""
    tables = {"options": _options, "methods": _methods, "names": _names, "judgement": _judgement}

    def filled(match: re.Match[str]) -> str:
        kind, of = match.groups()
        return f"<!-- {kind}: {of} -->\n\n{tables[kind](of, path)}\n<!-- end -->\n"

    return _BLOCK.sub(filled, path.read_text("utf-8"))


def _options(name: str, _: Path) -> str:
    helps = {option.name: option.help.replace("|", "\\|") for option in ALL[name].options}
    rows = "".join(f"| `{option.name}` | {_values(option)} | {helps[option.name]} |\n" for option in ALL[name].options)
    return f"| option | values | |\n|---|---|---|\n{rows}"


def _values(option: Option) -> str:
    """What an option may be, its default in bold or at the end."""
    default = option.default
    if option.choices:
        return ", ".join(f"**{one}**" if one == default else one for one in option.choices)
    if option.type is bool:
        return "yes, **no**" if not default else "**yes**, no"
    kind = {int: "a whole number", float: "a number", str: "text"}[option.type]
    kind = "such as 800M or 2G" if option.bytes else "a list" if option.many else kind
    kind = " or ".join([kind, *option.words])
    return (
        kind
        if default is None
        else f"{kind}; **{default:,}**"
        if isinstance(default, int)
        else f"{kind}; **{default}**"
    )


def _methods(question: str, path: Path) -> str:
    """A table of the methods of a question, with their pages and commands."""
    rows = []
    for entry in catalog.METHODS:
        if entry.question == question:
            there = ROOT / f"docs/methods/{entry.command}.md"
            link = f"[{entry.name.replace('_', ' ')}]({_relative(there, path)})"
            rows.append(f"| {link} | `triscope {entry.command}` | {entry.line} |\n")
    return f"| | | |\n|---|---|---|\n{''.join(rows)}"


def _names(question: str, path: Path) -> str:
    """A table of the public names of the methods of a question."""
    rows = []
    for entry in catalog.METHODS:
        if entry.question == question:
            there = _relative(ROOT / f"docs/methods/{entry.command}.md", path)
            rows.append(f"| `{entry.name}` | {entry.line}: [page]({there}) |\n")
    return f"| name | |\n|---|---|\n{''.join(rows)}"


def _judgement(name: str, _: Path) -> str:
    """How a method's maps were judged, beside those that know nothing of the network, and what that comes to."""
    parts: list[str] = []
    for judged in json.loads(JUDGED.read_text("utf-8")).values():
        tables = [_judged(found, judged["budgets"]) for found in judged["methods"].get(name, [])]
        about = _filled(
            f"{judged['network']} at {judged['size']} pixels, for the class of each photo's label; curves of "
            f"{judged['steps']} steps. Mean ± half the 95 % interval over photos (Student's t). See "
            "[judge](judge.md) for what the numbers mean."
        )
        parts += [f"{about}\n", *tables] if tables else []
    return "\n".join(parts) or "Not judged yet: see [judge](judge.md).\n"


def _judged(found: dict[str, Any], budgets: dict[str, str]) -> str:
    """One table, and what each of its maps comes to."""
    columns = list(found["photos"])
    rows = [("map", "passes", *(column.replace("_", " ") for column in columns)), ("---",) * (2 + len(columns))]
    for row, cells in found["maps"].items():
        numbers = ("{:.2f} ± {:.2f}".format(*cells[column]) if column in cells else "" for column in columns)
        rows.append((row, budgets.get(row, ""), *numbers))
    rows.append(("*photos*", "", *(str(found["photos"][column]) for column in columns)))
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    said = "".join(
        _filled(f"- {_verdict(row, better)}{_blindness(found['maps'][row])}", "  ") + "\n"
        for row, better in found["better"].items()
    )
    return f"{table}\n{said}"


def _verdict(row: str, better: dict[str, dict[str, list[float]]]) -> str:
    """Whether a map beats those that know nothing of the network, as far as the photos tell."""
    parts = []
    for number in ("insertion", "deletion"):
        gained = better.get(number, {})
        beaten = [name for name, (mean, half) in gained.items() if mean - half > 0]
        worse = [name for name, (mean, half) in gained.items() if mean + half < 0]
        unsure = [name for name in gained if name not in (*beaten, *worse)]
        told = [f"beats {_listed(beaten)}"] if beaten else []
        told += [f"**does not beat** {_listed(worse)}"] if worse else []
        told += [f"does not differ significantly from {_listed(unsure)}"] if unsure else []
        parts.append(f"on {number} it {', '.join(told)}")
    return f"{row}: {'; '.join(parts)}."


def _blindness(numbers: dict[str, list[float]]) -> str:
    """What is to be said where a map hardly depends on what it claims to explain."""
    found = []
    if numbers.get("class", [0])[0] > 0.9:
        found.append(" **It hardly depends on the class: do not read it as an explanation of the class.**")
    if numbers.get("randomisation", [0])[0] > 0.7:
        found.append(" **It hardly changes when the weights become random.**")
    return "".join(found)


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _listed(names: Sequence[str]) -> str:
    names = [{"random": "the random map", "gaussian": "the Gaussian", "edges": "the edges"}[name] for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _relative(there: Path, page: Path) -> str:
    return os.path.relpath(there, page.parent).replace(os.sep, "/")


def derived() -> dict[Path, str]:
    """Every file that follows from the declarations, with the text that it should have."""
    return {FILE: stub(), **{path: page(path) for path in PAGES}}


if __name__ == "__main__":
    for path, text in derived().items():
        if path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(ROOT))
