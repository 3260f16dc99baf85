"""Which Ray cluster is taken. A cluster of its own is started in this process, which one that runs already would not
survive: so these tests stand apart from those of a cluster (tests/which/test_cluster.py).
"""

import socket
import tempfile
from pathlib import Path

import pytest

from triscope.cluster.settings import connected
from triscope.errors import ClusterError

pytest.importorskip("ray", reason="needs Ray: pip install 'triscope[ray]'")
# Ray opens sockets and files of its own at import and when it ends.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def nobody():
    """An address of this machine at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_a_cluster_that_was_killed_here_and_is_still_named_is_not_waited_for(nobody, monkeypatch):
    """Ray names the last cluster of a machine in a file, and goes on trying to reach it."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short path: sockets lie there
        monkeypatch.setenv("RAY_TMPDIR", folder)
        (Path(folder) / "ray").mkdir()
        (Path(folder) / "ray" / "ray_current_cluster").write_text(nobody)
        with connected(None) as ray:
            assert ray.cluster_resources()["CPU"] >= 1


def test_a_cluster_that_the_environment_names_and_that_is_not_there_is_said(nobody, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    with pytest.raises(ClusterError, match=f"The Ray cluster {nobody} cannot be reached"), connected(None):
        pass
