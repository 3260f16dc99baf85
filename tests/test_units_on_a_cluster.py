"""Images of units on a Ray cluster: the same folder as on one machine, whatever fails on the way."""

import os
import re
import signal
import time

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from tests.clusters import killed_at_random, simulated
from tests.processes import TRISCOPE, ran
from tests.test_unit_folder import OPTIONS, pixels
from triscope.cluster.settings import Cluster
from triscope.unit_folder.making import make_units

pytest.importorskip("ray", reason="needs Ray: pip install 'triscope[ray]'")
# Ray opens sockets and files of its own at import and when it ends.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

DRIVER = """
import sys
from tests.test_units_on_a_cluster import OPTIONS, network
from triscope.cluster.settings import Cluster
from triscope.unit_folder.making import make_units
for step in make_units(network(), ["1", "3"], sys.argv[1], workers=Cluster(sys.argv[2], actors=3), **OPTIONS):
    print("made", step.done, flush=True)
"""


class Slow(nn.Module):
    """Takes its time, as the ascent of a real network does."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The images."""
        time.sleep(0.03)
        return images


def network():
    module = nn.Sequential(Slow(), nn.Conv2d(3, 30, 3), nn.ReLU(), nn.Conv2d(30, 20, 3), nn.Flatten(), nn.LazyLinear(5))
    module(torch.zeros(1, 3, 16, 16))
    nets.fill(module, 0)
    names = ["cup", "tabby", "rocket", "daisy", "boat"]
    return ts.Network(module, size=16, name="tiny", classes=names, source={"name": "tiny", "weights": "random"})


@pytest.fixture(scope="module")
def cluster():
    with simulated() as made:
        yield made


def test_nothing_is_lost_and_nothing_is_made_twice(tmp_path):
    """A driver is killed twice, a node is lost, and six workers are killed at random."""
    folder, stamps = tmp_path / "u", {}

    def keeps() -> None:
        kept = ts.UnitFolder.open(folder)
        written = {kept.picture(one): kept.picture(one).stat().st_mtime_ns for one in kept.units}
        assert written.items() >= stamps.items()  # what stands in the table is not written again
        stamps.update(written)

    with simulated() as cluster:
        killed_at_random(cluster, DRIVER, (str(folder),), (10, 25), 6, keeps)
    assert set(folder.glob("*/*.webp")) == set(stamps)
    assert len(stamps) == 50
    alone = ts.UnitFolder.build(network(), ["1", "3"], tmp_path / "alone", **OPTIONS)
    found = ts.UnitFolder.open(tmp_path / "u")
    assert [(one.unit, one.title, one.notes) for one in found.units] == [
        (one.unit, one.title, one.notes) for one in alone.units
    ]
    assert found.table.options == alone.table.options
    for one, other in zip(found.units, alone.units, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-3)
        assert abs(pixels(found.picture(one)) - pixels(alone.picture(other))).max() <= 4


def test_a_folder_that_was_begun_here_goes_on_there_with_the_same_recipes(cluster, tmp_path):
    folder = tmp_path / "u"
    ts.UnitFolder.build(network(), "3", folder, channels="0-3", **OPTIONS)
    begun = {path: path.read_bytes() for path in folder.glob("*/*.webp")}
    *_, last = make_units(network(), "3", folder, workers=Cluster(cluster[0].address), channels="0-9", **OPTIONS)
    assert (last.done, last.total, last.part) == (10, 10, 1)
    assert sum(int(told.split(": ")[1].split(" units")[0]) for told in last.nodes) == 6
    assert {path: path.read_bytes() for path in begun} == begun
    made = ts.UnitFolder.open(folder)
    here, there = (ts.Recipe.of_file(made.picture(unit)) for unit in made.units[3:5])
    assert [one.to_json() for one in here.networks] == [one.to_json() for one in there.networks]
    assert {**here.options, "channels": there.options["channels"]} == there.options


class Deadly(nn.Conv2d):
    """Ends the process that asks for a gradient of its channel 3."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Six maps."""
        maps = super().forward(images)
        if maps.requires_grad:
            maps.register_hook(_end)
        return maps


def _end(gradient: torch.Tensor) -> None:
    if gradient[:, 3].any():
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_unit_that_ends_processes_is_told_and_asked_again_next_time(cluster, tmp_path):
    deadly = ts.Network(nn.Sequential(Deadly(3, 6, 3), nn.ReLU()), size=16, name="deadly")
    steps = list(make_units(deadly, "0", tmp_path / "u", workers=Cluster(cluster[0].address), **OPTIONS))
    assert {note for step in steps for note in step.notes} == {
        "0:3 crashed its worker process 3 times, and has no image."
    }
    assert [one.channel for one in ts.UnitFolder.open(tmp_path / "u").units] == [0, 1, 2, 4, 5]
    assert (steps[-1].done, steps[-1].total) == (5, 6)


def test_the_command_makes_the_folder_and_tells_of_nodes(cluster, tmp_path):
    words = ["units", "features.4", "-m", "pocket", "-o", str(tmp_path / "u"), "--size", "32", "--steps", "4"]
    code, out, err = ran(TRISCOPE, *words, "--channels", "0-5", "--batch", "2", "--ray", cluster[0].address)
    assert (code, out) == (0, f"6 units in {tmp_path / 'u'}\n"), err
    assert re.search(r"\): [1-6] units$", err, re.MULTILINE)
