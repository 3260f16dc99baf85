"""Conditions on the images of a store, in SQL as people write it, for Lance, which takes a little less.

In SQL a name may stand in double quotes, a text in single ones, and a text that is compared with a number or a date is
read as one. Lance takes names in backticks, and reads double quotes as a text.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from triscope.errors import StoreError, nearest
from triscope.images import printable

_TOKEN = re.compile(r"""\s+|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\w+|.""", re.DOTALL)
_NUMBERS = ("int32", "int64", "float", "double")
_UNKNOWN = re.compile(r"No field named (\S+?)\. ")
_TYPES = {"Utf8": "a text", "Int64": "a whole number", "Float64": "a number", "Date32": "a date", "Boolean": "a truth"}


def as_lance(where: str, fields: Mapping[str, str]) -> str:
    """The condition as Lance takes it; `fields` are the names that may stand in it, and their types as Arrow's.

    Raises StoreError where its brackets do not match: it is one condition, and not the end of another.
    """
    names = {name.casefold(): name for name in fields}
    tokens = [_unquoted(token) for token in _TOKEN.findall(where)]
    kind, depth, told = "", 0, []
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            break
        name = names.get(token.strip("`").casefold()) if token[:1] == "`" or token.isidentifier() else None
        kind = fields[name] if name else kind
        told.append(_typed(token, kind) if token.startswith("'") else token)
    if depth or "'" in tokens or "--" in "".join(token for token in tokens if token[:1] not in "'`"):
        raise StoreError(f"{where!r} is not a condition: a bracket or a quote is not closed, or it contains a comment.")
    return "".join(told)


@contextmanager
def explained(where: str, fields: Mapping[str, str]) -> Iterator[None]:
    """Turn an error of Lance into a message about the condition."""
    try:
        yield
    except StoreError as error:
        reason = str(error.__cause__ or error)
        if found := _UNKNOWN.search(reason):
            name = found[1].strip('"`')
            hint = f" A text must be in single quotes: '{name}'." if f'"{name}"' in where else ""
            raise StoreError(
                f"The images have no field {printable(name)}.{nearest(name, fields)} They have {', '.join(fields)}."
                f"{hint}"
            ) from error
        if "Invalid user input" not in reason:
            raise
        raise StoreError(f"{where!r} is not a condition: {_reason(reason)}.") from error


def _reason(text: str) -> str:
    """The reason in an error of Lance, its parser or its planner, in few words."""
    if found := re.search(r"sql parser error: (.*?)\)(,|$)", text):
        return found[1].replace("found: )", "found: the end").replace("found: EOF", "found: the end")
    if found := re.search(r"Received literal \w+\((.*)\) and could not convert to literal of type '(\w+)", text):
        return f"{found[1]} cannot be compared with {_TYPES.get(found[2], f'a field of type {found[2]}')}"
    plain = re.sub(r", /\S+:\d+:\d+.*", "", text.partition("\n")[0])
    return plain.rpartition("Invalid user input: ")[2].rpartition("Error during planning: ")[2].rstrip(" .,()")


def _unquoted(token: str) -> str:
    """A name in double quotes in backticks instead."""
    if len(token) > 1 and token.startswith('"'):
        name = token[1:-1].replace('""', '"')
        return f"`{name}`"
    return token


def _typed(token: str, kind: str) -> str:
    """A text that is compared with a field of that type, as a value of it, where it is one."""
    text = token[1:-1]
    if kind in _NUMBERS and re.fullmatch(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", text):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return token
    if kind.startswith("date"):
        return f"DATE '{moment.date().isoformat()}'"
    return f"TIMESTAMP '{moment.isoformat(' ')}'" if kind.startswith("timestamp") else token
