"""Modules of the page as one script, for pages opened as files, for which browsers load no modules.

The modules use only these forms: `import { a, b } from "./x.js";`, `export function`, `export const`. Each
becomes a function that returns its exports, and is called once, after those that it imports from. Types, and comments
on lines of their own, are left out.
"""

import re
from collections.abc import Callable

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.MULTILINE)
_TYPES = r"/\*\*(?:[^*]|\*(?!/))*\*/"
_COMMENT = re.compile(rf"^[ \t]*(?://[^\n]*|{_TYPES}[ \t]*)\n|{_TYPES} ?", re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const) (\w+)", re.MULTILINE)


def bundled(name: str, read: Callable[[str], str]) -> str:
    """The module of that name, and all that it imports, as one script. `read` gives a module's text by its name."""
    done: dict[str, str] = {}
    _add(name, read, done)
    return "\n".join(done.values())


def _add(name: str, read: Callable[[str], str], done: dict[str, str]) -> None:
    if name in done:
        return
    text = read(name)
    for _, other in _IMPORT.findall(text):
        _add(other, read, done)
    exported = [found for _, found in _EXPORT.findall(text)]
    body = _IMPORT.sub(lambda match: f"const {{{match[1]}}} = {_variable(match[2])};\n", text)
    body = _COMMENT.sub("", _EXPORT.sub(r"\1 \2", body))
    done[name] = f"const {_variable(name)} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _variable(name: str) -> str:
    return "module_" + name.replace(".", "_")
