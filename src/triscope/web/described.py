"""The methods as the page gets them: their declarations, and their descriptions from the catalogue and docstrings."""

import inspect
import re
import sys
from functools import lru_cache
from typing import Any

from triscope import catalog
from triscope.methods import ImageInput, LayerInput, Method, ObjectiveInput, StoreInput
from triscope.results import Drawn, Heatmap
from triscope.verbs import METHODS
from triscope.where.by_name import USUAL_METHODS, makes_a_heatmap
from triscope.which.maps.map import Map
from triscope.which.search.gallery import Gallery
from triscope.which.search.selection import Selected

#: The spelling of names that title case gets wrong.
_SPELLED = {"cam": "CAM", "rise": "RISE", "lime": "LIME", "pca": "PCA", "tsne": "t-SNE", "lift": "LIFT", "x": "×"}
_MISLEADS = re.compile(r"\*\*When (?:it|they|this|these) (?:misleads?)\.?\*\*\s*(.*?)(?:\n\s*\n|\Z)", re.DOTALL)


def methods() -> list[dict[str, Any]]:
    """Every method of the catalogue, as the page needs it."""
    lines = {entry.name: entry.line for entry in catalog.METHODS}
    return [_method(one, lines.get(one.name, "")) for one in METHODS.values() if _askable(one)]


def questions() -> dict[str, str]:
    """The headings of the groups of methods."""
    used = {one.question for one in METHODS.values()}
    return {name: title for name, title in catalog.QUESTIONS.items() if name in used}


def number_text(value: float) -> str:
    """A number with four digits, as the page's scripts write it."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    text = f"{float(f'{value:.4g}'):.8g}" if plain else re.sub(r"e([+-])0", r"e\1", f"{value:.2e}")
    return text.replace("-", "−")


def _method(method: Method[Any], line: str) -> dict[str, Any]:
    schema = method.schema()
    line = line or method.summary
    schema["options"] = [option for option in schema["options"] if option["recorded"]]
    return {
        **schema,
        "title": _title(method.name),
        "line": line,
        "sentence": f"{line[:1].upper()}{line[1:].removesuffix('.')}.",
        "misleads": misleads(method),
        "needs": [name for name, declared in method.inputs.items() if declared.required],
        "heatmap": issubclass(method.returns, Heatmap),
        "usual": method.name in USUAL_METHODS,
        "picture": issubclass(method.returns, Drawn),
        "gallery": issubclass(method.returns, Gallery | Selected),
        "selects": "rows" if issubclass(method.returns, Selected) else None,
        "judged": makes_a_heatmap(method),
        "page": ".html" in method.returns.endings,
        "mapped": issubclass(method.returns, Map),
        "kinds": {name: _kind(declared.input) for name, declared in method.inputs.items()},
    }


def _title(name: str) -> str:
    """A method's name as a heading."""
    words = [_SPELLED.get(word, word) for word in name.split("_")]
    text = " ".join(words).replace("grad CAM", "Grad-CAM")
    return text[:1].upper() + text[1:] if words[0] == name.split("_", maxsplit=1)[0] else text


def _kind(declared: Any) -> str:
    if isinstance(declared, ObjectiveInput):
        return "unit"
    return "stored layer" if isinstance(declared, LayerInput) and declared.of == "store" else str(declared.kind)


def _askable(method: Method[Any]) -> bool:
    """Whether a page can give all that it needs: at most one store."""
    stores = [one for one in method.inputs.values() if isinstance(one.input, StoreInput)]
    return len(stores) <= 1 and all(
        isinstance(one.input, ImageInput | ObjectiveInput | StoreInput) or one.input.kind in _KINDS
        for one in method.inputs.values()
        if one.required
    )


_KINDS = ("network", "layer", "query")


@lru_cache(maxsize=256)
def misleads(method: Method[Any]) -> str:
    """When a method misleads: that paragraph of its module's docstring, or an empty string."""
    module = sys.modules.get(getattr(method, "__module__", ""))
    for text in (inspect.cleandoc(method.__doc__ or ""), (module.__doc__ or "") if module else ""):
        found = _MISLEADS.search(text)
        if found:
            return re.sub(r"[`*]", "", " ".join(found[1].split()))
    return ""
