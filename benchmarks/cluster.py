"""What indexing on a Ray cluster takes beside threads, with as many threads for the network in all.

    python -m benchmarks.cluster FOLDER... [--photos 5000] [--actors 2] [--rounds 2]

Photos of 500 pixels are made of those of the folders, 500 of them, and the others are copies. Half of them are indexed
by threads (the network with ACTORS threads) and by ACTORS Ray actors (the network with one thread in each), and the
other half by the latter first, so that what others do on the machine meets both alike. Starting is left out: time runs
from the first batch that is done until all are committed. The network is AlexNet with random weights, and its last
hidden layer is kept.
"""

import argparse
import os
import tempfile
import time
import warnings
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
        print(f"{given.photos:,} photos, {given.actors} threads for the network in all", flush=True)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(2 * given.rounds):
            for way in sorted(ways, reverse=number % 2 == 0):  # threads and Ray, then Ray and threads
                took = measured(network, halves[number % 2], place / f"{way}-{number}", ways[way])
                seconds[way].append(took)
                print(f"  {way:8} {1 / took:6.1f} photos/s", flush=True)
    threads, ray = (sum(seconds[way]) / len(seconds[way]) for way in ways)
    shares = ", ".join(f"{one / other:.2f}" for one, other in zip(seconds["Ray"], seconds["threads"], strict=True))
    print(f"Ray takes {ray / threads:.2f} times as long as threads (of each half: {shares})")


def measured(network: ts.Network, paths: list[Path], place: Path, workers: Cluster | None) -> float:
    """Seconds a photo, from the first batch that is done until all are committed."""
    first: tuple[int, float] | None = None
    for step in index(network, paths, place, layers=[LAYER], pace=Pace(workers=workers)):
        if step.done and first is None:
            first = step.done, time.perf_counter()
        if first is not None and step.stored == len(paths):
            return (time.perf_counter() - first[1]) / (len(paths) - first[0])
    raise RuntimeError("Not all photos were stored.")


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
