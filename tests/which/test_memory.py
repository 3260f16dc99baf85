"""Repeated searches in one store: the network is copied once, and memory does not grow."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import triscope as ts
from tests.which.conftest import paint
from triscope.which.database.freed import give_back
from triscope.which.indexing import decoding
from triscope.which.store import Store

ASKED = """
import sys
sys.path[:0] = {paths!r}
import torch
import triscope as ts
torch.set_num_threads(1)
store = ts.Store.open({folder!r})
for number in range({times}):
    ts.neighbors(store, f"{folder}/{{number % {count}}}.jpg")
    if number in (49, {times} - 1):  # what is made once is there after a few
        (line,) = (line for line in open("/proc/self/status") if line.startswith("VmRSS"))
        print(int(line.split()[1]) / 1024)
"""


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_network_is_copied_once(network, photos, tmp_path, monkeypatch, precision):
    store = Store.build(network, photos(5), tmp_path / "store", layers=["3", "7"], precision=precision)
    copies, copy = [], decoding.configured
    monkeypatch.setattr(decoding, "configured", lambda *given, **how: copies.append(given) or copy(*given, **how))
    first = [ts.neighbors(store, path, layer).values for path in store.files([1, 3]) for layer in ("3", "7", "input")]
    again = [ts.neighbors(store, path, layer).values for path in store.files([1, 3]) for layer in ("3", "7", "input")]
    assert len(copies) == 1
    assert all(one.equal(other) for one, other in zip(first, again, strict=True))


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="malloc is glibc's there")
def test_what_a_long_job_has_freed_is_given_back():
    def mapped() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    small = [bytearray(3000) for _ in range(60_000)]
    fence = bytearray(3000)  # above what is freed, which therefore stays with the process
    del small
    before = mapped()
    give_back()
    assert before - mapped() > 100e6
    assert len(fence) == 3000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_is_level_over_two_thousand_neighbors(tmp_path):
    for number in range(60):
        paint(tmp_path / "photos" / f"{number}.jpg", number, (200, 260))
    Store.build(ts.load("pocket"), tmp_path / "photos")
    root = Path(__file__).parents[2]
    program = ASKED.format(paths=[str(root / "src")], folder=str(tmp_path / "photos"), times=2000, count=60)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    early, late = map(float, done.stdout.split())
    assert late - early < 50, f"{early:.0f} MB after 50 neighbours, {late:.0f} MB after 2,000"
