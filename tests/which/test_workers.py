"""Values of `workers` and `--ray`, and the error without Ray."""

import socket
import sys

import pytest

from tests.processes import TRISCOPE, ran
from tests.which.test_indexing import build
from triscope.cluster.settings import Cluster, connected, import_ray
from triscope.errors import ClusterError, OptionError


def test_workers_are_threads_or_a_cluster():
    assert Cluster.read(None) is None
    assert Cluster.read(3) is None
    assert Cluster.read("ray") == Cluster()
    assert Cluster.read("ray://head:10001") == Cluster("ray://head:10001")
    assert Cluster.read(Cluster(cpus=2)) == Cluster(cpus=2)


def test_other_workers_are_refused(network, photos, tmp_path):
    with pytest.raises(OptionError, match="a number of threads, 'ray' or 'ray://HOST:PORT', not 'dask'"):
        build(network, photos(1), tmp_path / "store", workers="dask")


def test_without_ray_it_is_said_how_to_get_it(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"Ray is not installed: pip install 'triscope\[ray\]'"):
        import_ray()
    program = f"import sys; sys.modules['ray'] = None\n{TRISCOPE}"
    code, out, err = ran(program, "index", str(photos(2)), "--ray", "--ray-cpus", "2", "-m", "pocket")
    assert (code, out) == (1, "")
    assert "Ray is not installed" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_cluster_that_is_not_there_is_said_at_once(form):
    pytest.importorskip("ray", reason="needs Ray: pip install 'triscope[ray]'")
    with socket.socket() as nobody:  # bound, and does not listen
        nobody.bind(("127.0.0.1", 0))
        address = form.format(nobody.getsockname()[1])
        with pytest.raises(ClusterError, match=rf"The Ray cluster {address} cannot be reached: .*refused"):
            connected(address).__enter__()
