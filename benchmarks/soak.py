"""Whether indexing, searching and making maps leak memory, open files or threads.

    python -m benchmarks.soak [--minutes 60] [--only search]

In every round some images of a folder are added, changed or removed, and one is truncated. Then the folder is indexed,
searched in every way and mapped, all in this process; sometimes indexing is interrupted, or a worker process indexes at
the same time. Every twentieth round prints the resources of the process. Caches fill in the first third of the time;
the end is compared with the end of that third.

With `--only`, rounds do one thing: `index` (the folder changes, and is indexed), `leave` (indexing is interrupted),
`open` (the store), `search`, `maps`. Besides the resident memory, the memory in use is printed: by malloc, which
PyTorch, NumPy, Pillow and Lance use, and by Arrow's pool. If only the former grows, it is fragmentation, and is
reused.
"""

import argparse
import ctypes
import gc
import random
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import torch
from torch import nn

import triscope as ts
from triscope.which.indexing.index import Pace, index
from triscope.which.store import Store

_IDLE = 12  # seconds after which Lance's threads end that have nothing to do
_LAYERS = ("1", "5", "output")
_BESIDE = """
import sys
from benchmarks.soak import network
from triscope.which.store import Store
Store.build(network(), sys.argv[1])
"""


def network() -> ts.Network:
    """Three small layers, the same in every process."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 300), nn.ReLU(),
        nn.Linear(300, 5),
    )  # fmt: skip
    return ts.Network(module, size=32, resize=36, name="soak")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--only", choices=[*_ONLY], help="what rounds do (everything)")
    given = parser.parse_args()
    warnings.simplefilter("ignore", ts.TriscopeWarning)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "photos", 60 * given.minutes, given.pictures, given.only)


def run(folder: Path, seconds: float, count: int, only: str | None) -> None:
    """Rounds until the time is over."""
    chance, asked = random.Random(0), network()
    for number in range(count):
        paint(folder / f"{number:05}.jpg", number)
    change(folder, chance, count)
    Store.build(asked, folder, layers=_LAYERS)
    start, rounds, settled, told = time.monotonic(), 0, None, 0.0
    while (now := time.monotonic() - start) < seconds:
        if settled is None and now > seconds / 3:
            settled = Held.now()
            print(f"settled after {now / 60:.1f} minutes, {rounds} rounds: {settled}", flush=True)
        if only in (None, "index", "leave"):
            change(folder, chance, count + rounds)
        (_ONLY[only] if only else work)(folder, asked, rounds)
        rounds += 1
        if now - told > seconds / 10:
            print(f"  {now / 60:5.1f} minutes, {rounds} rounds: {Held.now()}", flush=True)
            told = time.monotonic() - start
    last = Held.now()
    print(f"at the end, {rounds} rounds: {last}")
    if settled is not None:
        print(f"since it settled: {last.beyond(settled)}")


def change(folder: Path, chance: random.Random, number: int) -> None:
    """Add, remove and change some images, and truncate one."""
    there = sorted(folder.glob("*.jpg"))
    for path in chance.sample(there, 3):
        path.unlink()
    for path in chance.sample([path for path in there if path.exists()], 3):
        paint(path, chance.randrange(10**6))
    for more in range(3):
        paint(folder / f"{number:05}-{more}.jpg", chance.randrange(10**6))
    broken = folder / "broken.jpg"
    broken.write_bytes(paint(folder / "whole.jpg", number).read_bytes()[: chance.randrange(1, 400)])


def work(folder: Path, asked: ts.Network, number: int) -> None:
    """Index, search, and make maps."""
    if number % 7 == 3:
        leave(folder, asked, number)
    beside = None
    if number % 10 == 5:
        beside = subprocess.Popen([sys.executable, "-W", "ignore", "-c", _BESIDE, str(folder)])
    update(folder, asked, number)
    if beside is not None:
        beside.wait()
    search(folder, asked, number)
    if number % 3 == 0:
        maps(folder, asked, number)


def leave(folder: Path, asked: ts.Network, number: int) -> None:
    """Indexing that is interrupted."""
    steps = index(asked, folder, layers=_LAYERS, pace=Pace(batch=2))
    next(steps)
    next(steps)
    steps.close()


def update(folder: Path, asked: ts.Network, number: int) -> None:
    """Index what is new."""
    Store.build(asked, folder, layers=_LAYERS)


def reopen(folder: Path, asked: ts.Network, number: int) -> None:
    """Open the store, and look at a row."""
    Store.open(folder, asked).table.take([0], ["status"])


def search(folder: Path, asked: ts.Network, number: int) -> None:
    """Search a store in every way."""
    store = Store.open(folder, asked)
    for layer in ("1", "5", "input"):
        ts.neighbors(store, 0 if store.table.take([0], ["status"])["status"] == ["ok"] else 1, layer, k=5)
        ts.neighbors(store, str(folder / "whole.jpg"), layer, k=5, where="width > 10")
    ts.nearest(store, np.random.default_rng(number).normal(size=(20, 300)), "5")
    ts.top(store, ts.Logit(number % 5), k=5)
    ts.patches(store, ts.Channel("1", number % 8), k=5)
    ts.duplicates(store, "5")


def maps(folder: Path, asked: ts.Network, number: int) -> None:
    """A page, and now and then a map of another kind."""
    store = Store.open(folder, asked)
    page = folder.parent / "map.html"
    page.unlink(missing_ok=True)
    ts.pca(store, "5").save(page)
    if number % 10 == 0:
        ts.tsne(store, "5")


_ONLY = {"index": update, "leave": leave, "open": reopen, "search": search, "maps": maps}


def paint(path: Path, seed: int) -> Path:
    """An image of coarse noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(coarse).resize((56, 40), PIL.Image.Resampling.BICUBIC).save(path)
    return path


class _Malloc(ctypes.Structure):
    """What glibc's mallinfo2 says."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip


@dataclass(frozen=True)
class Held:
    """What the process holds: megabytes beyond files' pages, of which malloc's and Arrow's in use; files; threads."""

    resident: float
    malloc: float
    arrow: float
    files: int
    threads: int

    @classmethod
    def now(cls) -> "Held":
        """Once the threads that are idle have ended."""
        gc.collect()
        time.sleep(_IDLE)
        status = Path("/proc/self/status").read_text("utf-8").splitlines()
        megabytes = next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024
        threads = next(int(line.split()[1]) for line in status if line.startswith("Threads"))
        ask = ctypes.CDLL(None).mallinfo2
        ask.restype = _Malloc
        used = ask()
        arrow = pa.default_memory_pool().bytes_allocated() / 2**20
        files = len(list(Path("/proc/self/fd").iterdir()))
        return cls(
            megabytes, (used.uordblks + used.hblkhd) / 2**20, arrow, files, max(threads, threading.active_count())
        )

    def __str__(self) -> str:
        use = f"in use by malloc {self.malloc:,.1f}, by Arrow {self.arrow:,.1f}"
        return f"{self.resident:,.0f} MB ({use}), {self.files} open files, {self.threads} threads"

    def beyond(self, before: "Held") -> str:
        """How much more than before, as words."""
        use = f"in use by malloc {self.malloc - before.malloc:+.1f}, by Arrow {self.arrow - before.arrow:+.1f}"
        return (
            f"{self.resident - before.resident:+.0f} MB ({use}), {self.files - before.files:+d} open files, "
            f"{self.threads - before.threads:+d} threads"
        )


if __name__ == "__main__":
    main()
