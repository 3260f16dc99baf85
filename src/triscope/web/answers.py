"""A job's result as a page shows it: facts, the values of a heatmap, images of a gallery, a page of its own."""

import re
from dataclasses import asdict
from typing import Any, cast

from triscope.errors import OptionError
from triscope.images import printable
from triscope.metrics.baselines import BASELINES
from triscope.metrics.judgement import Judgement
from triscope.objectives.names import plain_name
from triscope.results import Drawn, Grid, Heatmap, Result, Style
from triscope.web.photos import jpeg
from triscope.web.volumes import packed_numbers
from triscope.which.confusion.matrix import Confusion
from triscope.which.indexing.answers import class_names
from triscope.which.search.gallery import Gallery
from triscope.which.search.selection import Selected

_MOST_PARTS = 256
_IN_CELL = 60  # images of a cell that are listed


def facts(result: Result) -> dict[str, Any]:
    """The facts of a result, and the file formats it can be saved in."""
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
        told |= _gallery(result)
    if isinstance(result, Selected):
        told |= {**_gallery(result.neighbors), "units": [_plain(asdict(one)) for one in result.units],
                 "mean": len(result.neighbors.pictures), "pictures": len(result.rows)}  # fmt: skip
    if isinstance(result, Confusion) and result.drawable:
        told["matrix"] = _matrix(result)
    return told


def _gallery(gallery: Gallery) -> dict[str, Any]:
    entries = [_plain(entry) for entry in gallery.entries()[:_MOST_PARTS]]
    return {"parts": entries, "measure": gallery.score, "text": None}


def _matrix(table: Confusion) -> dict[str, Any]:
    """The counts that are shown, row by row, and the images of each cell."""
    rows, columns = table.shown()
    places = {column: place for place, column in enumerate(columns)}
    names = class_names(table.store.table)
    classes = {plain_name(name): index for index, name in enumerate(names)}

    def cell(row: int, column: int) -> dict[str, Any] | None:
        """Its images, and what is asked about them: why this answer, and not the right one."""
        if (row, column) not in table.members:
            return None
        members, answer = table.members[row, column], table.answers[column]
        given, right = (classes.get(plain_name(name)) for name in (answer, table.labels[row]))
        unit, question = "" if given is None else str(given), f"Why {printable(answer)}"
        if given is not None and right is not None and right != given:
            unit, question = f"{given} - {right}", f"{question}, and not {printable(names[right])}"
        return {"count": len(members), "rows": members[:_IN_CELL].tolist(), "unit": unit, "question": f"{question}?"}

    return {
        "axes": list(table.axes),
        "answers": [printable(table.answers[column]) for column in columns],
        "lines": [
            {
                "label": printable(table.labels[row]),
                "total": int(table.values[row].sum()),
                "right": places.get(table.matched.get(row, -1)),
                "cells": [cell(row, column) for column in columns],
            }
            for row in rows
        ],
    }


def numbers(result: Result) -> bytes:
    """The values of a heatmap (C, h, w), packed, to be coloured and read by the page. Raises OptionError for others."""
    if not isinstance(result, Heatmap):
        raise OptionError("Only heatmaps have numbers.")
    return packed_numbers(result.values[0], scale=result.scale, signed=result.signed)


def part(result: Result, number: int) -> bytes:
    """One image of a gallery or grid, as a JPEG. Raises OptionError where there is none."""
    pictures = result.pictures if isinstance(result, Gallery | Grid) else ()
    if isinstance(result, Selected):
        pictures = (*result.neighbors.pictures, result.mean)
    if not 0 <= number < len(pictures):
        raise OptionError("There is no such image.")
    return jpeg(pictures[number])


def written(result: Result, form: str, style: str | None) -> bytes:
    """The result as a file with its recipe. Raises OptionError for a format that it cannot be saved in."""
    if style not in (None, "heat") and isinstance(result, Heatmap):
        result = result.styled(cast("Style", style))  # it raises for another word
    if form not in result.forms or form == ".parquet":
        raise OptionError(f"This {result.kind} is not saved as {form[:20]}.")
    return result.encode(form)


def policy_of(page: bytes) -> str:
    """The content security policy in a page of triscope, for its header: only the live page may frame it."""
    found = re.search(rb'Content-Security-Policy" content="([^"]*)"', page[:4096])
    stated = found[1].decode() if found else "default-src 'none'"
    return f"{stated}; frame-ancestors 'self'; sandbox allow-scripts allow-downloads"


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in entry.items()}
