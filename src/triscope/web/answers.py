"""A job's result as a page shows it: facts, numbers to colour, pictures of a gallery, a page of its own."""

import re
from typing import Any, cast

from triscope.errors import OptionError
from triscope.images import printable
from triscope.metrics.baselines import BASELINES
from triscope.metrics.judgement import Judgement
from triscope.results import Drawn, Grid, Heatmap, Result, Style
from triscope.web.photos import jpeg
from triscope.web.volumes import as_text
from triscope.which.search.gallery import Gallery

_MOST_PARTS = 256


def facts(result: Result) -> dict[str, Any]:
    """What there is to say of a result, and which forms it has."""
    told: dict[str, Any] = {
        "kind": result.kind,
        "notes": [printable(note) for note in result.notes],
        "details": [printable(line) for line in result.details],
        "text": result.text(),
        "forms": [form for form in result.forms if form not in (".npy", ".parquet")] if result.drawable else [],
        "heatmap": isinstance(result, Heatmap),
        "drawn": isinstance(result, Drawn) and result.drawable,
        "page": ".html" in result.forms,
        "parts": [],
    }
    if isinstance(result, Heatmap):
        told |= {"scale": result.scale, "signed": result.signed, "score": float(result.scores[0]),
                 "asked": printable(result.asked[0])}  # fmt: skip
    if isinstance(result, Judgement):
        told["judged"] = {
            row: {"sentence": printable(result.sentence(row)), "doubt": result.is_class_blind(row)}
            for row in result.rows
            if row not in BASELINES
        }
    if isinstance(result, Gallery):
        told |= {"parts": [_plain(entry) for entry in result.entries()[:_MOST_PARTS]], "measure": result.score,
                 "text": None}  # fmt: skip
    return told


def numbers(result: Result) -> dict[str, Any]:
    """The values of a heatmap (C, h, w), to be coloured and read by the page. Raises OptionError for others."""
    if not isinstance(result, Heatmap):
        raise OptionError("Only heatmaps are given as numbers.")
    return {**as_text(result.values[0]), "scale": result.scale, "signed": result.signed}


def part(result: Result, number: int) -> bytes:
    """One picture of a gallery or grid, as a JPEG. Raises OptionError where there is none."""
    pictures = result.pictures if isinstance(result, Gallery | Grid) else ()
    if not 0 <= number < len(pictures):
        raise OptionError("There is no such picture.")
    return jpeg(pictures[number])


def written(result: Result, form: str, style: str | None) -> bytes:
    """The result as a file with its recipe. Raises OptionError for a form that it does not have."""
    if style not in (None, "heat") and isinstance(result, Heatmap):
        result = result.styled(cast("Style", style))  # it checks the word itself
    if form not in result.forms or form == ".parquet":
        raise OptionError(f"This {result.kind} is not saved as {form[:20]}.")
    return result.encode(form)


def policy_of(page: bytes) -> str:
    """The policy that a page of ours states, for its header: it may be shown in a frame by our page alone."""
    found = re.search(rb'Content-Security-Policy" content="([^"]*)"', page[:4096])
    stated = found[1].decode() if found else "default-src 'none'"
    return f"{stated}; frame-ancestors 'self'; sandbox allow-scripts allow-downloads"


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in entry.items()}
