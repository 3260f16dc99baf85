"""Speed of indexing on a Ray cluster compared with threads, with the same total number of network threads.

    python -m benchmarks.cluster FOLDER... [--photos 5000] [--actors 2] [--rounds 2]

500 photos of 500 pixels are made from those of the folders; the others are copies. The first half is indexed by threads
(the network with ACTORS threads) and then by ACTORS Ray actors (the network with one thread each), the second half in
the opposite order, so that other load on the machine affects both equally. Start-up is excluded: time runs from the end
of the first batch until all are committed. The network is AlexNet with random weights; its last hidden layer is stored.
CPU time of this process, of the actors and of Ray's own processes is printed as well, as it is meaningful on a busy
machine, too.
"""

import argparse
import os
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

import torch

import triscope as ts
from benchmarks.speed.index import LAYER, photos
from triscope.cluster.settings import Cluster, connected
from triscope.which.indexing.index import Pace, index

_MADE = 500


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore", ts.TriscopeWarning)
    torch.set_num_threads(given.actors)
    network = ts.load("alexnet", weights="random")
    ways = {"threads": None, "Ray": Cluster(actors=given.actors)}
    with tempfile.TemporaryDirectory() as folder, connected(None):
        place = Path(folder)
        halves = _halves(given.folders, place, given.photos)
        print(f"{given.photos:,} photos, {given.actors} threads for the network in total", flush=True)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        used = dict.fromkeys(ways, 0.0)
        for number in range(2 * given.rounds):
            for way in sorted(ways, reverse=number % 2 == 0):  # threads and Ray, then Ray and threads
                took, processor = measured(network, halves[number % 2], place / f"{way}-{number}", ways[way])
                seconds[way].append(took)
                used[way] += sum(processor.values())
                told = ", ".join(f"{who} {1000 * spent:.2f}" for who, spent in processor.items())
                print(f"  {way:8} {1 / took:6.1f} photos/s; ms of CPU time per photo: {told}", flush=True)
    threads, ray = (sum(seconds[way]) / len(seconds[way]) for way in ways)
    shares = ", ".join(f"{one / other:.2f}" for one, other in zip(seconds["Ray"], seconds["threads"], strict=True))
    print(f"Ray takes {ray / threads:.2f} times as long as threads (each half: {shares})")
    print(f"and {used['Ray'] / used['threads']:.2f} times as much CPU time")


def measured(
    network: ts.Network, paths: list[Path], place: Path, workers: Cluster | None
) -> tuple[float, dict[str, float]]:
    """Seconds and CPU seconds per photo, from the end of the first batch until all are committed."""
    first: tuple[int, float, dict[int, float]] | None = None
    spent: dict[int, float] = {}
    kinds: dict[int, str] = {}
    for step in index(network, paths, place, layers=[LAYER], pace=Pace(workers=workers)):
        for process, (kind, seconds) in _processes().items():
            spent[process], kinds[process] = seconds, kind
        if step.done and first is None:
            first = step.done, time.perf_counter(), dict(spent)
        if first is not None and step.stored == len(paths):
            count, used = len(paths) - first[0], dict.fromkeys(kinds.values(), 0.0)
            for process, until in spent.items():
                used[kinds[process]] += (until - first[2].get(process, 0.0)) / count
            return (time.perf_counter() - first[1]) / count, used
    raise RuntimeError("Not all photos were stored.")


def _processes() -> dict[int, tuple[str, float]]:
    """What each process is, of this one and those below it, and what processor time it has used, in seconds."""
    found: dict[int, tuple[int, str, float]] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                name, _, rest = (folder / "stat").read_text("utf-8").partition("(")[2].rpartition(")")
                fields = rest.split()
                found[int(folder.name)] = int(fields[1]), name, (int(fields[11]) + int(fields[12])) / tick
    own, more = {os.getpid()}, {os.getpid()}
    while more:
        more = {process for process, (parent, *_) in found.items() if parent in more} - own
        own |= more
    return {process: (_kind(process, found[process][1]), found[process][2]) for process in own & found.keys()}


def _kind(process: int, name: str) -> str:
    if process == os.getpid():
        return "driver"
    return "actors" if name.startswith("ray::Worker") else "Ray"


def _halves(folders: list[Path], place: Path, count: int) -> list[list[Path]]:
    """The photos, the first and the second half."""
    (place / "photos").mkdir()
    made = photos(folders, place / "photos", min(count, _MADE))
    for number in range(len(made), count):
        made.append(place / "photos" / f"{number:05}.jpg")
        os.link(made[number % _MADE], made[-1])
    return [made[: count // 2], made[count // 2 :]]


if __name__ == "__main__":
    main()
