"""The command line and the line of Python that make the same call of a method.

    command_line(saliency, {"network": net, "images": "cat.jpg", "objective": unit})    triscope saliency cat.jpg -u 281
    python_line(saliency, {...})                                          ts.saliency(network, "cat.jpg", "281")

Arguments that equal their defaults are left out.
"""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from triscope.images import public_path
from triscope.images.samples import sample_word
from triscope.methods.inputs import (
    Declared,
    ImageInput,
    LayerInput,
    NetworkInput,
    ObjectiveInput,
    QueryInput,
    StoreInput,
)
from triscope.methods.options import Option
from triscope.methods.table import Method
from triscope.network import ImageBatch, Network
from triscope.network.loading.recorded import options_for
from triscope.network.loading.stating import Statement
from triscope.results.recipe import public_source

_STDIN = "-"


def command_line(method: Method[Any], arguments: Mapping[str, Any], *, style: str | None = None) -> str | None:
    """The command of a call; None if there is none, since a network or an image was made in Python."""
    words: list[str] = []
    for declared in _in_order(method):
        value = arguments.get(declared.name)
        if value is None:
            continue
        more = _words(declared, value)
        if more is None:
            return None
        words += more
    words += [word for option, value in changed_options(method, arguments) for word in _flag(option, value)]
    words += ["--style", style] if style not in (None, "heat") else []
    network, store = arguments.get("network"), arguments.get("store")
    words += _all_network_words(network) if network is not None else []
    if store is not None and (method.takes("objective") or method.takes("query")):
        if store.note.source is None:
            return None
        words += options_for(store.note.source)  # files of the store's network, which only the user may name
    return " ".join(map(quoted, ["triscope", method.command, *words]))


def python_line(method: Method[Any], arguments: Mapping[str, Any], *, style: str | None = None) -> str:
    """The line of Python of a call. A value without a text form is written as its parameter's name, such as `image`."""
    words: list[str] = []
    for name, declared in method.inputs.items():
        value = arguments.get(name)
        if value is None and not declared.required:
            continue
        text = _expression(declared, value)
        words.append(text if declared.positional and len(words) == _place(method, name) else f"{name}={text}")
    words += [f"{option.name}={value!r}" for option, value in changed_options(method, arguments)]
    return f"ts.{method.name}({', '.join(words)})" + (f".styled({style!r})" if style not in (None, "heat") else "")


def changed_options(method: Method[Any], arguments: Mapping[str, Any]) -> Iterator[tuple[Option, Any]]:
    """The options that differ from their defaults, with their values."""
    for option in method.options:
        if option.name in arguments and arguments[option.name] != option.default:
            yield option, arguments[option.name]


def network_words(network: Network) -> list[str] | None:
    """The command-line options that name a network; None if it was made in Python."""
    if network.source is None:
        return None
    source = public_source(network.source)
    words = ["-m", source["name"]] if source["name"] != "pocket" else []
    words += ["--weights", source["weights"]] if "weights" in source else []
    words += ["--seed", str(source["seed"])] if source.get("seed") else []
    stated = Statement.read(source.get("stated"))
    words += replace(stated, classes_file=source.get("classes_file")).words()
    return words + (["--device", str(network.device)] if network.device.type != "cpu" else [])


def _all_network_words(network: Network | Sequence[Network]) -> list[str]:
    """The command-line options that name one or several networks (`-m`, `--beside`)."""
    first, *others = [network] if isinstance(network, Network) else network
    sources = [public_source(other.source) for other in others if other.source is not None]
    words = [*(network_words(first) or []), *(word for source in sources for word in ("--beside", source["name"]))]
    return words + [
        word for source in sources if "weights" in source for word in ("--beside-weights", source["weights"])
    ]


def _in_order_of_weights(others: Sequence[Network]) -> bool:
    """Whether --beside-weights can be matched to networks by order: those with published weights come last."""
    own = ["weights" in (one.source or {}) for one in others]
    return own == sorted(own, reverse=True)


def quoted(word: str) -> str:
    """A word quoted for the shell; if it has unprintable characters, as the $'...' of bash and zsh, byte by byte."""
    if word.isprintable():
        return shlex.quote(word)
    kept = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(kept)}'"


def _in_order(method: Method[Any]) -> list[Declared]:
    """The inputs in the order of the command line: required ones first, the store after the others."""
    return sorted(method.inputs.values(), key=lambda one: (not one.required, isinstance(one.input, StoreInput)))


def _words(declared: Declared, value: Any) -> list[str] | None:
    kind = declared.input
    if isinstance(kind, NetworkInput):
        several = [value] if isinstance(value, Network) else value
        named = all(network_words(one) is not None for one in several)
        return [] if named and _in_order_of_weights(several[1:]) else None
    if isinstance(kind, StoreInput):
        return [_as_word(value.path.parent if value.path.name.startswith(".") else value.path)]
    if isinstance(kind, LayerInput):
        if kind.argument:
            return value.split(",") if isinstance(value, str) else [*value]
        return ["--layer", value if isinstance(value, str) else ",".join(value)]
    if isinstance(kind, ObjectiveInput):
        return [str(value)] if declared.required else ["-u", str(value)]
    return _file_words(declared, value)


def _file_words(declared: Declared, value: Any) -> list[str] | None:
    kind, files = declared.input, _files(value)
    if files is None or (isinstance(kind, QueryInput) and not files):
        return None
    if declared.is_argument:
        return files
    name = f"--{declared.name.removesuffix('s') if kind.many else declared.name}"
    return [word for file in files for word in (name, file)]


def _files(value: Any) -> list[str] | None:
    """The files of images as words, `-` for bytes read from stdin; None if an image has no file."""
    if isinstance(value, ImageBatch):
        sources = [(source.path, source.sha256) for source in value.sources]
        if not all(digest for _, digest in sources):
            return None
        return [_STDIN if path is None else _as_word(path) for path, _ in sources]
    if isinstance(value, str | os.PathLike):
        return [_as_word(value)]
    if isinstance(value, bytes):
        return [_STDIN]
    if isinstance(value, Sequence):
        found = [_files(one) for one in value]
        return None if any(one is None for one in found) else [word for one in found for word in one or []]
    return None


def _as_word(path: str | os.PathLike[str]) -> str:
    """A file by its public path; a sample photo by its name, as it lies in the package."""
    text, sample = public_path(path), sample_word(path)
    if sample is not None:
        return sample
    return f"./{text}" if text.startswith(("-", "~")) else text


def _flag(option: Option, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [option.flag if value else f"--no-{option.flag.removeprefix('--')}"]
    return [option.flag, ",".join(map(str, value)) if option.many and not isinstance(value, str) else str(value)]


def _place(method: Method[Any], name: str) -> int:
    return list(method.inputs).index(name)


def _expression(declared: Declared, value: Any) -> str:
    kind = declared.input
    if isinstance(kind, NetworkInput | StoreInput):
        return kind.kind
    if isinstance(kind, ObjectiveInput):
        text = str(value)
        return text if "(" in text else repr(text)
    if isinstance(kind, LayerInput):
        return repr(value if isinstance(value, str) else list(value))
    if isinstance(kind, ImageInput | QueryInput):
        several = value if isinstance(value, list | tuple) else [value]
        texts = [repr(_as_word(one)) if isinstance(one, str | os.PathLike) else "image" for one in several]
        return texts[0] if not isinstance(value, list | tuple) else f"[{', '.join(texts)}]"
    return repr(value)
