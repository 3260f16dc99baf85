"""Work lost when indexing is stopped at a random moment: twenty times by SIGTERM, twenty by SIGKILL.

    python -m benchmarks.interruptions FOLDER [--times 20] [--seconds 25]

Each run indexes into a new store on the command line. The loss is the time since the first image passed through the
network that is not in the store afterwards. Each store is then opened and all its rows are read.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from triscope.which.store import Store

#: The command line, with a log of how many images were done at what time.
PROGRAM = """
import sys, time
from contextlib import closing
import triscope.cli.index as command
from triscope.cli import main

log_file, steps = sys.argv.pop(), command.index_steps

def logged(*arguments, **options):
    with closing(steps(*arguments, **options)) as inner, open(log_file, "w", buffering=1) as log:
        for step in inner:
            print(time.monotonic(), step.done, file=log)
            yield step

command.index_steps = logged
main()
"""


def stopped(folder: Path, place: Path, number: int, after: float) -> tuple[int, int, float, float, int]:
    """Images done and stored, seconds lost, seconds until it had ended, and the exit code."""
    log = place / "log"
    words = ["index", str(folder), "--store", str(place / "store"), "-q", str(log)]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stderr=subprocess.PIPE, text=True) as process:
        wait(lambda: log.exists() or process.poll() is not None)
        time.sleep(after)
        process.send_signal(number)
        sent = time.monotonic()
        _, said = process.communicate()
        ended = time.monotonic() - sent
    assert "Traceback" not in said, said
    told = [line.split() for line in log.read_text().splitlines() if len(line.split()) == 2]
    done = [(float(when), int(count)) for when, count in told]
    stored = count_of(place / "store")
    lost = next((sent - when for when, count in done if count > stored), 0.0)
    return done[-1][1] if done else 0, stored, lost, ended, process.returncode


def wait(ready: Callable[[], bool]) -> None:
    """Until something is so."""
    while not ready():
        time.sleep(0.01)


def count_of(place: Path) -> int:
    """How many rows a store holds, all of them read."""
    if not (place / "rows.lance" / "_versions").is_dir():  # stopped before there was a store
        return 0
    store = Store.open(place)
    names = [column.name for column in store.columns]
    return sum(len(rows["row"]) for rows in store.table.stream(names))


def main() -> None:
    """Print what each run lost, and the most that any lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument(
        "--seconds", type=float, default=25, help="the latest moment of a stop, from the start of indexing"
    )
    given = parser.parse_args()
    moments = random.Random(0)
    for number in (signal.SIGTERM, signal.SIGKILL):
        worst = 0.0
        for _ in range(given.times):
            after = moments.uniform(0, given.seconds)
            with tempfile.TemporaryDirectory() as place:
                done, stored, lost, ended, code = stopped(given.folder, Path(place), number, after)
            worst = max(worst, lost)
            print(
                f"{number.name} after {after:5.1f} s: {done:5} done, {stored:5} stored, {lost:4.1f} s lost, "
                f"ended in {ended:.1f} s with {code}",
                flush=True,
            )
        print(f"{number.name}: at most {worst:.1f} s lost in {given.times}", flush=True)


if __name__ == "__main__":
    main()
