"""A network of the matrix, asked in a process of its own: its memory is bounded, and a crash is a cell."""

import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import torch

from tests import processes
from tests.matrix import columns, journal
from tests.matrix.columns import Known
from tests.matrix.journal import Row
from tests.matrix.judging import Cell
from tests.matrix.rows import ROWS

MEGABYTES = 8192  # for a row
_ASK = "from tests.matrix.asking import main; main()"
_HOURS = 2  # of the clock, for one that waits for ever


class Missing(Exception):
    """A package that the network is of is not installed."""


def made(make: Callable[[], Known]) -> Known:
    """The network, with the same random weights each time."""
    torch.manual_seed(0)
    try:
        return make()
    except ImportError as error:
        raise Missing(error.name or str(error)) from error


def apart(name: str, code: str) -> Row:
    """What comes of the network of this name, in a process of its own."""
    status, out, err = processes.ran(_ASK, name)
    last = (out.splitlines() or [""])[-1]
    if status == 0:
        said = json.loads(last)
        if "missing" in said:
            raise Missing(said["missing"])
        cells = {column: Cell(*both) for column, both in said["cells"].items()}
        return Row(name, cells, code, said["seconds"], said["megabytes"])
    why = (err.splitlines() or ["nothing was said"])[-1]
    return Row(name, {"wrap": Cell("error", f"the process ended with {status}: {why}")}, code)


def main() -> None:
    """In that process: ask, and print what came of it as one line."""
    signal.alarm(_HOURS * 3600)
    resource.setrlimit(resource.RLIMIT_DATA, (MEGABYTES * 2**20,) * 2)
    try:
        cells = columns.ask(made(ROWS[sys.argv[1]]))
    except Missing as error:
        sys.stdout.write(json.dumps({"missing": str(error)}))
        return
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    said = {column: [cell.verdict, cell.said] for column, cell in cells.items()}
    answer = {"cells": said, "seconds": round(process_time(), 1), "megabytes": used}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def asked(name: str, path: Path | None) -> Row:
    """A row of the journal at `path` where it has a sound one of this code; else asked now, and written there.

    Without a journal it is asked in this process.
    """
    if path is None:
        return Row(name, columns.ask(made(ROWS[name])), "")
    code = journal.code()
    known = journal.recorded(path).get(name)
    if known is not None and known.code == code and known.sound:
        return known
    row = apart(name, code)
    journal.record(path, row)
    return row
