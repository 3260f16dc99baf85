"""Indexing on a Ray cluster: the same rows as on one machine, whatever fails on the way."""

import os
import signal
import socket

import PIL.Image
import pytest
import torch
from torch import nn

import triscope as ts
from tests.clusters import killed_at_random, simulated
from tests.which.conftest import paint, tiny_network
from tests.which.test_indexing import build, contents
from triscope.cluster.settings import Cluster
from triscope.errors import ClusterError
from triscope.network import Network
from triscope.which.indexing.index import Pace, index
from triscope.which.store import Store

pytest.importorskip("ray", reason="needs Ray: pip install 'triscope[ray]'")
# Ray opens sockets and files of its own at import and when it ends.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

DRIVER = """
import sys
from tests.which.conftest import tiny_network
from triscope.cluster.settings import Cluster
from triscope.which.indexing.index import Pace, index
for step in index(tiny_network(), sys.argv[1], sys.argv[2], layers=["1", "7"], precision="float32",
                  pace=Pace(16, Cluster(sys.argv[3], actors=3), unit=32)):
    print("made", step.stored, flush=True)
"""


@pytest.fixture(scope="module")
def cluster():
    """One for the tests that leave it as it is."""
    with simulated() as made:
        yield made


@pytest.fixture
def folder(tmp_path):
    for number in range(160):
        paint(tmp_path / "photos" / f"{number:03}.jpg", number)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return tmp_path / "photos"


def test_nothing_is_lost_and_nothing_stands_twice(network, folder, tmp_path):
    """A driver is killed twice, a node is lost, and ten workers are killed at random."""
    for number in range(160, 400):
        paint(folder / f"{number:03}.jpg", number)
    expected = contents(build(network, folder, tmp_path / "alone", layers=["1", "7"], batch=16))
    place = tmp_path / "store"
    with simulated() as cluster:
        killed_at_random(cluster, DRIVER, (str(folder), str(place)), (50, 125), 10)
    assert contents(Store.open(place, network)) == expected


class Deadly(nn.Module):
    """Ends the process that shows it an image that is white."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Three numbers."""
        means = images.mean((2, 3))
        if (means > 0.99).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.linear(means)


def test_an_image_that_ends_processes_is_a_row_that_says_so(folder, cluster, tmp_path):
    PIL.Image.new("RGB", (40, 40), "white").save(folder / "100.jpg")
    for path in sorted(folder.iterdir())[110:]:
        path.unlink()
    network = Network(Deadly(), size=32, name="deadly")
    store = build(network, folder, tmp_path / "store", layers=["output"], workers=Cluster(cluster[0].address), batch=16)
    assert len(store) == 109
    assert dict(store.errors())["100.jpg"] == "100.jpg crashed its worker process 3 times."


def test_the_rate_is_told_and_what_happened_on_each_node(folder, cluster, tmp_path, network):
    *_, last = index(network, folder, tmp_path / "store", layers=["7"], pace=Pace(64, Cluster(cluster[0].address)))
    assert 1 <= len(last.nodes) <= 3
    assert sum(int(told.split(": ")[1].split(" images")[0]) for told in last.nodes) == 161
    assert sum("1 of them unusable" in told for told in last.nodes) == 1
    assert last.rate > 0
    assert f"{socket.gethostname()} (" in last.nodes[0]


def test_a_network_of_torchvision_is_loaded_by_workers(cluster, tmp_path):
    for number in range(3):
        paint(tmp_path / "photos" / f"{number}.jpg", number)
    network = ts.load("squeezenet1_1", weights="random")
    pace = Pace(workers=Cluster(cluster[0].address, actors=1))
    *_, last = index(network, tmp_path / "photos", layers=["features.12"], pace=pace)
    assert last.stored == 3


def test_a_network_that_cannot_be_sent_and_a_cluster_that_is_not_there_are_said(folder, cluster, tmp_path):
    network = Network(Holding(), size=32, name="holding")
    with pytest.raises(ClusterError, match="holding cannot be pickled for other processes: cannot pickle"):
        build(network, folder, tmp_path / "a", layers=["output"], workers=Cluster(cluster[0].address))
    with pytest.raises(ClusterError, match="has no room for an actor of 7 CPUs"):
        _impatient(folder, cluster[0].address, tmp_path / "b")


def _impatient(folder, address, place):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triscope.cluster.actor_pool._TIMEOUT", 3.0)
        build(tiny_network(), folder, place, layers=["1"], workers=Cluster(address, cpus=7))


def test_what_a_worker_raises_is_said_with_its_node(folder, cluster, tmp_path):
    network = Network(Failing(), size=32, name="failing")
    with pytest.raises(ClusterError, match=r"A worker on .* failed: .*no batches"):
        build(network, folder, tmp_path / "store", layers=["output"], workers=Cluster(cluster[0].address))


class Holding(nn.Module):
    """Can be copied, and not sent."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def __deepcopy__(self, memo: object) -> "Holding":
        return Holding()

    def __reduce__(self) -> object:
        raise TypeError("cannot pickle what it holds")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Three numbers."""
        return self.linear(images.mean((2, 3)))


class Failing(nn.Module):
    """Takes what layers are found with, and no batches."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Three numbers."""
        if len(images) >= 16:
            raise ValueError("no batches")
        return self.linear(images.mean((2, 3)))
